//! Requests of HTTP/2, made of their form in HTTP/1: that of records, and of what a user has edited.
//!
//! What HTTP/2 has no form for is an error, with the remedy: h2 would leave it out, or end the connection.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use memchr::memmem;
use wasmserve_gateway::{escape::escape, field};

/// Fields of a connection, which HTTP/2 does not have (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// Splits a request into its head and what follows.
///
/// # Errors
///
/// The head has no end.
pub(super) fn split(request: &Bytes) -> Result<(Bytes, Bytes), String> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"].map(|end| Some(memmem::find(request, end)? + end.len()));
    let end = ends.into_iter().flatten().min();
    let end = end.ok_or("the head of the request is not complete; end it with an empty line")?;
    Ok((request.slice(..end), request.slice(end..)))
}

/// The head of a request with `length` bytes of content.
///
/// # Errors
///
/// HTTP/2 cannot express it; in one line, with the remedy.
pub(super) fn head(text: &[u8], length: Option<usize>) -> Result<Request<()>, String> {
    let mut lines = lines(text);
    let (method, target) = start(lines.next().unwrap_or_default())?;
    let mut named = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        named.push(named_value(line)?);
    }
    check(&named, length)?;
    // The authority takes the place of a Host that comes first, as it does when a request is captured.
    let authority = named.first().filter(|(name, _)| name == http::header::HOST);
    let authority = authority.and_then(|(_, value)| Authority::try_from(value.as_bytes()).ok());
    let is_first_authority = usize::from(authority.is_some());
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target);
    parts.scheme = authority.as_ref().map(|_| Scheme::HTTP);
    parts.authority = authority;
    let uri = Uri::from_parts(parts).map_err(|_| invalid_target())?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.headers_mut().extend(named.into_iter().skip(is_first_authority));
    Ok(request)
}

/// The trailers of these lines; `None` if there are none.
///
/// # Errors
///
/// As for [`head`].
pub(super) fn trailers(text: &[u8]) -> Result<Option<HeaderMap>, String> {
    let mut named = Vec::new();
    for line in lines(text).filter(|line| !line.is_empty()) {
        named.push(named_value(line)?);
    }
    Ok((!named.is_empty()).then(|| named.into_iter().collect()))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn invalid_target() -> String {
    "the target contains a character that HTTP/2 does not allow; percent-encode it".into()
}

/// The method and the target of a request line.
fn start(line: &[u8]) -> Result<(Method, PathAndQuery), String> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err(format!("`{}` is not a request line; write `METHOD /path HTTP/2`", escape(line)));
    };
    if version != b"HTTP/2" {
        return Err(format!("the request came over HTTP/2, not `{}`; end its first line with HTTP/2", escape(version)));
    }
    let method = Method::from_bytes(method)
        .map_err(|_| format!("the method `{}` is not a token; remove other characters", escape(method)))?;
    if method == Method::CONNECT {
        return Err("CONNECT has no path in HTTP/2; use another method".into());
    }
    let is_of_server = target == b"*" && method == Method::OPTIONS;
    if !target.starts_with(b"/") && !is_of_server {
        return Err(format!(
            "the target `{}` is not a path; begin it with `/`, and name the server in host",
            escape(target)
        ));
    }
    let path = PathAndQuery::try_from(target).map_err(|_| invalid_target())?;
    // A fragment is left out.
    if path.as_str().as_bytes() == target { Ok((method, path)) } else { Err(invalid_target()) }
}

/// A field of HTTP/2.
fn named_value(line: &[u8]) -> Result<(HeaderName, HeaderValue), String> {
    let shown = || escape(&line[..line.len().min(40)]);
    if let Some(pseudo) = line.strip_prefix(b":") {
        let remedy = match pseudo.split(|byte| *byte == b':').next().map(field::trim) {
            Some(b"method" | b"path") => "write it in the first line",
            Some(b"authority") => "write it as `host`, the first field",
            Some(b"scheme") => "remove it, the scheme is always http",
            _ => "remove it",
        };
        return Err(format!("`{}` is a pseudo-field, which HTTP/2 has in the place of others; {remedy}", shown()));
    }
    let Some((name, value)) = field::split(line) else {
        return Err(format!("`{}` is not a field; write `name: value` in one line", shown()));
    };
    let lower = name.to_ascii_lowercase();
    let is_te = lower == b"te" && value != b"trailers";
    if is_te || OF_CONNECTIONS.contains(&&*lower) {
        let remedy = if is_te { "remove it, or write `te: trailers`" } else { "remove it" };
        return Err(format!("HTTP/2 does not allow `{}`; {remedy}", shown()));
    }
    if name != lower && field::is_token(name) {
        let (name, lower) = (escape(name), escape(&lower));
        return Err(format!("the name `{name}` has capitals, which HTTP/2 does not allow; write `{lower}`"));
    }
    let parsed = field::is_token(name).then(|| HeaderName::from_lowercase(name).ok()).flatten();
    let Some(parsed) = parsed else {
        return Err(format!("the name `{}` is not a token; remove other characters", escape(name)));
    };
    let parsed_value = field::is_value(value).then(|| HeaderValue::from_bytes(value).ok()).flatten();
    let value = parsed_value
        .ok_or_else(|| format!("the value of `{}` contains a control character; remove it", escape(name)))?;
    Ok((parsed, value))
}

