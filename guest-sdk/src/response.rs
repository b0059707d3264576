//! Responses as values.

use std::{borrow::Cow, fmt::Display, marker::PhantomData};

use crate::{
    Body, Result, Status, Value,
    body::{BodyWriter, Chunked, Fallible, Head, Optional},
    gateway::Gateway,
    refusal,
};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const BINARY: &str = "application/octet-stream";
#[cfg(feature = "json")]
const JSON: &str = "application/json";

/// A value that converts to a response: what a handler in the short form may return.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String` | `200 OK`, `Content-Type: text/plain; charset=utf-8` |
/// | `Vec<u8>`, `&'static [u8]`, [`Value`], an iterator over chunks | `200 OK`, `Content-Type: application/octet-stream` |
/// | [`Sse`](crate::Sse) | `200 OK`, a stream of server-sent events |
/// | `()` | `200 OK` without a body or a `Content-Type` |
/// | an [`Option`] with any of these | the value, or `404 Not Found` without a body |
/// | `(status, value)`, with any of these as value | the same with another status: `404` or `"404 Not Found"` |
/// | `(status, headers, body)` | exactly these parts: an array or vector of pairs, and any [`Body`] |
/// | [`Response`] | itself; [`Response::html`], [`Response::redirect`] and others create one |
/// | [`Result`] with any of these | the value, or a 500 for an error that is not a [`Refusal`](crate::Refusal) |
///
/// With the feature `json`, also `Json(value)` for every `value` that serde can serialize.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// fn app(environ: Environ) -> (u16, [(&'static str, &'static str); 1], String) {
///     let page = format!("<p>No {} here.", environ.path());
///     (404, [("Content-Type", "text/html")], page)
/// }
/// # assert_eq!(call(app, Environ::for_test([])).status, "404 Not Found");
/// ```
///
/// The parameter `M` distinguishes these implementations. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "not a response",
    note = "a response is text, bytes, `Json(value)`, an iterator over chunks, `(status, body)` or `(status, headers, body)` with a `u16` as status, a `Response`, or an `Option` or a `Result` with any of these"
)]
pub trait IntoResponse<M = ()> {
    /// Converts the value to a response. Call it where several types of responses must become one:
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, testing::call};
    /// fn app(environ: Environ) -> Result {
    ///     match environ.query().get("n") {
    ///         Some(n) => format!("{n}\n").into_response(),
    ///         None => (404, ()).into_response(),
    ///     }
    /// }
    /// # assert_eq!(call(app, Environ::for_test([])).status, "404 Not Found");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of a [`Result`] that is not a [`Refusal`](crate::Refusal).
    fn into_response(self) -> Result<Response>;
}

/// A status, header fields and a body.
///
/// ```
/// # use wasmserve_guest::{Environ, Response, testing::call};
/// fn app(environ: Environ) -> Response {
///     let cookie = environ.get("HTTP_COOKIE").unwrap_or("new=1".into());
///     Response::new(200, [("Content-Type", "text/html")], "<p>Hello").with_header("Set-Cookie", cookie)
/// }
/// # assert_eq!(call(app, Environ::for_test([])).header("Set-Cookie").unwrap(), &"new=1");
/// ```
pub struct Response {
    head: Head,
    body: Box<dyn FnOnce(BodyWriter) -> Result<()>>,
}

impl Response {
    /// Creates a response from exactly these parts.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let moved = Response::new(308, [("Location", "https://example.com/")], ());
    /// assert_eq!(call(moved, Environ::for_test([])).status, "308 Permanent Redirect");
    /// ```
    pub fn new<N, V, M>(
        status: impl Status,
        headers: impl IntoIterator<Item = (N, V)>,
        body: impl Body<M> + 'static,
    ) -> Self
    where
        N: Into<Cow<'static, str>>,
        V: Into<Value>,
    {
        let headers = headers.into_iter();
        Self {
            head: Head {
                status: status.line(),
                headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
            },
            body: Box::new(|writer| body.send(writer)),
        }
    }

