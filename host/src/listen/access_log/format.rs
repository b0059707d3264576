//! The formats of the access log.

/// The format of the access log (rules L1 to L6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// As Python's `http.server` writes it, in local time.
    #[default]
    BaseHttp,
    /// The Common Log Format, as Apache and nginx write it.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}
