//! The contract, clause by clause.

use std::fmt::{self, Display, Formatter};

use crate::{StartError, WriteError};

macro_rules! clauses {
    ($($side:ident { $($clause:ident: $says:literal, $source:literal;)* })*) => {
        /// What is checked. The documentation of [`validator`](super::validator) lists it from the same table.
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

        /// The clauses of a side as rows of a table.
        macro_rules! rows {
            $(($side) => { concat!($("| ", $says, " | ", $source, " |\n"),*) };)*
        }
    };
}

/// Whose clause it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Application,
    /// The application's, and only advice.
    Advice,
}

clauses! {
    Host {
        Present: "`REQUEST_METHOD`, `SERVER_NAME`, `SERVER_PORT`, `SERVER_PROTOCOL` and `wsgi.*` are there and not empty",
            "PEP 3333, environ Variables";
        PresentPath: "`SCRIPT_NAME`, `PATH_INFO` and `QUERY_STRING` are there", "RFC 3875 section 4.1";
        Dictionary: "every name occurs once and has one value", "PEP 3333, environ Variables";
        Method: "`REQUEST_METHOD` is a token", "RFC 9110 section 9.1";
        ScriptName: "`SCRIPT_NAME` is empty, or starts with `/` and does not end with it", "PEP 3333, URL Reconstruction";
        PathInfo: "`PATH_INFO` starts with `/`, is `*`, or is empty below a `SCRIPT_NAME`", "RFC 3875 section 4.1.5";
        ServerPort: "`SERVER_PORT` is digits", "RFC 3875 section 4.1.15";
        ServerProtocol: "`SERVER_PROTOCOL` is `HTTP/` and a version", "RFC 3875 section 4.1.16";
        ContentLength: "`CONTENT_LENGTH` is digits", "RFC 3875 section 4.1.2";
        Twin: "there is no `HTTP_CONTENT_TYPE` and no `HTTP_CONTENT_LENGTH`", "RFC 3875 section 4.1.18";
        Proxy: "there is no `HTTP_PROXY`", "CVE-2016-5385";
        HttpName: "`HTTP_` is followed by upper-case letters, digits and `_`", "RFC 3875 section 4.1.18";
        HttpValue: "the value of an `HTTP_` variable has no line end and no NUL", "RFC 9110 section 5.5";
        Version: "`wsgi.version` is `1.0`", "PEP 3333, environ Variables";
        UrlScheme: "`wsgi.url_scheme` is `http` or `https`", "PEP 3333, environ Variables";
        Flag: "the other `wsgi.*` are `0` or `1`", "PEP 3333, environ Variables";
        ReadAtMost: "a read gives no more octets than it was asked for", "PEP 3333, Input and Error Streams";
        ReadEnd: "a read after the end or after an error gives that again", "PEP 3333, Input and Error Streams";
        ReadLength: "there are as many octets to read as `CONTENT_LENGTH` says", "RFC 3875 section 4.2";
        ReadNothing: "without a length and without chunks there is no body", "RFC 9112 section 6.3";
        Trailers: "trailers come after the body, and are not about framing, routing or authentication",
            "RFC 9110 section 6.5.1";
        Refusal: "`start_response` and `write` raise for what is wrong, and for nothing else",
            "PEP 3333, The start_response() Callable";
    }
    Application {
        NotStarted: "`start_response` comes before the first octet and before the end",
            "PEP 3333, The start_response() Callable";
        StartedTwice: "`start_response` is called once, or again with an error", "PEP 3333, The start_response() Callable";
        Status: "a status is three digits from 200 to 999, a space and a reason", "RFC 9112 section 4";
        FieldName: "the name of a header field is a token", "RFC 9110 section 5.1";
        FieldValue: "the value of a header field has no control characters but tabs", "RFC 9110 section 5.5";
        HopByHop: "there is no hop-by-hop header field", "PEP 3333, Other HTTP Features";
        Length: "`Content-Length` is one number, given once", "RFC 9110 section 8.6";
        BodyLength: "a body is as long as its `Content-Length`", "PEP 3333, Handling the Content-Length Header";
        Ended: "nothing is written after the end", "wasmserve:gateway, response";
    }
    Advice {
        Reason: "a status has a space after its code", "RFC 9112 section 4";
        NoBody: "there is no body with 204, 205 and 304, and none in chunks for `HEAD`", "RFC 9110 section 6.4.1";
        NoLength: "there is no `Content-Length` with 204", "RFC 9110 section 8.6";
        NoType: "there is no `Content-Type` with 204 or 304", "wsgiref.validate, check_content_type";
        Type: "a body has a `Content-Type`, unless nobody knows it", "RFC 9110 section 8.3";
        CgiStatus: "there is no `Status` field, which is CGI's", "RFC 3875 section 6.3.3";
    }
}

impl Clause {
    pub(super) fn broken_by(self, what: impl Into<String>) -> Breach {
        Breach { clause: self, what: what.into() }
    }
}

/// A clause that was broken, and by what.
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

    /// What `start_response` raises for it.
    pub(super) fn start_error(&self) -> StartError {
        match self.clause {
            Clause::StartedTwice => StartError::AlreadyStarted,
            Clause::Status => StartError::BadStatus,
            Clause::HopByHop => StartError::HopByHop(self.to_string()),
            _ => StartError::BadHeader(self.to_string()),
        }
    }

    /// What `write` raises for it.
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