    /// Creates a response with plain text.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let answer = call(|environ: Environ| Response::text(environ.path()), Environ::for_test([]));
    /// assert_eq!(answer.header("Content-Type").unwrap(), "text/plain; charset=utf-8");
    /// assert_eq!(answer.body, b"/");
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        typed(TEXT, text.into())
    }

    /// Creates a response with a page in HTML. Escape what is not HTML, such as what a client has sent.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let answer = call(Response::html("<!doctype html><title>Hello</title>"), Environ::for_test([]));
    /// assert_eq!(answer.header("Content-Type").unwrap(), "text/html; charset=utf-8");
    /// ```
    pub fn html(page: impl Into<String>) -> Self {
        typed(HTML, page.into())
    }

    /// Creates a response with a value in JSON.
    ///
    /// **Requires the feature `json`**, which single files that mention JSON have.
    ///
    /// A value that cannot be serialized, such as a map whose keys are not strings, is a failure of the handler: a 500.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, json, testing::call};
    /// let answer = call(Response::json(json!({ "id": 7 })).with_status(201), Environ::for_test([]));
    /// assert_eq!((&*answer.status, &*answer.body), ("201 Created", &br#"{"id":7}"#[..]));
    /// ```
    #[cfg(feature = "json")]
    pub fn json(value: impl serde_core::Serialize) -> Self {
        typed(JSON, serde_json::to_vec(&value))
    }

    /// Creates a `303 See Other`, which sends the browser to another page with GET: what is needed after a form. For
    /// 301, 302, 307 or 308, add [`with_status`](Self::with_status); the last two keep the method.
    ///
    /// What a URL cannot contain, such as spaces and line feeds, is percent-encoded. A location that a client chooses
    /// can still lead to another site, so check it.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let answer = call(Response::redirect("/café?a=b c"), Environ::for_test([]));
    /// assert_eq!(answer.status, "303 See Other");
    /// assert_eq!(answer.header("Location").unwrap(), "/caf%C3%A9?a=b%20c");
    ///
    /// let moved = Response::redirect("https://example.com/").with_status(308);
    /// assert_eq!(call(moved, Environ::for_test([])).status, "308 Permanent Redirect");
    /// ```
    pub fn redirect(location: impl AsRef<str>) -> Self {
        Self::new(303, [("Location", uri(location.as_ref()))], ())
    }

    /// Replaces the status.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let answer = call(Response::html("<p>No such page").with_status(404), Environ::for_test([]));
    /// assert_eq!(answer.status, "404 Not Found");
    /// ```
    pub fn with_status(mut self, status: impl Status) -> Self {
        self.head.status = status.line();
        self
    }

    /// Appends a header field.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Response, Result, testing::call};
    /// fn app(_environ: Environ) -> Result {
    ///     Ok("fresh for a minute\n".into_response()?.with_header("Cache-Control", "max-age=60"))
    /// }
    /// # assert_eq!(call(app, Environ::for_test([])).header("cache-control").unwrap(), &"max-age=60");
    /// ```
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.head.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn status(&self) -> &str {
        &self.head.status
    }

    pub(crate) fn send(self, gateway: Gateway) -> Result<()> {
        (self.body)(BodyWriter::with_head(gateway, self.head))
    }
}

fn typed<M>(content_type: &'static str, body: impl Body<M> + 'static) -> Response {
    Response::new(200, [("Content-Type", Value::from_static(content_type))], body)
}

