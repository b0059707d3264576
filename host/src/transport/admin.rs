//! Serves the metrics endpoint, which reaches no handler.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::acceptor::{Listeners, Pause, accept};
use crate::listen::metrics::Metrics;

/// How many clients may read metrics at the same time.
const READERS_MAX: usize = 16;

/// Answers `GET /metrics`. Never returns.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let permits = Arc::new(Semaphore::new(READERS_MAX));
    let (mut listeners, mut pause) = (Listeners::from(vec![listener]), Pause::default());
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        // The main listener reports such failures.
        let (stream, _) = accept(&mut listeners, &mut pause, |_| {}).await;
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(answer(&request, &metrics)));
            // One response per connection, so that clients cannot hold connections open.
            let mut builder = http1::Builder::new();
            builder.keep_alive(false).timer(TokioTimer::new());
            _ = builder.serve_connection(TokioIo::new(stream), service).await;
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
