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
    /// Every line, also those that are not about a request, as a JSON object.
    Json,
    /// For people: aligned columns, in colours if the terminal has them. The only format that is not for programs.
    Terminal {
        /// Whether to use colours.
        color: bool,
    },
    /// No access log.
    None,
}