/// Percent-encodes what a URI cannot contain (RFC 3986 section 2). This includes backslashes, which browsers take for
/// slashes.
fn uri(location: &str) -> String {
    let mut uri = String::new();
    for byte in location.bytes() {
        if byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte) {
            uri.push(byte.into());
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response> {
        Ok(self)
    }
}

/// Implements [`IntoResponse`] for bodies with a `Content-Type`.
macro_rules! typed {
    ($($content_type:ident for $body:ty $(, $length:ident)?;)*) => {
        $(
            impl$(<const $length: usize>)? IntoResponse for $body {
                fn into_response(self) -> Result<Response> {
                    Ok(typed($content_type, self))
                }
            }
        )*
    };
}

typed! {
    TEXT for &'static str;
    TEXT for String;
    BINARY for Vec<u8>;
    BINARY for &'static [u8];
    BINARY for &'static [u8; N], N;
    BINARY for [u8; N], N;
    BINARY for Value;
}

impl IntoResponse for () {
    fn into_response(self) -> Result<Response> {
        let none: [(&str, &str); 0] = [];
        Ok(Response::new(200, none, self))
    }
}

/// `None` is a 404.
impl<R, M> IntoResponse<Optional<M>> for Option<R>
where
    R: IntoResponse<M>,
{
    fn into_response(self) -> Result<Response> {
        match self {
            Some(response) => response.into_response(),
            None => (404, ()).into_response(),
        }
    }
}

impl<I, N> IntoResponse<Chunked<N>> for I
where
    I: Iterator + Body<Chunked<N>> + 'static,
{
    fn into_response(self) -> Result<Response> {
        Ok(typed(BINARY, self))
    }
}

/// A tuple that begins with a status.
pub struct Parts<M>(PhantomData<M>);

impl<S, R, M> IntoResponse<Parts<M>> for (S, R)
where
    S: Status,
    R: IntoResponse<M>,
{
    fn into_response(self) -> Result<Response> {
        let (status, rest) = self;
        let mut response = rest.into_response()?;
        response.head.status = status.line();
        Ok(response)
    }
}

impl<S, H, N, V, B, M> IntoResponse<Parts<M>> for (S, H, B)
where
    S: Status,
    H: IntoIterator<Item = (N, V)>,
    N: Into<Cow<'static, str>>,
    V: Into<Value>,
    B: Body<M> + 'static,
{
    fn into_response(self) -> Result<Response> {
        let (status, headers, body) = self;
        Ok(Response::new(status, headers, body))
    }
}

impl<R, E, M> IntoResponse<Fallible<M>> for Result<R, E>
where
    R: IntoResponse<M>,
    E: Display + 'static,
{
    fn into_response(self) -> Result<Response> {
        match self {
            Ok(response) => response.into_response(),
            Err(error) => match refusal::response(&error) {
                Some(refusal) => Ok(refusal),
                None => Err(error.to_string().into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, testing::call};

    fn answered<M>(response: impl IntoResponse<M>) -> (String, Vec<(String, String)>, String) {
        let answer = call(|_: Environ| response, Environ::for_test([]));
        let headers = answer.headers.iter();
        (
            answer.status.clone(),
            headers.map(|(name, value)| (name.clone(), value.to_string())).collect(),
            String::from_utf8(answer.body).unwrap(),
        )
    }

    fn expected(status: &str, headers: &[(&str, &str)], body: &str) -> (String, Vec<(String, String)>, String) {
        let headers = headers.iter();
        (
            status.to_owned(),
            headers.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body.to_owned(),
        )
    }

    #[test]
    fn text_is_plain_text_and_bytes_are_an_octet_stream() {
        let text = expected("200 OK", &[("Content-Type", TEXT)], "body");
        assert_eq!(answered("body"), text);
        assert_eq!(answered("body".to_owned()), text);
        let binary = expected("200 OK", &[("Content-Type", BINARY)], "body");
        assert_eq!(answered(b"body"), binary);
        assert_eq!(answered(b"body".to_vec()), binary);
        assert_eq!(answered(["bo", "dy"].into_iter()), binary);
        assert_eq!(answered(crate::FileWrapper::new(&b"body"[..])), binary);
    }

    #[test]
    fn a_status_is_a_number_or_a_line() {
        let text = |status| expected(status, &[("Content-Type", TEXT)], "x");
        assert_eq!(answered((404, "x")), text("404 Not Found"));
        assert_eq!(answered(("418 Short and Stout", "x")), text("418 Short and Stout"));
        assert_eq!(answered((599, "x")), text("599 "));
        assert_eq!(answered((204, ())), expected("204 No Content", &[], ""));
    }

    #[test]
    fn explicit_headers_replace_the_defaults() {
        let both = expected("200 OK", &[("X-A", "1"), ("X-A", "2")], "x");
        assert_eq!(answered((200, [("X-A", "1"), ("X-A", "2")], "x")), both);
        let vector = vec![("X-A", 1.to_string()), ("X-A", 2.to_string())];
        assert_eq!(answered((200, vector, Some("x").into_iter())), both);
    }

    #[test]
    fn nothing_can_be_injected_into_a_location() {
        for (location, expected) in [
            ("/a?b=c&d=%20#e", "/a?b=c&d=%20#e"),
            ("https://[::1]:8000/~a", "https://[::1]:8000/~a"),
            ("", ""),
            ("/a\r\nSet-Cookie: b=c", "/a%0D%0ASet-Cookie:%20b=c"),
            ("/\\evil.example", "/%5Cevil.example"),
            ("/\0\x7f\"<>{}|^`", "/%00%7F%22%3C%3E%7B%7D%7C%5E%60"),
        ] {
            let answer = call(Response::redirect(location), Environ::for_test([]));
            assert_eq!(answer.header("Location").unwrap(), expected);
        }
    }

    #[test]
    fn a_missing_value_is_404() {
        assert_eq!(answered(Some("x")), expected("200 OK", &[("Content-Type", TEXT)], "x"));
        assert_eq!(answered(None::<String>), expected("404 Not Found", &[], ""));
        assert_eq!(answered(Ok::<_, String>(None::<&str>)), expected("404 Not Found", &[], ""));
    }

    #[test]
    fn a_body_may_be_empty_or_a_list() {
        let headers = [("X-A", "1")];
        let empty = expected("200 OK", &headers, "");
        assert_eq!(answered((200, headers, ())), empty);
        assert_eq!(answered((200, headers, [0_u8; 0])), empty);
        assert_eq!(answered((200, headers, [""; 0])), empty);
        assert_eq!(answered((200, headers, Vec::<String>::new())), empty);
        assert_eq!(answered((200, headers, None::<&str>)), empty);
        let full = expected("200 OK", &headers, "ab");
        assert_eq!(answered((200, headers, ["a", "b"])), full);
        assert_eq!(answered((200, headers, vec![b"a".to_vec(), b"b".to_vec()])), full);
        assert_eq!(answered((200, headers, Some(*b"ab"))), full);
        assert_eq!(answered((200, headers, Ok::<_, String>("ab"))), full);
    }

    #[test]
    fn an_error_before_the_first_chunk_does_not_start_the_response() {
        let failing = (200, [("X-A", "1")], [Err::<&str, _>("failed")].into_iter());
        let answer = call(|_: Environ| failing, Environ::for_test([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("failed"));
    }
}
