//! Answers a request: from the request head to the response head.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::time::timeout;
use wasmserve_gateway::{
    cgi,
    environ::Peer,
    field::Field,
    forwarded,
    input::{BoxBody, Input},
    refusal::Refusal,
    request::RequestHead,
    response::{self, ResponseRules, Takes},
};

use super::{
    exchanges::Exchanges,
    in_progress::InProgress,
    page,
    reply::{Progress, Reply},
};
use crate::{
    capture::{self, recording::Recording},
    event::exchange::Exchange,
    fault::{Class, Fault},
    handler::Call,
    source::live::{Broken, Live},
};

/// A request whose head has arrived.
pub(crate) struct Request {
    /// Its head.
    pub head: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// The length of the body, if there is a body and its framing declares the length.
    pub content_length: Option<u64>,
    /// The body, if any.
    pub body: Option<BoxBody>,
    /// The trailers of a response that the client takes.
    pub trailers: Takes,
    /// Why the request is refused, if its head could not be parsed.
    pub refusal: Option<Refusal>,
    /// What is recorded of the exchange, if it is captured.
    pub recording: Option<Recording>,
}

/// Begins an exchange. From here on it is counted, whether it is answered or not.
#[must_use]
pub(crate) fn begin(exchanges: &Arc<Exchanges>, mut request: Request) -> Begun {
    let recording = request.recording.take();
    let exchange = InProgress::begin(Arc::clone(exchanges), request.peer, request.head.clone(), recording);
    Begun { request, exchange }
}

/// An exchange that has begun but has no response yet.
pub(crate) struct Begun {
    request: Request,
    exchange: InProgress,
}

impl Begun {
    /// Answers the request. Ready when the response head is; the body follows as the handler writes it.
    pub(crate) fn answer(self) -> impl Future<Output = http::Response<Reply>> + Send {
        answer_request(self.request, self.exchange, 0)
    }
}

/// How often handlers may redirect within an exchange.
const REDIRECTS_MAX: usize = 10;

/// Answers a request, which is not the client's own after a number of local redirects.
async fn answer_request(request: Request, mut exchange: InProgress, redirects: usize) -> http::Response<Reply> {
    let Request { head, peer, mut content_length, body, trailers, refusal, .. } = request;
    let exchanges = Arc::clone(&exchange.exchanges);
    let (limits, gateway) = (&exchanges.limits, &exchanges.gateway);
    let is_head = exchange.exchange.head.method() == b"HEAD";
    let rules = ResponseRules { is_head, trailers, limits: limits.response_head() };
    if let Some(refusal) = refusal {
        return fail(exchange, rules, refusal.into());
    }
    if exchanges.is_beyond_last(exchange.exchange.id) {
        return fail(exchange, rules, Fault::Stopped);
    }
    if let Err(refusal) = head.check(limits.request_head()) {
        return fail(exchange, rules, refusal.into());
    }
    if head.target() == b"*" && !gateway.asterisk_to_handler {
        // Rule T5: the request is about the server, not about a handler.
        let allow = ("Allow".to_owned(), b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_vec());
        return answer(exchange, rules, "200 OK", vec![allow], Bytes::new());
    }

    let Some((mount, live)) = exchanges.mounts.find(head.parts().path) else {
        return fail(exchange, rules, Fault::NotMounted);
    };
    // A handler that replaces this one has the same limits.
    let (body_max, buffer_body) = {
        let handler = live.handler();
        let limits = &handler.allowance().limits;
        (limits.body, limits.buffer_body)
    };
    if content_length.is_some_and(|length| length > body_max) {
        return fail(exchange, rules, Fault::BodyTooLarge);
    }
    if let Some(broken) = live.broken()
        && page::is_for_browsers(&head)
    {
        // Boxed, so that this rare case does not enlarge the futures of other exchanges.
        return Box::pin(show_broken(exchange, rules, &head, live, &broken)).await;
    }
    let forwarded = match forwarded::read(&head, peer.remote.ip(), &gateway.trusted_proxies) {
        Ok(forwarded) => forwarded,
        Err(refusal) => return fail(exchange, rules, refusal.into()),
    };
    let mut input = Input::new(body, body_max);
    if buffer_body > 0 && input.has_body() {
        match input.read_ahead(buffer_body).await {
            Ok(length) => content_length = Some(length),
            Err(error) => return fail(exchange, rules, error.into()),
        }
    } else if content_length.is_none() && input.has_body() {
        let measured = live.handler().measures();
        if measured > 0 {
            match input.measure(measured).await {
                Ok(length) => content_length = length,
                Err(error) => return fail(exchange, rules, error.into()),
            }
        }
    }

    let Ok(slot) = exchanges.admission.enter(&exchange.exchange).await else {
        return fail(exchange, rules, Fault::Busy);
    };
    exchange.admitted(slot.stats());
    if let Some(recording) = &exchange.exchange.recording {
        let facts = capture::record::Facts {
            mount: mount.to_string(),
            server_name: gateway.server_name.clone(),
            content_length,
            forwarded_for: forwarded.client,
            is_https: forwarded.is_https,
            timeout: live.handler().allowance().limits.timeout,
            env: live.handler().allowance().grants.env.iter().map(|variable| variable.name.clone()).collect(),
        };
        recording.handled(facts, live.build());
    }
    let (writer, reader) = response::channel(rules);
    let handler = live.handler();
    let Exchange { id, began, ref recording, .. } = exchange.exchange;
    let call = Call {
        exchange: Exchange { id, peer, head, began, recording: recording.clone() },
        mount: mount.clone(),
        forwarded,
        content_length,
        gateway: Arc::clone(gateway),
        allowance: Arc::clone(handler.allowance()),
        input,
        writer,
        events: Arc::clone(&exchanges.events),
        environ: None,
    };
    exchange.started();
    let call = handler.call(call, slot);
    drop(handler);
    let mut progress = Progress::new(Some(call), reader);
    match poll_fn(|cx| progress.poll_head(cx)).await {
        Some(head) => Reply::new(progress, exchange, head),
        None => match progress.into_redirect() {
            Ok(location) => redirect(exchange, rules, location, redirects + 1).await,
            Err(fault) => fail(exchange, rules, fault),
        },
    }
}

