//! The program's commands, one file for each.

pub(crate) mod build;
pub(crate) mod clean;
pub(crate) mod convert;
pub(crate) mod doc;
pub(crate) mod dump;
mod engine;
pub(crate) mod export;
pub(crate) mod inspect;
mod make;
pub(crate) mod new;
mod path;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod test;
pub(crate) mod ui;
pub(crate) mod wit;
