//! A whole answer as a value.

use std::{borrow::Cow, fmt::Display, marker::PhantomData};

use crate::{
    Body, Result, Status, Value,
    body::{Chunked, Fallible, Head, Outlet},
    gateway::Gateway,
    refusal,
};

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

/// What a handler in the short form may return.
///
/// | value | response |
/// |---|---|
/// | `&'static str`, `String` | `200 OK`, `Content-Type: text/plain; charset=utf-8` |
/// | `Vec<u8>`, `&'static [u8]`, [`Value`], an iterator over chunks | `200 OK`, `Content-Type: application/octet-stream` |
/// | `()` | `200 OK`, nothing else |
/// | `(status, any of these)` | the same with another status: `404` or `"404 Not Found"` |
/// | `(status, headers, body)` | exactly these; the headers are an array or vector of pairs, the body is any [`Body`] |
/// | [`Response`] | itself |
/// | [`Result`] with any of these | that, or the error: a 500, unless it is a [`Refusal`](crate::Refusal) |
///
/// With the feature `json` also `Json`, with any value that serde can write.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// fn app(environ: Environ) -> (u16, [(&'static str, &'static str); 1], String) {
///     let page = format!("<p>No {} here.", environ.path());
///     (404, [("Content-Type", "text/html")], page)
/// }
/// # assert_eq!(call(app, Environ::made([])).status, "404 Not Found");
/// ```
///
/// `M` tells these apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "not a response",
    note = "a response is text, bytes, an iterator over chunks, `(status, body)`, `(status, headers, body)`, a `Response`, or a `Result` with any of these"
)]
pub trait IntoResponse<M = ()> {
    /// The response.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, testing::call};
    /// fn app(environ: Environ) -> Result {
    ///     match environ.query().get("n") {
    ///         Some(n) => format!("{n}\n").into_response(),
    ///         None => (404, ()).into_response(),
    ///     }
    /// }
    /// # assert_eq!(call(app, Environ::made([])).status, "404 Not Found");
    /// ```
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
/// # assert_eq!(call(app, Environ::made([])).header("Set-Cookie").unwrap(), &"new=1");
/// ```
pub struct Response {
    head: Head,
    body: Box<dyn FnOnce(Outlet) -> Result<()>>,
}

impl Response {
    /// A response of exactly these parts.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// let answer = call(Response::new(200, [("Content-Type", "text/html")], "<p>Hello"), Environ::made([]));
    /// assert_eq!(answer.body, b"<p>Hello");
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
            body: Box::new(|outlet| body.send(outlet)),
        }
    }

    /// The same with another header field, after those that are there.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Response, Result, testing::call};
    /// fn app(_environ: Environ) -> Result {
    ///     Ok("moved\n".into_response()?.with_header("X-Served-By", "wasm"))
    /// }
    /// # assert_eq!(call(app, Environ::made([])).header("x-served-by").unwrap(), &"wasm");
    /// ```
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.head.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn status(&self) -> &str {
        &self.head.status
    }

    pub(crate) fn send(self, gateway: Gateway) -> Result<()> {
        (self.body)(Outlet::held(gateway, self.head))
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
        typed(OCTETS, self)
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Result<Response> {
        typed(OCTETS, self)
    }
}

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Result<Response> {
        typed(OCTETS, self)
    }
}

impl IntoResponse for Value {
    fn into_response(self) -> Result<Response> {
        typed(OCTETS, self)
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
        typed(OCTETS, self)
    }
}

/// A status and more.
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
        let answer = call(|_: Environ| response, Environ::made([]));
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
    fn text_is_plain_text_and_bytes_are_octets() {
        let text = expected("200 OK", &[("Content-Type", TEXT)], "body");
        assert_eq!(answered("body"), text);
        assert_eq!(answered("body".to_owned()), text);
        let octets = expected("200 OK", &[("Content-Type", OCTETS)], "body");
        assert_eq!(answered(b"body"), octets);
        assert_eq!(answered(b"body".to_vec()), octets);
        assert_eq!(answered(["bo", "dy"].into_iter()), octets);
        assert_eq!(answered(crate::FileWrapper::new(&b"body"[..])), octets);
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
    fn who_gives_headers_gives_all_of_them() {
        let both = expected("200 OK", &[("X-A", "1"), ("X-A", "2")], "x");
        assert_eq!(answered((200, [("X-A", "1"), ("X-A", "2")], "x")), both);
        let vector = vec![("X-A", 1.to_string()), ("X-A", 2.to_string())];
        assert_eq!(answered((200, vector, Some("x").into_iter())), both);
    }

    #[test]
    fn an_error_before_the_first_chunk_leaves_the_response_unstarted() {
        let failing = (200, [("X-A", "1")], [Err::<&str, _>("failed")].into_iter());
        let answer = call(|_: Environ| failing, Environ::made([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("failed"));
    }
}