/// h2 resets a request whose content has another length than its head says.
fn check(named: &[(HeaderName, HeaderValue)], length: Option<usize>) -> Result<(), String> {
    let Some(length) = length else { return Ok(()) };
    let lengths = named.iter().filter(|(name, _)| name == http::header::CONTENT_LENGTH);
    match lengths.map(|(_, value)| value.as_bytes()).find(|value| *value != length.to_string().as_bytes()) {
        Some(value) => Err(format!(
            "content-length is `{}`, but the body has {length} bytes; write {length}, or remove it",
            escape(value)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_its_form_in_http1_says() {
        let text = b"POST /a%20b?c HTTP/2\r\nhost: x:80\r\na: 1\r\nb: \r\na: \xff\r\ncontent-length: 2\r\n\r\n";
        let request = head(text, Some(2)).expect("it is valid");
        assert_eq!((request.method(), request.uri()), (&Method::POST, &"http://x:80/a%20b?c".parse().expect("valid")));
        let fields: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("a", &b"1"[..]), ("a", b"\xff"), ("b", b""), ("content-length", b"2")]);
        // A Host that is not first, or no authority, was not an authority.
        for (text, fields) in [
            (&b"OPTIONS * HTTP/2\na: 1\nhost: x\n\n"[..], 2),
            (b"GET / HTTP/2\nhost: a b\n\n", 1),
            (b"GET / HTTP/2\nhost: \n\n", 1),
        ] {
            let request = head(text, None).expect("it is valid");
            assert_eq!((request.uri().authority(), request.headers().len()), (None, fields));
        }
        assert_eq!(trailers(b"").expect("valid"), None);
        assert_eq!(trailers(b"a: 1\r\na: 2\r\n").expect("valid").map(|trailers| trailers.len()), Some(2));
    }

    #[test]
    fn what_http2_does_not_allow_is_named_with_the_remedy() {
        for (text, why) in [
            (&b""[..], "`` is not a request line; write `METHOD /path HTTP/2`"),
            (b"GET /", "`GET /` is not a request line; write `METHOD /path HTTP/2`"),
            (b"GET / HTTP/1.1", "the request came over HTTP/2, not `HTTP/1.1`; end its first line with HTTP/2"),
            (b"G(T / HTTP/2", "the method `G(T` is not a token; remove other characters"),
            (b"CONNECT x:1 HTTP/2", "CONNECT has no path in HTTP/2; use another method"),
            (
                b"GET http://x/ HTTP/2",
                "the target `http://x/` is not a path; begin it with `/`, and name the server in host",
            ),
            (b"GET /#a HTTP/2", "the target contains a character that HTTP/2 does not allow; percent-encode it"),
            (b"GET /\xff HTTP/2", "the target contains a character that HTTP/2 does not allow; percent-encode it"),
            (
                b"GET / HTTP/2\n:authority: x",
                "`:authority: x` is a pseudo-field, which HTTP/2 has in the place of others; write it as `host`, the \
                 first field",
            ),
            (
                b"GET / HTTP/2\n:path: /x",
                "`:path: /x` is a pseudo-field, which HTTP/2 has in the place of others; write it in the first line",
            ),
            (
                b"GET / HTTP/2\n:scheme: https",
                "`:scheme: https` is a pseudo-field, which HTTP/2 has in the place of others; remove it, the scheme is \
                 always http",
            ),
            (b"GET / HTTP/2\nX-A: 1", "the name `X-A` has capitals, which HTTP/2 does not allow; write `x-a`"),
            (b"GET / HTTP/2\nx a: 1", "the name `x a` is not a token; remove other characters"),
            (b"GET / HTTP/2\nx", "`x` is not a field; write `name: value` in one line"),
            (b"GET / HTTP/2\nconnection: close", "HTTP/2 does not allow `connection: close`; remove it"),
            (b"GET / HTTP/2\nConnection: close", "HTTP/2 does not allow `Connection: close`; remove it"),
            (b"GET / HTTP/2\nupgrade: h2c", "HTTP/2 does not allow `upgrade: h2c`; remove it"),
            (
                b"GET / HTTP/2\ntransfer-encoding: chunked",
                "HTTP/2 does not allow `transfer-encoding: chunked`; remove it",
            ),
            (b"GET / HTTP/2\nte: gzip", "HTTP/2 does not allow `te: gzip`; remove it, or write `te: trailers`"),
            (b"GET / HTTP/2\nx: a\0b", "the value of `x` contains a control character; remove it"),
            (
                b"GET / HTTP/2\ncontent-length: 3",
                "content-length is `3`, but the body has 2 bytes; write 2, or remove it",
            ),
        ] {
            assert_eq!(head(text, Some(2)).map(|_| ()), Err(why.to_owned()));
        }
        assert_eq!(trailers(b"A: 1\r\n").map(|_| ()), head(b"GET / HTTP/2\nA: 1", None).map(|_| ()));
        assert!(head(b"GET / HTTP/2\nte: trailers", Some(0)).is_ok());
        assert!(split(&Bytes::from_static(b"GET / HTTP/2\r\n")).is_err());
        let (head, body) = split(&Bytes::from_static(b"GET / HTTP/2\r\n\r\n\n\nx")).expect("it has an end");
        assert_eq!((&head[..], &body[..]), (&b"GET / HTTP/2\r\n\r\n"[..], &b"\n\nx"[..]));
    }
}
