//! Responses as values.

use std::{borrow::Cow, fmt::Display, marker::PhantomData};

use crate::{
    Body, Result, Status, Value,
    body::{BodyWriter, Chunked, Fallible, Head},
    gateway::Gateway,
    refusal,
};

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// A value that converts to a response: what a handler in the short form may return.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String` | `200 OK`, `Content-Type: text/plain; charset=utf-8` |
/// | `Vec<u8>`, `&'static [u8]`, [`Value`], an iterator over chunks | `200 OK`, `Content-Type: application/octet-stream` |
/// | `()` | `200 OK` without a body or a `Content-Type` |
/// | `(status, value)`, with any of these as value | the same with another status: `404` or `"404 Not Found"` |
/// | `(status, headers, body)` | exactly these parts: an array or vector of pairs, and any [`Body`] |
/// | [`Response`] | itself |
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
    note = "a response is text, bytes, an iterator over chunks, `(status, body)`, `(status, headers, body)`, a `Response`, or a `Result` with any of these"
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

fn typed<M>(content_type: &'static str, body: impl Body<M> + 'static) -> Result<Response> {
    Ok(Response::new(200, [("Content-Type", content_type)], body))
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response> {
        Ok(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response> {
        typed(TEXT, self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response> {
        typed(TEXT, self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Result<Response> {
        typed(BINARY, self)
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Result<Response> {
        typed(BINARY, self)
    }
}

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Result<Response> {
        typed(BINARY, self)
    }
}

impl IntoResponse for Value {
    fn into_response(self) -> Result<Response> {
        typed(BINARY, self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Result<Response> {
        let none: [(&str, &str); 0] = [];
        Ok(Response::new(200, none, self))
    }
}

impl<I, N> IntoResponse<Chunked<N>> for I
where
    I: Iterator + Body<Chunked<N>> + 'static,
{
    fn into_response(self) -> Result<Response> {
        typed(BINARY, self)
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
    fn an_error_before_the_first_chunk_does_not_start_the_response() {
        let failing = (200, [("X-A", "1")], [Err::<&str, _>("failed")].into_iter());
        let answer = call(|_: Environ| failing, Environ::for_test([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("failed"));
    }
}
