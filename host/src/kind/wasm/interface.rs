//! Finds out by its exports how a component is called.

use anyhow::bail;

use super::{command, gateway, wasi_http};

/// The interface of WASI 0.3, without the last part of its version.
pub(super) const SERVICE: &str = "wasi:http/handler@0.3.";

/// The interfaces through which a component can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Our own, `wasmserve:gateway/handler`.
    Gateway,
    /// `wasi:http/incoming-handler` of WASI 0.2.
    WasiHttp,
    /// `wasi:http/handler` of WASI 0.3.
    Service,
    /// `wasi:cli/run` of WASI 0.2, through which a program answers as a CGI program.
    Command,
}

impl Interface {
    /// The interface to call a component with these exports through, or `None` if it has none that we know. Our own comes
    /// first, because it can express the most.
    #[must_use]
    pub(crate) fn of(exports: &[String]) -> Option<Self> {
        [
            (gateway::HANDLER, Self::Gateway),
            (wasi_http::HANDLER, Self::WasiHttp),
            (SERVICE, Self::Service),
            (command::RUN, Self::Command),
        ]
        .into_iter()
        .find(|(name, _)| exports.iter().any(|export| export.starts_with(name)))
        .map(|(_, interface)| interface)
    }

    /// Checks that components with this interface and these exports can be served.
    ///
    /// # Errors
    ///
    /// The interface is a draft, or this program was built without what it needs.
    pub(super) fn check(self, exports: &[String]) -> anyhow::Result<()> {
        let export = exports.iter().find(|export| self == Self::Service && export.starts_with(SERVICE));
        match export {
            Some(draft) if draft.contains('-') => bail!(
                "it exports `{draft}`, a draft of WASI 0.3; build it with bindings for a released version, such as the \
                 crate `wasip3` 0.10"
            ),
            Some(export) if !cfg!(feature = "wasip3") => bail!(
                "it exports `{export}`, and this wasmserve was built without WASI 0.3; build wasmserve with its feature \
                 `wasip3`, which is on by default"
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_that_can_express_the_most_comes_first() {
        let mut exports = vec!["wasi:cli/run@0.2.6".to_owned()];
        assert_eq!(Interface::of(&exports), Some(Interface::Command));
        for (export, interface) in [
            ("wasi:http/handler@0.3.2", Interface::Service),
            ("wasi:http/incoming-handler@0.2.0", Interface::WasiHttp),
            (gateway::HANDLER, Interface::Gateway),
        ] {
            exports.push(export.to_owned());
            assert_eq!(Interface::of(&exports), Some(interface));
        }
        assert_eq!(Interface::of(&["wasi:http/handler@0.4.0".to_owned()]), None);
    }

    #[test]
    fn a_draft_of_wasi_0_3_is_refused_by_its_name() {
        let exports = ["wasi:http/handler@0.3.0-rc-2026-02-09".to_owned(), "wasi:cli/run@0.2.6".to_owned()];
        let interface = Interface::of(&exports).expect("it is known");
        let refusal = interface.check(&exports).expect_err("it cannot be linked").to_string();
        assert!(refusal.starts_with("it exports `wasi:http/handler@0.3.0-rc-2026-02-09`, a draft of"), "{refusal}");
    }
}
