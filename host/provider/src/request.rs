//! The request of `wasi:http` as the gateway knows it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use wasmserve_gateway::{
    environ::{self, Facts, Peer, Var, Variable},
    forwarded::Forwarded,
    input::ReadError,
    mounts::Mount,
    request::RequestHead,
};

use crate::bindings::wasi::{
    cli::environment,
    http::types::{self, ErrorCode, IncomingBody, IncomingRequest, Method, Scheme},
    io::streams::{InputStream, StreamError},
};

/// How many bytes of the body are read at once.
const CHUNK: u64 = 64 << 10;

/// The variables that the gateway has and a host of `wasi:http` does not know.
const UNKNOWN: [&str; 5] =
    ["REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "wasmserve.request_id", "wasmserve.deadline_ms"];

/// Whether the request is a HEAD.
pub(crate) fn is_head(request: &IncomingRequest) -> bool {
    matches!(request.method(), Method::Head)
}

/// A head that could have been sent. The host knows neither the case and order of the names nor the version.
pub(crate) fn head(request: &IncomingRequest) -> RequestHead {
    let method = request.method();
    let method = match &method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    };
    let target = request.path_with_query().filter(|target| !target.is_empty());
    let mut raw = Vec::with_capacity(1024);
    let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| raw.extend_from_slice(part));
    add(&[method.as_bytes(), b" ", target.as_deref().unwrap_or("/").as_bytes(), b" HTTP/1.1\r\n"]);
    let fields = request.headers().entries();
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"))
        && let Some(authority) = request.authority()
    {
        add(&[b"host: ", authority.as_bytes(), b"\r\n"]);
    }
    for (name, value) in &fields {
        add(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }
    add(&[b"\r\n"]);
    RequestHead::new(raw.into())
}

/// The environ, without what the host does not know.
pub(crate) fn environ(request: &IncomingRequest, head: &RequestHead) -> Vec<Var> {
    let is_https = matches!(request.scheme(), Some(Scheme::Https));
    let content_length =
        head.values("content-length").next().and_then(|value| str::from_utf8(value).ok()?.parse().ok());
    let authority = head.values("host").next().unwrap_or_default();
    let authority = String::from_utf8_lossy(authority);
    let (name, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (&*authority, None),
    };
    let port = port.unwrap_or(if is_https { 443 } else { 80 });
    let own = environment::get_environment().into_iter().filter(|(name, _)| !environ::is_reserved(name));
    let env: Vec<Variable> = own.map(|(name, value)| Variable { name, value }).collect();
    let facts = Facts {
        peer: Peer { remote: ([0, 0, 0, 0], 0).into(), local: ([0, 0, 0, 0], port).into() },
        server_name: Some(if name.is_empty() { "localhost" } else { name }),
        mount: &Mount::ROOT,
        content_length,
        forwarded: Forwarded { client: None, is_https: Some(is_https) },
        id: 0,
        timeout: std::time::Duration::ZERO,
        env: &env,
    };
    let mut environ = environ::build(head, &facts);
    environ.retain(|(name, _)| !UNKNOWN.contains(&&**name));
    environ
}

/// The body of the request, which the instance waits for.
pub(crate) struct Arriving {
    /// Before the body, because it is the body's child and is dropped first.
    stream: Option<InputStream>,
    body: Option<IncomingBody>,
}

impl Arriving {
    /// The body of a request, if it was not taken before.
    pub(crate) fn of(request: &IncomingRequest) -> Option<Self> {
        let body = request.consume().ok()?;
        Some(Self { stream: body.stream().ok(), body: Some(body) })
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        while let Some(stream) = &self.stream {
            match stream.blocking_read(CHUNK) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data.into())))),
                Err(StreamError::Closed) => self.stream = None,
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = types::http_error_code(&error);
                    drop(error);
                    self.stream = None;
                    self.body = None;
                    return Poll::Ready(Some(Err(read_error(code.as_ref()))));
                }
            }
        }
        let Some(body) = self.body.take() else { return Poll::Ready(None) };
        let trailers = IncomingBody::finish(body);
        let trailers = loop {
            match trailers.get() {
                Some(arrived) => break arrived,
                None => trailers.subscribe().block(),
            }
        };
        Poll::Ready(match trailers {
            Ok(Ok(Some(fields))) => Some(Ok(Frame::trailers(map(&fields.entries())))),
            Ok(Err(code)) => Some(Err(read_error(Some(&code)))),
            Ok(Ok(None)) | Err(()) => None,
        })
    }
}

fn map(fields: &[(String, Vec<u8>)]) -> HeaderMap {
    let fields = fields.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    fields.collect()
}

fn read_error(code: Option<&ErrorCode>) -> ReadError {
    match code {
        Some(ErrorCode::HttpRequestBodySize(_)) => ReadError::TooLarge,
        Some(ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionTimeout) => ReadError::TimedOut,
        Some(ErrorCode::HttpProtocolError | ErrorCode::HttpRequestTrailerSectionSize(_)) => ReadError::Malformed,
        _ => ReadError::Disconnected,
    }
}
