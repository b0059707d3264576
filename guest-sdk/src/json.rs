//! JSON requests and responses, with the feature `json`.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io,
};

use serde_core::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use crate::{
    Environ, IntoResponse, Refusal, Response, Result, Value,
    form::write_coding,
    media_type::{self, MediaType},
};

/// The same limit as for forms. For longer bodies, use [`Input`](crate::Input) with `serde_json::from_reader`.
const LIMIT: usize = 1 << 20;

/// A response that is a value in JSON: `200 OK`, `Content-Type: application/json`.
///
/// **Requires the feature `json`.**
///
/// ```
/// use wasmserve_guest::{Environ, IntoResponse, Json, json, testing::call};
///
/// fn app(environ: Environ) -> impl IntoResponse {
///     Json(json!({ "path": environ.path().to_string() }))
/// }
///
/// let answer = call(app, Environ::for_test([]));
/// assert_eq!(answer.header("Content-Type").unwrap(), &"application/json");
/// assert_eq!(answer.body, br#"{"path":"/"}"#);
/// ```
///
/// For another status, return `(201, Json(value))`. A value that cannot be serialized, such as a map whose keys are not
/// strings, is a failure of the handler: a 500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response> {
        Ok(Response::json(self.0))
    }
}

impl Environ {
    /// Reads the request body of up to 1 MiB as JSON.
    ///
    /// **Requires the feature `json`.**
    ///
    /// `?` turns an invalid body into the response that [`JsonError`] lists:
    ///
    /// ```
    /// use wasmserve_guest::{Environ, Result, testing::call};
    ///
    /// fn app(environ: Environ) -> Result<String> {
    ///     let numbers: Vec<u32> = environ.json()?;
    ///     Ok(format!("{}\n", numbers.iter().sum::<u32>()))
    /// }
    ///
    /// let post = || Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", "application/json")]);
    /// assert_eq!(call(app, post().with_input("[1, 2, 3]")).body, b"6\n");
    /// assert_eq!(call(app, post().with_input("[1, 2")).status, "400 Bad Request");
    /// assert_eq!(call(app, post().with_input("[1, -2]")).status, "422 Unprocessable Content");
    /// ```
    ///
    /// The `Content-Type` must be `application/json` or end in `+json`. A page of another site can make a browser send
    /// other types, but for this one the browser needs the permission of your server first.
    ///
    /// # Errors
    ///
    /// Fails if the `Content-Type` is not JSON, or if the body is too long, incomplete, not JSON, or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        let content_type = self.get("CONTENT_TYPE").unwrap_or_default();
        if !MediaType::parse(&content_type).is_some_and(|media_type| media_type.is_json()) {
            return Err(JsonError::MediaType(content_type));
        }
        if let Some(coding) = media_type::coding(self) {
            return Err(JsonError::Coding(coding));
        }
        let body = self.whole_body(LIMIT).map_err(JsonError::from_io)?;
        // Some clients begin with a byte order mark, which may be ignored (RFC 8259 section 8.1).
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => JsonError::Data(error),
            Category::Syntax | Category::Eof | Category::Io => JsonError::Syntax(error),
        })
    }
}

/// Why a request body is not the expected value; see [`Environ::json`].
///
/// **Requires the feature `json`.**
///
/// ```
/// use wasmserve_guest::{Environ, JsonError};
///
/// let environ = Environ::for_test([("CONTENT_TYPE", "text/plain")]).with_input("[]");
/// let error = environ.json::<Vec<u32>>().unwrap_err();
/// assert!(matches!(error, JsonError::MediaType(_)));
/// assert_eq!(error.to_string(), "the body is `text/plain`; send `application/json`");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// 415: the `Content-Type` is missing, or is not JSON.
    MediaType(Value),
    /// 415: the body is compressed.
    Coding(Value),
    /// 413: the body is longer than 1 MiB.
    TooLarge,
    /// 400: the body is not JSON.
    Syntax(serde_json::Error),
    /// 422: the body is JSON, but not the expected value.
    Data(serde_json::Error),
    /// The body could not be read. The host decides about the response.
    Read(io::Error),
}

impl JsonError {
    fn from_io(error: io::Error) -> Self {
        if crate::input::is_beyond_limit(&error) { Self::TooLarge } else { Self::Read(error) }
    }