/// Answers with the response to a GET of this path and query (RFC 3875 section 6.2.2). Boxed, because that may redirect,
/// too.
fn redirect(
    exchange: InProgress,
    rules: ResponseRules,
    location: Bytes,
    redirects: usize,
) -> Pin<Box<dyn Future<Output = http::Response<Reply>> + Send>> {
    Box::pin(async move {
        if redirects > REDIRECTS_MAX {
            return fail(exchange, rules, Fault::RedirectLoop);
        }
        let limits = exchange.exchanges.limits.request_head();
        let head = match cgi::redirected(&exchange.exchange.head, &location, limits) {
            Ok(head) => head,
            Err(error) => return fail(exchange, rules, Fault::BadCgiHead(error)),
        };
        let (peer, trailers) = (exchange.exchange.peer, rules.trailers);
        let request =
            Request { head, peer, content_length: None, body: None, trailers, refusal: None, recording: None };
        answer_request(request, exchange, redirects).await
    })
}

/// How long a page's request waits for the build to change.
const POLL_TIMEOUT: Duration = Duration::from_secs(20);

/// Shows the compiler's output to a browser whose user is working on a handler that does not build. The page then polls
/// with a header field that names this build, and gets a response when the build has changed.
async fn show_broken(
    exchange: InProgress,
    rules: ResponseRules,
    head: &RequestHead,
    live: &Live,
    broken: &Broken,
) -> http::Response<Reply> {
    let known = head.values("wasmserve-build").next().and_then(|number| str::from_utf8(number).ok()?.parse().ok());
    if known == Some(broken.number) {
        // On a timeout, the page asks again.
        _ = timeout(POLL_TIMEOUT, live.changed(broken.number)).await;
        let number = live.broken().map(|broken| ("Wasmserve-Build".to_owned(), broken.number.to_string().into()));
        return answer(exchange, rules, "204 No Content", number.into_iter().collect(), Bytes::new());
    }
    let page = page::broken(&broken.output, broken.number);
    let fields =
        vec![("Content-Type".to_owned(), page.content_type.into()), ("Cache-Control".to_owned(), b"no-store".to_vec())];
    answer(exchange, rules, "500 Internal Server Error", fields, page.text.into())
}

/// Answers with an error page for a fault.
fn fail(mut exchange: InProgress, rules: ResponseRules, fault: Fault) -> http::Response<Reply> {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = status.to_string();
    let id = exchange.exchange.shown_id();
    let page = match exchange.exchanges.gateway.debug {
        true => page::debug(&text, &fault, id, &exchange.exchange.head),
        false => page::public(&text, &fault, id),
    };
    let mut fields = vec![
        ("Content-Type".to_owned(), page.content_type.into()),
        ("Wasmserve-Fault".to_owned(), fault.kind().into()),
    ];
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.push(("Retry-After".to_owned(), b"1".to_vec()));
    }
    exchange.failed(&fault);
    let mut response = answer(exchange, rules, &text, fields, page.text.into());
    if fault.class() == Class::Client {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers from the host, through the same channel as a handler's response.
fn answer(
    exchange: InProgress,
    rules: ResponseRules,
    status: &str,
    fields: Vec<Field>,
    body: Bytes,
) -> http::Response<Reply> {
    let (mut writer, reader) = response::channel(rules);
    // These cannot fail: the host's responses are well-formed, and the reader exists.
    _ = writer.start(status, fields, None);
    _ = writer.finish(body);
    let mut progress = Progress::new(None, reader);
    match progress.poll_head(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(head)) => Reply::new(progress, exchange, head),
        _ => unreachable!("a finished response has a head"),
    }
}
