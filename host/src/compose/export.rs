//! Turns a handler into a component of `wasi:http` 0.2, which other hosts can serve.
//!
//! The handler is joined to three parts. The *provider* has the gateway's interfaces, and contains the same code as the
//! server. The *driver* has what a host calls: it begins the exchange, calls the handler and ends the exchange. The
//! *stand-in* has what such a host may lack: an environment without variables, file systems without files.

mod graph;
mod handler;
mod merge;
mod needs;
pub(super) mod parts;
mod stand_in;

use anyhow::{Context as _, ensure};
use wasmparser::{Validator, WasmFeatures};

pub(crate) use self::handler::Keep;
use self::{
    handler::{Handler, INCOMING_HANDLER},
    needs::Needs,
};
use crate::kind::wasm::check_format;

/// Makes a component of `wasi:http` 0.2 of a handler, which is a component that exports `wasmserve:gateway/handler`.
///
/// # Errors
///
/// It imports something that neither the gateway nor the hosts of `wasi:http` have.
pub(crate) fn export(handler: &[u8], keep: Keep) -> anyhow::Result<Vec<u8>> {
    check_format(handler)?;
    let handler = Handler::read(handler)?;
    handler.check()?;
    let needs = Needs::of(&handler.imports(), keep)?;
    // What cannot be merged works as well, and costs more.
    let exported = merge::merge(&handler, &needs, keep).or_else(|_| graph::compose(&handler, &needs, keep))?;
    check(&exported, keep).context("the exported component is not what hosts take; please report this")?;
    Ok(exported)
}

/// Checks that a host can take the result.
fn check(exported: &[u8], keep: Keep) -> anyhow::Result<()> {
    Validator::new_with_features(WasmFeatures::default()).validate_all(exported)?;
    let exported = Handler::read(exported)?;
    let exports = exported.exports();
    ensure!(exports == [INCOMING_HANDLER], "it exports {}", exports.join(", "));
    let missing = exported.imports().into_iter().find(|import| !needs::is_hosts(import, keep));
    ensure!(missing.is_none(), "it imports {}", missing.unwrap_or_default());
    Ok(())
}
