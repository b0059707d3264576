//! The viewer: a page that shows captured exchanges, and the API that it uses (`--ui`, `wasmserve ui`).
//!
//! It has a thread and a runtime of its own, so that it cannot hold up what is served. [`door`] decides who may use it.

mod api;
mod assets;
mod detail;
pub(crate) mod door;
pub(crate) mod hub;
mod live;
mod summary;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    http::{HeaderMap, HeaderValue, Request, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Builder, sync::watch, time::timeout};
use tower_service::Service as _;

use self::{
    door::{Door, Refusal, Token},
    hub::Hub,
};
use crate::{
    server::socket::listen_beside,
    transport::admin::{self, Serving},
};

/// The ports that are tried if the user names none.
const PORTS: std::ops::RangeInclusive<u16> = 8001..=8010;

/// How many connections may be open at the same time.
const CONNECTIONS_MAX: usize = 16;

/// How long a connection may be idle, or take for a head.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How long pages have to receive the last event.
const FAREWELL: Duration = Duration::from_millis(200);

/// What the user chose about the viewer.
#[derive(Clone, Debug)]
pub(crate) struct ViewerOptions {
    /// Where it listens; a free port of this machine if `None`.
    pub addr: Option<SocketAddr>,
    /// The flag with which the user chooses that.
    pub flag: &'static str,
    /// Further hosts that it may be reached under, in lower case, each with a port or without.
    pub hosts: Vec<String>,
    /// The token; a random one if `None`.
    pub token: Option<Token>,
}

/// A viewer that listens, but answers nothing yet.
pub(crate) struct Bound {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    hosts: Vec<String>,
    token: Token,
}

impl Bound {
    /// Listens, but not at one of the ports in `taken`.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or the system has no randomness for a token.
    pub(crate) fn new(options: &ViewerOptions, taken: &[u16]) -> anyhow::Result<Self> {
        let token = options.token.clone().map_or_else(Token::random, Ok)?;
        let listener = match options.addr {
            Some(addr) => listen_beside(addr, taken, options.flag)?,
            None => {
                let listen = |port| listen_beside((Ipv4Addr::LOCALHOST, port).into(), taken, options.flag);
                let mut bound = PORTS.map(listen);
                let first = bound.next().unwrap_or_else(|| unreachable!("there is more than one port"));
                first.or_else(|error| bound.find_map(Result::ok).ok_or(error))?
            }
        };
        let addr = listener.local_addr().context("cannot get the viewer's address")?;
        Ok(Self { listener, addr, hosts: options.hosts.clone(), token })
    }

    /// The port.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The URL of the page, with the token in its fragment, which browsers send to no server.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        format!("http://{}/#k={}", self.addr, self.token.text())
    }

    /// Serves the page and the API, on a thread of their own.
    ///
    /// # Errors
    ///
    /// The system cannot create another thread, or the runtime for it.
    pub(crate) fn serve(self, subject: hub::Subject) -> io::Result<Viewer> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        self.listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(self.listener)?
        };
        let door = Arc::new(Door::new(self.addr, &self.hosts, self.token));
        let (end, mut is_ended) = watch::channel(false);
        let hub = Arc::new(Hub::new(subject, end.subscribe()));
        let router = api::router(Arc::clone(&hub));
        let serve = async move {
            let serving = Serving { connections: CONNECTIONS_MAX, idle: Some(IDLE_MAX) };
            let answer = move |request| answer(Arc::clone(&door), router.clone(), request);
            tokio::select! {
                () = admin::serve(listener, serving, answer) => {}
                _ = is_ended.wait_for(|is_ended| *is_ended) => {}
            }
            _ = timeout(FAREWELL, hub.streams_ended()).await;
        };
        let thread = thread::Builder::new().name("viewer".into()).spawn(move || runtime.block_on(serve))?;
        Ok(Viewer { end, thread })
    }
}

/// A viewer that is served.
pub(crate) struct Viewer {
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Viewer {
    /// Reports to open pages that the server ends, and ends the viewer. Blocks for a moment at most.
    pub(crate) fn end(self) {
        self.end.send_replace(true);
        // What it panicked with has been printed.
        _ = self.thread.join();
    }
}

/// What the page may do: run its own scripts and styles, and ask this server. Captured bytes become text only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Answers one request.
async fn answer<B>(door: Arc<Door>, mut router: Router, request: Request<B>) -> Result<Response, Infallible>
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (head, body) = request.into_parts();
    let mut response = match door.check(&head) {
        Ok(()) => router.call(Request::from_parts(head, body)).await?,
        Err(refusal) => {
            let mut response = refusal.into_response();
            // Pages of strangers cannot use up the connections.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    protect(response.headers_mut());
    Ok(response)
}

/// Sets the fields that keep what is captured from acting in a browser, and from staying there.
fn protect(fields: &mut HeaderMap) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.text }))).into_response();
        if let Some((name, value)) = self.field {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
