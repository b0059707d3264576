//! Turns a handler into a component of `wasi:http` 0.2, which other hosts can serve.
//!
//! The handler is joined to three parts. The *provider* has the gateway's interfaces, and contains the same code as the
//! server. The *driver* has what a host calls: it begins the exchange, calls the handler and ends the exchange. The
//! *stand-in* has what such a host may lack: an environment without variables, file systems without files.

mod graph;
mod handler;
mod merge;
mod needs;
mod parts;
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
    // Behind this, what belongs together is there.
    let valid = Validator::new_with_features(WasmFeatures::default()).validate_all(handler);
    valid.context("it is not a valid component")?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wasmparser::{Parser, Payload};

    use super::*;

    /// A handler in Rust.
    const ECHO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guests/wasm32-wasip2/release/echo.wasm"));

    fn memories(component: &[u8]) -> usize {
        let payloads = Parser::new(0).parse_all(component).map(|payload| payload.expect("it is valid"));
        payloads.filter(|payload| matches!(payload, Payload::MemorySection(_))).count()
    }

    #[test]
    fn a_handler_in_rust_is_merged_with_its_parts_and_any_other_is_composed() {
        let handler = Handler::read(ECHO).expect("it is a component");
        let needs = Needs::of(&handler.imports(), Keep::default()).expect("it imports nothing else");
        let merged = export(ECHO, Keep::default()).expect("it can be exported");
        let composed = graph::compose(&handler, &needs, Keep::default()).expect("it can be composed");
        check(&composed, Keep::default()).expect("hosts take it as well");
        assert_eq!(memories(&merged), 1);
        assert!(memories(&composed) > 1 && composed.len() > merged.len());
    }

    #[test]
    fn what_is_kept_is_imported_and_nothing_else_is() {
        let exported = export(ECHO, Keep { cli: true, keyvalue: false }).expect("it can be exported");
        let imports = Handler::read(&exported).expect("it is a component").imports();
        assert!(imports.iter().any(|import| import.starts_with("wasi:cli/environment@")), "{imports:?}");
        assert!(!imports.iter().any(|import| import.starts_with("wasmserve:")), "{imports:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 1000 }))]

        #[test]
        fn a_damaged_component_is_refused_or_exported(places in prop::collection::vec((0..ECHO.len(), any::<u8>()), 1..4)) {
            let mut damaged = ECHO.to_vec();
            places.into_iter().for_each(|(at, byte)| damaged[at] = byte);
            _ = export(&damaged, Keep::default());
        }
    }
}
