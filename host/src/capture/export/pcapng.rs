//! To be written.
use super::exchange::{Exchange, Written};
#[derive(Debug, Default)]
pub(super) struct Packets;
impl Packets {
    pub(super) fn add(&mut self, _: &Exchange<'_>, _: &mut Written) {}
    pub(super) fn end(self, _: &mut Written) {}
}