    /// Returns the response for the client, unless the body could not be read.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let error = Environ::for_test([]).json::<u32>().unwrap_err();
    /// assert_eq!(error.refusal().unwrap().status(), "415 Unsupported Media Type");
    /// ```
    pub fn refusal(&self) -> Option<Refusal> {
        let status = match self {
            Self::MediaType(_) | Self::Coding(_) => 415,
            Self::TooLarge => 413,
            Self::Syntax(_) => 400,
            Self::Data(_) => 422,
            Self::Read(_) => return None,
        };
        Some(Refusal::new(status, self.to_string()))
    }
}

impl Display for JsonError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType(none) if none.is_empty() => {
                f.write_str("the body has no Content-Type; send `application/json`")
            }
            Self::MediaType(other) => {
                write!(f, "the body is `{}`; send `application/json`", other.as_bytes().escape_ascii())
            }
            Self::Coding(coding) => write_coding(f, coding),
            Self::TooLarge => write!(f, "the body is longer than {LIMIT} bytes"),
            Self::Syntax(error) => write!(f, "the body is not JSON: {error}"),
            Self::Data(error) => write!(f, "the body is not the expected value: {error}"),
            Self::Read(error) => Display::fmt(error, f),
        }
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Syntax(error) | Self::Data(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::MediaType(_) | Self::Coding(_) | Self::TooLarge => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{ReadError, testing::call, validator};

    fn app(environ: Environ) -> Result<Json<BTreeMap<String, u8>>> {
        Ok(Json(environ.json()?))
    }

    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Environ {
        Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]).with_input(body)
    }

    #[test]
    fn a_body_of_another_type_is_415() {
        for (content_type, is_json) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/ld+json", true),
            ("application/jsonp", false),
            ("text/json", false),
            ("+json", false),
            ("", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain; application/json", false),
        ] {
            let answer = call(validator(app), post(content_type, "{}"));
            let expected = if is_json { "200 OK" } else { "415 Unsupported Media Type" };
            assert_eq!((&*answer.status, answer.log.len()), (expected, 0), "{content_type}");
        }
    }

    #[test]
    fn the_client_learns_what_is_wrong_with_its_body() {
        for (body, status, text) in [
            ("", "400 Bad Request", "the body is not JSON: EOF while parsing a value at line 1 column 0\n"),
            ("{", "400 Bad Request", "the body is not JSON: EOF while parsing an object at line 1 column 1\n"),
            ("{} {}", "400 Bad Request", "the body is not JSON: trailing characters at line 1 column 4\n"),
            (
                "[]",
                "422 Unprocessable Content",
                "the body is not the expected value: invalid type: sequence, expected a map at line 1 column 0\n",
            ),
            (
                r#"{"a": 256}"#,
                "422 Unprocessable Content",
                "the body is not the expected value: invalid value: integer `256`, expected u8 at line 1 column 9\n",
            ),
        ] {
            let answer = call(validator(app), post("application/json", body));
            assert_eq!((&*answer.status, String::from_utf8_lossy(&answer.body)), (status, text.into()), "{body}");
            assert!(answer.log.is_empty());
        }
        assert_eq!(call(app, post("application/json", "\u{feff}{}")).status, "200 OK");
        let compressed = post("application/json", "\x1f").with("HTTP_CONTENT_ENCODING", "gzip");
        assert_eq!(call(app, compressed).status, "415 Unsupported Media Type");
        let deep = "[".repeat(1 << 20);
        assert_eq!(call(app, post("application/json", deep)).status, "422 Unprocessable Content");
    }

    #[test]
    fn a_body_that_is_too_long_is_413() {
        let mut body = vec![b' '; LIMIT];
        body[0] = b'{';
        body[LIMIT - 1] = b'}';
        assert_eq!(call(app, post("application/json", body.clone())).status, "200 OK");
        body.push(b' ');
        assert_eq!(call(app, post("application/json", body)).status, "413 Content Too Large");
    }

    #[test]
    fn a_body_that_the_host_cannot_read_is_a_fault() {
        for error in [ReadError::Disconnected, ReadError::TooLarge] {
            let answer = call(app, post("application/json", "{}").with_read_error(error));
            assert_eq!(answer.fault, Some(error.to_string()));
        }
    }

    #[test]
    fn a_value_that_cannot_be_serialized_is_a_fault() {
        let map = BTreeMap::from([(vec![1], 2)]);
        let answer = call(|_: Environ| Json(map), Environ::for_test([]));
        assert_eq!(answer.fault.as_deref(), Some("key must be a string"));
        let answer = call(|_: Environ| (201, Json("é")), Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body), ("201 Created", "\"é\"".as_bytes()));
    }
}
