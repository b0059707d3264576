//! The address at which the statistics are read: no handler is reached there.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::acceptor::{Pause, accept};
use crate::listen::metrics::Metrics;

/// How many may read them at the same time.
const READERS_MAX: usize = 16;

/// Answers `GET /metrics`, for ever.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let permits = Arc::new(Semaphore::new(READERS_MAX));
    let mut pause = Pause::default();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        // Where it fails, the server's own door says why.
        let (stream, _) = accept(&listener, &mut pause, |_| {}).await;
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(answer(&request, &metrics)));
            // One answer a connection, which nobody can hold open.
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
        _ => (StatusCode::NOT_FOUND, "the statistics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    Ok(response)
}
