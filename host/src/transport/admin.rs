//! Serves what reaches no handler: the metrics, and the viewer.

use std::{convert::Infallible, error::Error, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::acceptor::{Listeners, Pause, accept};
use crate::listen::metrics::Metrics;

/// How many clients may read metrics at the same time.
const READERS_MAX: usize = 16;

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    /// How many may be open at the same time. Further clients wait.
    pub connections: usize,
    /// How long a connection may be idle between two requests, and how long a head may take; if `None`, a connection
    /// carries one request only.
    pub idle: Option<Duration>,
}

/// Answers `GET /metrics`. Never returns.
pub(crate) async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>) {
    // One response per connection, so that clients cannot hold connections open.
    let serving = Serving { connections: READERS_MAX, idle: None };
    serve(listener, serving, move |request| std::future::ready(answer(&request, &metrics))).await;
}

/// Answers requests. Never returns.
pub(crate) async fn serve<F, B>(
    listener: TcpListener,
    Serving { connections, idle }: Serving,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(connections));
    let (mut listeners, mut pause) = (Listeners::from(vec![listener]), Pause::default());
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        // The main listener reports such failures.
        let (stream, _) = accept(&mut listeners, &mut pause, |_| {}).await;
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.keep_alive(idle.is_some()).timer(TokioTimer::new());
            if let Some(idle) = idle {
                builder.header_read_timeout(idle);
            }
            _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.text()),
        _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    Ok(response)
}
