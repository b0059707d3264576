//! Status lines.

use std::borrow::Cow;

/// A status: a number such as `404`, or a whole status line such as `"404 Not Found"`.
///
/// ```
/// # use wasmserve_guest::{Environ, Status, testing::call};
/// assert_eq!(404.line(), "404 Not Found");
///
/// let app = |_: Environ| ("404 Nothing Here", "nothing\n");
/// assert_eq!(call(app, Environ::for_test([])).status, "404 Nothing Here");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a status",
    label = "not a status",
    note = "a status is a `u16` such as `404`, or a text such as `\"404 Not Found\"`"
)]
pub trait Status {
    /// Returns the status line: the code, a space and the reason phrase.
    ///
    /// ```
    /// # use wasmserve_guest::Status;
    /// assert_eq!(201.line(), "201 Created");
    /// assert_eq!(299.line(), "299 ", "a code without a registered reason phrase");
    /// ```
    fn line(self) -> Cow<'static, str>;
}

impl Status for &'static str {
    fn line(self) -> Cow<'static, str> {
        self.into()
    }
}

impl Status for String {
    fn line(self) -> Cow<'static, str> {
        self.into()
    }
}

/// Uses the reason phrase of the IANA registry, or an empty one for other codes.
impl Status for u16 {
    fn line(self) -> Cow<'static, str> {
        let line = match self {
            200 => "200 OK",
            201 => "201 Created",
            202 => "202 Accepted",
            203 => "203 Non-Authoritative Information",
            204 => "204 No Content",
            205 => "205 Reset Content",
            206 => "206 Partial Content",
            207 => "207 Multi-Status",
            208 => "208 Already Reported",
            226 => "226 IM Used",
            300 => "300 Multiple Choices",
            301 => "301 Moved Permanently",
            302 => "302 Found",
            303 => "303 See Other",
            304 => "304 Not Modified",
            305 => "305 Use Proxy",
            307 => "307 Temporary Redirect",
            308 => "308 Permanent Redirect",
            400 => "400 Bad Request",
            401 => "401 Unauthorized",
            402 => "402 Payment Required",
            403 => "403 Forbidden",
            404 => "404 Not Found",
            405 => "405 Method Not Allowed",
            406 => "406 Not Acceptable",
            407 => "407 Proxy Authentication Required",
            408 => "408 Request Timeout",
            409 => "409 Conflict",
            410 => "410 Gone",
            411 => "411 Length Required",
            412 => "412 Precondition Failed",
            413 => "413 Content Too Large",
            414 => "414 URI Too Long",
            415 => "415 Unsupported Media Type",
            416 => "416 Range Not Satisfiable",
            417 => "417 Expectation Failed",
            421 => "421 Misdirected Request",
            422 => "422 Unprocessable Content",
            423 => "423 Locked",
            424 => "424 Failed Dependency",
            425 => "425 Too Early",
            426 => "426 Upgrade Required",
            428 => "428 Precondition Required",
            429 => "429 Too Many Requests",
            431 => "431 Request Header Fields Too Large",
            451 => "451 Unavailable For Legal Reasons",
            500 => "500 Internal Server Error",
            501 => "501 Not Implemented",
            502 => "502 Bad Gateway",
            503 => "503 Service Unavailable",
            504 => "504 Gateway Timeout",
            505 => "505 HTTP Version Not Supported",
            506 => "506 Variant Also Negotiates",
            507 => "507 Insufficient Storage",
            508 => "508 Loop Detected",
            511 => "511 Network Authentication Required",
            _ => return format!("{self} ").into(),
        };
        line.into()
    }
}
