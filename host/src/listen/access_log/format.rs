//! The formats of the access log.

/// The format of the access log (rules L1 to L6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The format of Python's `http.server`, in local time.
    BaseHttp,
    /// The Common Log Format of Apache and nginx.
    Common,
    /// The Common Log Format with `Referer` and `User-Agent`.
    Combined,
    /// One JSON object per line.
    Json,
    /// No access log.
    None,
}
