//! HTTP/2 without TLS, for clients that know that we speak it (RFC 9113 section 3.3).

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{header, request::Parts};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{sync::watch, time::sleep};

use super::{received::Received, stopped, wire::Wire};
use crate::{
    exchange::{self, Exchanges},
    gateway::{environ::Peer, input::BoxBody, request::RequestHead},
};

/// How many exchanges one connection may have at the same time.
const STREAMS_MAX: u32 = 100;

/// How long a connection may be without an exchange.
const IDLE: Duration = Duration::from_secs(60);

/// Serves a connection of HTTP/2.
pub(super) async fn serve(wire: Wire, peer: Peer, exchanges: Arc<Exchanges>, mut drain: watch::Receiver<bool>) {
    let limits = exchanges.limits();
    let begun = Arc::<AtomicU64>::default();
    let ended = Arc::<AtomicU64>::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (exchanges, begun, ended) = (Arc::clone(&exchanges), Arc::clone(&begun), Arc::clone(&ended));
        begun.fetch_add(1, Ordering::Relaxed);
        let response = exchange::serve(exchanges, begin(request, peer, limits.body_timeout));
        async move {
            let mut response = response.await;
            // There is no such thing in HTTP/2 (RFC 9113 section 8.2.2); the stream ends by itself.
            response.headers_mut().remove(header::CONNECTION);
            ended.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(1 << 20)
            .max_send_buf_size(64 << 10)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .serve_connection(wire, service)
    );
    let idle = async {
        let counts = || (begun.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
        loop {
            let before = counts();
            sleep(IDLE).await;
            if counts() == before && before.0 == before.1 {
                break;
            }
        }
    };
    // How it ends is between hyper and the client: each exchange has told its own story.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = async { tokio::select! { () = stopped(&mut drain) => {}, () = idle => {} } } => {
            connection.as_mut().graceful_shutdown();
            _ = connection.await;
        }
    }
}

fn begin(request: hyper::Request<Incoming>, peer: Peer, timeout: Duration) -> exchange::Request {
    let (parts, body) = request.into_parts();
    let head = RequestHead::new(as_text(&parts));
    let content_length = body.size_hint().exact().filter(|_| head.values("content-length").next().is_some());
    let body: Option<BoxBody> = if body.is_end_stream() { None } else { Some(Box::pin(Received::new(body, timeout))) };
    exchange::Request { head, peer, content_length, body }
}

/// The head in the shape that it would have in HTTP/1: in HTTP/2 there are no octets that anybody could read.
fn as_text(parts: &Parts) -> Bytes {
    let mut text = BytesMut::with_capacity(256);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str(),
        None => authority.unwrap_or_default(),
    };
    for part in [parts.method.as_str(), " ", target, " HTTP/2\r\n"] {
        text.put_slice(part.as_bytes());
    }
    let mut put_field = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            text.put_slice(part);
        }
    };
    // The authority is what Host is in HTTP/1, and counts more than a Host beside it (RFC 9113 section 8.3.1).
    if let Some(authority) = authority {
        put_field("host", authority.as_bytes());
    }
    for (name, value) in &parts.headers {
        if authority.is_none() || name != header::HOST {
            put_field(name.as_str(), value.as_bytes());
        }
    }
    text.put_slice(b"\r\n");
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_http2_reads_like_one_of_http1() {
        let request = http::Request::get("http://x:80/a?b").header("host", "y").header("a", "1").header("a", "2");
        let (parts, ()) = request.body(()).expect("valid").into_parts();
        let text = as_text(&parts);
        assert_eq!(&text[..], b"GET /a?b HTTP/2\r\nhost: x:80\r\na: 1\r\na: 2\r\n\r\n");
    }
}
