//! Finds out by its exports how a component is called.

use anyhow::{anyhow, bail};

use super::{command, gateway, layer, wasi_http};

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

/// All interfaces, in the order in which they are preferred: the one that can express the most comes first.
const ALL: [Interface; 4] = [Interface::Gateway, Interface::WasiHttp, Interface::Service, Interface::Command];

/// The kinds among which a user chooses for a component that exports several interfaces.
pub(crate) const KINDS: [&str; 3] = [Interface::Gateway.kind(), Interface::WasiHttp.kind(), Interface::Command.kind()];

/// Whether these are the exports of a filter. A filter in Rust exports `wasi:cli/run`, too.
pub(crate) fn is_filter(exports: &[String]) -> bool {
    exports.iter().any(|export| export == layer::FILTER) && !exports.iter().any(|export| export == gateway::HANDLER)
}

impl Interface {
    /// The interface to call a component with these exports through, or `None` if it has none that we know.
    #[must_use]
    pub(crate) fn of(exports: &[String]) -> Option<Self> {
        ALL.into_iter().find(|interface| interface.export(exports).is_some())
    }

    /// The interface to call a component with these exports through if it has to be of this kind, one of [`KINDS`].
    ///
    /// # Errors
    ///
    /// The component exports no interface of this kind.
    pub(super) fn of_kind(kind: &str, exports: &[String]) -> anyhow::Result<Self> {
        let mut known = ALL.into_iter().filter(|interface| interface.kind() == kind);
        known.clone().find(|interface| interface.export(exports).is_some()).ok_or_else(|| {
            let lacks = known.next().map_or("", Self::name);
            anyhow!("it is not of the kind `{kind}:`, because it does not export `{lacks}`")
        })
    }

    /// The kind as users name it.
    const fn kind(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::WasiHttp | Self::Service => "wasi-http",
            Self::Command => "cgi",
        }
    }

    /// The name of the interface, without the last part of its version if any will do.
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => gateway::HANDLER,
            Self::WasiHttp => wasi_http::HANDLER,
            Self::Service => SERVICE,
            Self::Command => command::RUN,
        }
    }

    /// The export of this interface, under its full name.
    fn export(self, exports: &[String]) -> Option<&String> {
        exports.iter().find(|export| export.starts_with(self.name()))
    }

    /// Checks that components with this interface and these exports can be served.
    ///
    /// # Errors
    ///
    /// The interface is a draft, or this program was built without what it needs.
    pub(super) fn check(self, exports: &[String]) -> anyhow::Result<()> {
        let export = self.export(exports).map_or(self.name(), String::as_str);
        match self {
            Self::WasiHttp | Self::Command if is_draft(export) => bail!(
                "it exports `{export}`, a draft of WASI 0.2; build it with current tools, such as the crate `wasip2`"
            ),
            Self::Service if is_draft(export) => bail!(
                "it exports `{export}`, a draft of WASI 0.3; build it with bindings for a released version, such as the \
                 crate `wasip3` 0.10"
            ),
            Self::Service if !cfg!(feature = "wasip3") => bail!(
                "it exports `{export}`, and this wasmserve was built without WASI 0.3; build wasmserve with its feature \
                 `wasip3`, which is on by default"
            ),
            _ => Ok(()),
        }
    }

    /// What a component with this interface is, for people.
    #[must_use]
    pub(crate) fn title(self) -> String {
        match self {
            Self::Gateway => format!("a handler: exports `{}`", gateway::HANDLER),
            Self::WasiHttp => "a component of wasi:http 0.2".to_owned(),
            Self::Service => "a component of wasi:http 0.3, which is experimental".to_owned(),
            Self::Command => "a CGI program of WASI 0.2".to_owned(),
        }
    }

    /// What handlers of our own can do and these cannot, because their interface has no words for it; `docs/kinds.md`
    /// explains each.
    #[must_use]
    pub(crate) fn cannot_keep(self) -> &'static [&'static str] {
        match self {
            Self::Gateway => &[],
            Self::WasiHttp | Self::Service => &[
                "of the request: the case and order of field names, names with odd characters, the client's address",
                "of the response: the reason phrase",
            ],
            Self::Command => {
                &["of the request: bytes that are not UTF-8 in variables, the case and order of field names"]
            }
        }
    }
}

/// Whether the version of an interface is a draft, such as `0.2.0-rc-2023-11-10`.
fn is_draft(export: &str) -> bool {
    export.split_once('@').is_some_and(|(_, version)| version.contains('-'))
}

/// Says that a component exports none of the interfaces, and names them.
#[must_use]
pub(crate) fn none_is_exported() -> String {
    let names = ALL.map(|interface| match interface.name() {
        any if any.ends_with('.') => format!("`{any}x`"),
        exact => format!("`{exact}`"),
    });
    let (last, others) = names.split_last().expect("there are interfaces");
    format!("it does not export {} or {last}", others.join(", "))
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
    fn a_kind_that_the_user_names_is_called_or_refused() {
        let exports = ["wasi:cli/run@0.2.6", "wasi:http/handler@0.3.2"].map(str::to_owned);
        assert_eq!(Interface::of(&exports), Some(Interface::Service));
        assert_eq!(Interface::of_kind("cgi", &exports).ok(), Some(Interface::Command));
        assert_eq!(Interface::of_kind("wasi-http", &exports).ok(), Some(Interface::Service));
        let refused = Interface::of_kind("gateway", &exports).map_err(|error| error.to_string());
        let why = "it is not of the kind `gateway:`, because it does not export `wasmserve:gateway/handler@0.1.0`";
        assert_eq!(refused, Err(why.to_owned()));
    }

    #[test]
    fn a_draft_of_wasi_is_refused_by_its_name() {
        for draft in ["wasi:http/handler@0.3.0-rc-2026-02-09", "wasi:http/incoming-handler@0.2.0-rc-2023-11-10"] {
            let exports = [draft.to_owned(), "wasi:cli/run@0.2.6".to_owned()];
            let interface = Interface::of(&exports).expect("it is known");
            let refusal = interface.check(&exports).expect_err("it cannot be linked").to_string();
            assert!(refusal.starts_with(&format!("it exports `{draft}`, a draft of")), "{refusal}");
        }
    }
}
