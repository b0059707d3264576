//! The clauses of the contract.

use std::fmt::{self, Display, Formatter};

use crate::{StartError, WriteError};

macro_rules! clauses {
    ($($side:ident { $($clause:ident: $says:literal, $source:literal;)* })*) => {
        /// A clause that is checked. The documentation of [`validator`](super::validator) is generated from the same
        /// table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Clause {
            $($($clause,)*)*
        }

        impl Clause {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$($(Self::$clause,)*)*];

            fn side(self) -> Side {
                match self {
                    $($(Self::$clause => Side::$side,)*)*
                }
            }

            fn text(self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$clause => ($says, $source),)*)*
                }
            }
        }

        /// The clauses of one side as the rows of a table.
        macro_rules! rows {
            $(($side) => { concat!($("| ", $says, " | ", $source, " |\n"),*) };)*
        }
    };
}

/// The side that must obey a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Application,
    /// The application, but only as advice.
    Advice,
}

clauses! {
    Host {
        Present: "`REQUEST_METHOD`, `SERVER_NAME`, `SERVER_PORT`, `SERVER_PROTOCOL` and `wsgi.*` must be present and not empty",
            "PEP 3333, environ Variables";
        PresentPath: "`SCRIPT_NAME`, `PATH_INFO` and `QUERY_STRING` must be present", "RFC 3875 section 4.1";
        Dictionary: "every variable must occur once and have one value", "PEP 3333, environ Variables";
        Method: "`REQUEST_METHOD` must be a token", "RFC 9110 section 9.1";
        ScriptName: "`SCRIPT_NAME` must be empty, or start with `/` and not end with it", "PEP 3333, URL Reconstruction";
        PathInfo: "`PATH_INFO` must start with `/`, or be `*`, or be empty below a `SCRIPT_NAME`", "RFC 3875 section 4.1.5";
        ServerPort: "`SERVER_PORT` must be digits", "RFC 3875 section 4.1.15";
        ServerProtocol: "`SERVER_PROTOCOL` must be `HTTP/` and a version", "RFC 3875 section 4.1.16";
        ContentLength: "`CONTENT_LENGTH` must be digits", "RFC 3875 section 4.1.2";
        Twin: "`HTTP_CONTENT_TYPE` and `HTTP_CONTENT_LENGTH` must not exist", "RFC 3875 section 4.1.18";
        Proxy: "`HTTP_PROXY` must not exist", "CVE-2016-5385";
        HttpName: "`HTTP_` must be followed by upper-case letters, digits and `_`", "RFC 3875 section 4.1.18";
        HttpValue: "the value of an `HTTP_` variable must not contain CR, LF or NUL", "RFC 9110 section 5.5";
        Version: "`wsgi.version` must be `1.0`", "PEP 3333, environ Variables";
        UrlScheme: "`wsgi.url_scheme` must be `http` or `https`", "PEP 3333, environ Variables";
        Flag: "the other `wsgi.*` variables must be `0` or `1`", "PEP 3333, environ Variables";
        ReadAtMost: "a read must not return more bytes than requested", "PEP 3333, Input and Error Streams";
        ReadEnd: "a read after the end or an error must return the same again", "PEP 3333, Input and Error Streams";
        ReadLength: "the body must be as long as `CONTENT_LENGTH`", "RFC 3875 section 4.2";
        ReadNothing: "without a length and chunks there must be no body", "RFC 9112 section 6.3";
        Trailers: "trailers must come after the body, and not concern framing, routing or authentication",
            "RFC 9110 section 6.5.1";
        Refusal: "`start_response` and `write` must reject what is invalid, and nothing else",
            "PEP 3333, The start_response() Callable";
    }
    Application {
        NotStarted: "`start_response` must be called before the first byte and before the end",
            "PEP 3333, The start_response() Callable";
        StartedTwice: "`start_response` must be called once, or again with an error", "PEP 3333, The start_response() Callable";
        Status: "the status must be three digits from 200 to 999, a space and a reason", "RFC 9112 section 4";
        FieldName: "the name of a header field must be a token", "RFC 9110 section 5.1";
        FieldValue: "the value of a header field must not contain control characters except tabs", "RFC 9110 section 5.5";
        HopByHop: "hop-by-hop header fields are not allowed", "PEP 3333, Other HTTP Features";
        Length: "`Content-Length` must be one number, set once", "RFC 9110 section 8.6";
        BodyLength: "the body must be as long as its `Content-Length`", "PEP 3333, Handling the Content-Length Header";
        Ended: "nothing may be written after the end", "wasmserve:gateway, response";
    }
    Advice {
        Reason: "a status should have a space after its code", "RFC 9112 section 4";
        NoBody: "a 204, 205 or 304 should have no body, and a response to `HEAD` none in chunks", "RFC 9110 section 6.4.1";
        NoLength: "a 204 should have no `Content-Length`", "RFC 9110 section 8.6";
        NoType: "a 204 or 304 should have no `Content-Type`", "wsgiref.validate, check_content_type";
        Type: "a body should have a `Content-Type`, unless it is unknown", "RFC 9110 section 8.3";
        CgiStatus: "a response should have no `Status` field, which belongs to CGI", "RFC 3875 section 6.3.3";
    }
}

impl Clause {
    pub(super) fn broken_by(self, what: impl Into<String>) -> Breach {
        Breach { clause: self, what: what.into() }
    }
}

/// A violation of a clause, and what caused it.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    clause: Clause,
    what: String,
}

impl Breach {
    #[cfg(test)]
    pub(super) fn clause(&self) -> Clause {
        self.clause
    }

    pub(super) fn is_advice(&self) -> bool {
        self.clause.side() == Side::Advice
    }

    /// The error that `start_response` returns for it.
    pub(super) fn start_error(&self) -> StartError {
        match self.clause {
            Clause::StartedTwice => StartError::AlreadyStarted,
            Clause::Status => StartError::BadStatus,
            Clause::HopByHop => StartError::HopByHop(self.to_string()),
            _ => StartError::BadHeader(self.to_string()),
        }
    }

    /// The error that `write` returns for it.
    pub(super) fn write_error(&self) -> WriteError {
        match self.clause {
            Clause::NotStarted => WriteError::NotStarted,
            Clause::BodyLength => WriteError::PastContentLength,
            _ => WriteError::Disconnected,
        }
    }
}

impl Display for Breach {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (says, source) = self.clause.text();
        let advice = if self.is_advice() { "advice: " } else { "" };
        write!(f, "validator: {advice}{source}: {says}: {}", self.what)
    }
}
