//! The request as `wasi:http` presents it.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::{Body, Frame};
use wasmserve_gateway::{
    field,
    input::{Input, ReadError},
    mounts::Mount,
    request::RequestHead,
};
use wasmtime_wasi_http::{Error, p2::bindings::http::types::ErrorCode};

use crate::{base::lock::lock, handler::Call};

/// The field with the path at which a handler is mounted, as reverse proxies send it that strip a prefix.
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// How much of the body is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// The request of a call. `input` is the body, which stays shared so that its failure is known after the call.
///
/// # Errors
///
/// Never in practice: the parser accepts only heads that this can express.
pub(in super::super) fn request(call: &Call, input: &Arc<Mutex<Input>>) -> wasmtime::Result<http::Request<InputBody>> {
    let head = &call.exchange.head;
    let mut request = http::Request::new(InputBody { input: Arc::clone(input), is_at_end: false });
    *request.method_mut() = Method::from_bytes(head.method())?;
    let scheme = if call.forwarded.is_https == Some(true) { Scheme::HTTPS } else { Scheme::HTTP };
    *request.uri_mut() =
        Uri::builder().scheme(scheme).authority(authority(call)).path_and_query(target(head, &call.mount)).build()?;
    *request.headers_mut() = fields(call)?;
    Ok(request)
}

/// The host that the client named, or our own address: an authority is obligatory in `wasi:http`, and HTTP/1.0 has none.
fn authority(call: &Call) -> Authority {
    let head = &call.exchange.head;
    let named = head.parts().authority.or_else(|| head.values("host").next()).filter(|host| !host.is_empty());
    let named = named.and_then(|host| Authority::try_from(host).ok());
    named.unwrap_or_else(|| {
        let local = call.exchange.peer.local.to_string();
        Authority::try_from(local).expect("an address with a port is an authority")
    })
}

/// The target below the mount, with what `http` does not accept in one percent-encoded.
fn target(head: &RequestHead, mount: &Mount) -> PathAndQuery {
    if head.target() == b"*" {
        return PathAndQuery::from_static("*");
    }
    let parts = head.parts();
    let path = parts.path.strip_prefix(&**mount.path()).unwrap_or(parts.path);
    let path = if path.is_empty() { b"/" } else { path };
    let has_query = head.target().split(|byte| *byte == b'#').next().is_some_and(|target| target.contains(&b'?'));
    let mark = if has_query { &b"?"[..] } else { b"" };
    let whole = [path, mark, parts.query].concat();
    PathAndQuery::try_from(&*whole).unwrap_or_else(|_| {
        let mut encoded = String::with_capacity(whole.len() + 16);
        for byte in whole {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded += &format!("%{byte:02X}");
            }
        }
        PathAndQuery::try_from(encoded).expect("the remaining characters are those of a URI")
    })
}

/// The fields of the request. `wasi:http` itself removes Host and the fields of the connection, as a handler may pass all
/// fields on in a request of its own. It leaves `TE`, of which only `trailers` is safe there.
fn fields(call: &Call) -> wasmtime::Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    for (name, value) in call.exchange.head.fields() {
        if name.eq_ignore_ascii_case(b"te") {
            if field::elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
                fields.try_insert(header::TE, HeaderValue::from_static("trailers"))?;
            }
        } else if field::is_unambiguous(name) {
            fields.try_append(HeaderName::from_bytes(name)?, HeaderValue::from_bytes(value)?)?;
        }
    }
    match call.content_length {
        Some(length) => _ = fields.try_insert(header::CONTENT_LENGTH, length.into())?,
        None => _ = fields.remove(header::CONTENT_LENGTH),
    }
    if !call.mount.path().is_empty() {
        fields.try_insert(PREFIX, HeaderValue::from_maybe_shared(call.mount.path().clone())?)?;
    }
    Ok(fields)
}

/// The body of the request, with the limits and timeouts of the exchange.
pub(in super::super) struct InputBody {
    input: Arc<Mutex<Input>>,
    is_at_end: bool,
}

impl Body for InputBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_at_end {
            return Poll::Ready(None);
        }
        let shared = Arc::clone(&self.input);
        let mut input = lock(&shared);
        // Dropping this future loses nothing.
        let read = ready!(pin!(input.read(CHUNK)).poll(cx));
        Poll::Ready(match read {
            Ok(data) if data.is_empty() => {
                self.is_at_end = true;
                let trailers = trailers(&input);
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Ok(data) => Some(Ok(Frame::data(data))),
            Err(error) => {
                self.is_at_end = true;
                Some(Err(match error {
                    ReadError::Disconnected => Error::ConnectionTerminated,
                    ReadError::Malformed => Error::HttpProtocolError,
                    ReadError::TooLarge => Error::HttpRequestBodySize(None),
                    ReadError::TimedOut => Error::ConnectionReadTimeout,
                }))
            }
        })
    }
}

/// What a handler gets to know of an error of its body. wasmtime looks for an error of another type than its streams have,
/// and finds none.
pub(super) fn code(error: &wasmtime::Error) -> Option<ErrorCode> {
    let code = match error.downcast_ref()? {
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        _ => return None,
    };
    Some(code)
}

fn trailers(input: &Input) -> HeaderMap {
    let fields = input.trailers().iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    fields.collect()
}
