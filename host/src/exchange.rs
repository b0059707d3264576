//! One request to one response: the only room that sees every stage.

mod entry;
mod reply;

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

pub use self::reply::Reply;
use self::{entry::Entry, reply::Running};
use crate::{
    config::{Crowd, Gateway, Limits},
    fault::Fault,
    gateway::{
        Field,
        environ::Peer,
        forwarded,
        head::HeadLimits,
        input::{BoxBody, Input},
        lint,
        mounts::Mounts,
        page,
        request::RequestHead,
        response::{self, Terms},
    },
    handler::{Call, Handler},
    record::{Event, Record},
    roster::{Roster, Sight},
    served::{Broken, Served},
    tally::{Counts, Tally},
};

/// What all exchanges have in common.
pub struct Exchanges {
    mounts: Mounts<Served>,
    limits: Limits,
    gateway: Arc<Gateway>,
    roster: Arc<Roster>,
    record: Record,
    counts: Counts,
    /// The id of the last one that may reach a handler.
    last: u64,
    /// Told when that has begun.
    all_begun: Notify,
    is_stopped: AtomicBool,
}

impl Exchanges {
    /// Exchanges with these handlers within these limits, which tell `record` what happens.
    #[must_use]
    pub fn new(mounts: Mounts<Handler>, limits: Limits, crowd: Crowd, gateway: Gateway, record: Record) -> Self {
        let mounts = mounts.map(Served::new);
        let gateway = Arc::new(gateway);
        let roster = Arc::new(Roster::new(crowd));
        Self {
            mounts,
            limits,
            gateway,
            roster,
            record,
            counts: Counts::default(),
            last: u64::MAX,
            all_begun: Notify::new(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// The same, but no more than so many: whatever comes after them is told that the server is stopping, and the last one
    /// that it is the last of its connection.
    #[must_use]
    pub fn at_most(self, number: u64) -> Self {
        Self { last: number, ..self }
    }

    /// Ready when as many have begun as there may be, once.
    pub async fn all_begun(&self) {
        self.all_begun.notified().await;
    }

    /// What is served, and where.
    #[must_use]
    pub fn mounts(&self) -> &Mounts<Served> {
        &self.mounts
    }

    /// Who is told what happens.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What one exchange may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the gateway does with requests and responses.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What has become of all requests so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.counts.tally(self.roster.len())
    }

    /// How often each kind of fault was told of.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.counts.faults()
    }

    /// How many instances exist at the moment.
    #[must_use]
    pub fn live_instances(&self) -> usize {
        self.roster.len()
    }

    /// Ready when no handler runs any more: some go on when their clients have all that they get.
    pub async fn settle(&self) {
        while !self.roster.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Tells what runs: each handler with its stack, if it gives one within a moment.
    pub async fn tell_running(&self) {
        const TRIES: u32 = 60;
        let running = self.roster.all();
        running.iter().for_each(|watch| watch.ask_for_stack());
        for _ in 0..TRIES {
            if running.iter().all(|watch| watch.stack().is_some()) {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let sights = running.into_iter().map(|watch| Sight { wait: watch.wait(), stack: watch.stack(), watch });
        self.record.tell(Event::Running { handlers: sights.collect(), tally: self.tally() });
    }

    /// From now on an exchange that ends early does so because the server does.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// From now on nobody waits for a handler that is better than the one that is served.
    pub fn drain(&self) {
        self.mounts.iter().for_each(|(_, served)| served.wake());
    }

    fn begin(self: Arc<Self>, peer: Peer, request: RequestHead) -> Entry {
        let id = self.counts.begin();
        if id >= self.last {
            self.all_begun.notify_one();
        }
        if self.gateway.lint {
            for lint::Finding { what, clause } in lint::check(&request) {
                let line = format!("{what} ({clause})").into_bytes();
                self.record.tell(Event::Said { id, through: "lint", line });
            }
        }
        Entry {
            exchanges: self,
            id,
            peer,
            request,
            status: None,
            sent: 0,
            fault: None,
            watch: None,
            began: Instant::now(),
        }
    }
}

/// A request whose head has arrived.
pub struct Request {
    /// Its head.
    pub head: RequestHead,
    /// The two ends of its connection.
    pub peer: Peer,
    /// The length of its body, if there is one and its framing tells the length.
    pub content_length: Option<u64>,
    /// Its body, if there is one.
    pub body: Option<BoxBody>,
    /// Why it is refused, if its head could not even be parsed.
    pub refusal: Option<Fault>,
}

/// Begins an exchange, which is in the books from now on, whether it is ever answered or not.
#[must_use]
pub fn begin(exchanges: &Arc<Exchanges>, request: Request) -> Begun {
    let entry = Arc::clone(exchanges).begin(request.peer, request.head.clone());
    Begun { exchanges: Arc::clone(exchanges), request, entry }
}

/// An exchange that is still to be answered.
pub struct Begun {
    exchanges: Arc<Exchanges>,
    request: Request,
    entry: Entry,
}

impl Begun {
    /// Answers the request. Ready when the head of the response is; the body follows as the handler makes it.
    pub fn answer(self) -> impl Future<Output = http::Response<Reply>> + Send {
        answer_request(self.exchanges, self.request, self.entry)
    }
}

async fn answer_request(exchanges: Arc<Exchanges>, request: Request, mut entry: Entry) -> http::Response<Reply> {
    let Request { head, peer, mut content_length, body, refusal } = request;
    let limits = exchanges.limits();
    let is_head = head.method() == b"HEAD";
    let terms = Terms { is_head, limits: HeadLimits { octets: limits.head, fields: limits.fields } };
    if let Some(fault) = refusal {
        return fail(entry, terms, fault);
    }
    if entry.id > exchanges.last {
        return fail(entry, terms, Fault::Stopped);
    }
    if let Err(fault) = head.check(limits) {
        return fail(entry, terms, fault);
    }
    if content_length.is_some_and(|length| length > limits.body) {
        return fail(entry, terms, Fault::BodyTooLarge);
    }
    if head.target() == b"*" && !exchanges.gateway.asterisk_to_handler {
        // Rule T5: it asks about the server, not about anything that a handler has.
        let allow = ("Allow".to_owned(), b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_vec());
        return answer(entry, terms, "200 OK", vec![allow], Bytes::new());
    }

    let Some((mount, served)) = exchanges.mounts.find(head.parts().path) else {
        return fail(entry, terms, Fault::NotMounted);
    };
    if let Some(broken) = served.broken()
        && page::is_for_browsers(&head)
    {
        // In a box, so that other exchanges have no room for it.
        return Box::pin(tell_broken(entry, terms, &head, served, &broken)).await;
    }
    let forwarded = match forwarded::read(&head, peer.remote.ip(), &exchanges.gateway.trusted_proxies) {
        Ok(forwarded) => forwarded,
        Err(fault) => return fail(entry, terms, fault),
    };
    let mut input = Input::new(body, limits.body);
    let buffer = exchanges.gateway.buffer_body;
    if buffer > 0 && input.has_body() {
        match input.read_ahead(buffer).await {
            Ok(length) => content_length = Some(length),
            Err(error) => return fail(entry, terms, error.into()),
        }
    }

    let Ok(running) = exchanges.roster.enter(entry.id, head.clone(), peer).await else {
        return fail(entry, terms, Fault::Busy);
    };
    entry.watch = Some(Arc::clone(running.watch()));
    let (writer, reader) = response::channel(terms);
    let handler = Arc::clone(&served.handler());
    let call = Call {
        id: entry.id,
        request: head,
        peer,
        mount: mount.clone(),
        forwarded,
        content_length,
        gateway: Arc::clone(&exchanges.gateway),
        allowance: Arc::clone(handler.allowance()),
        input,
        writer,
        record: Arc::clone(&exchanges.record),
        environ: None,
    };
    let call = handler.call(call, running);
    let mut running = Running { call: Some(call), fault: None, reader };
    match poll_fn(|cx| running.poll_head(cx)).await {
        Some(parts) => Reply { running, entry, is_flushed: false }.with_head(parts),
        None => {
            let fault = running.fault.unwrap_or_else(|| Fault::HostBug("an exchange without an end".into()));
            fail(entry, terms, fault)
        }
    }
}

/// How long a page waits in one request for a handler that builds.
const NEWS: Duration = Duration::from_secs(20);

/// Answers a browser whose user is about to write a handler that does not build yet: with what the compiler says. The page then
/// asks in a field whether it is still so, and is answered when it is not.
async fn tell_broken(
    entry: Entry,
    terms: Terms,
    head: &RequestHead,
    served: &Served,
    broken: &Broken,
) -> http::Response<Reply> {
    let known = head.values("wasmserve-build").next().and_then(|number| str::from_utf8(number).ok()?.parse().ok());
    if known == Some(broken.number) {
        // Nobody minds if the time is over.
        _ = timeout(NEWS, served.changed(broken.number)).await;
        let number = served.broken().map(|broken| ("Wasmserve-Build".to_owned(), broken.number.to_string().into()));
        return answer(entry, terms, "204 No Content", number.into_iter().collect(), Bytes::new());
    }
    let page = page::broken(&broken.words, broken.number);
    let fields =
        vec![("Content-Type".to_owned(), page.content_type.into()), ("Cache-Control".to_owned(), b"no-store".to_vec())];
    answer(entry, terms, "500 Internal Server Error", fields, page.text.into())
}

/// Answers a fault.
fn fail(mut entry: Entry, terms: Terms, fault: Fault) -> http::Response<Reply> {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = status.to_string();
    let page = match entry.exchanges.gateway.debug {
        true => page::debug(&text, &fault, entry.id, &entry.request),
        false => page::public(&text, &fault, entry.id),
    };
    let mut fields = vec![
        ("Content-Type".to_owned(), page.content_type.into()),
        ("Wasmserve-Fault".to_owned(), fault.kind().into()),
    ];
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.push(("Retry-After".to_owned(), b"1".to_vec()));
    }
    let closes = fault.is_the_clients();
    entry.tell(fault);
    let mut response = answer(entry, terms, &text, fields, page.text.into());
    if closes {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The host's own answers leave by the same door as a handler's.
fn answer(entry: Entry, terms: Terms, status: &str, fields: Vec<Field>, body: Bytes) -> http::Response<Reply> {
    let (mut writer, reader) = response::channel(terms);
    // What the host says itself is well-formed, and its client is there.
    _ = writer.start(status, fields, None);
    _ = writer.finish(body);
    let mut running = Running { call: None, fault: None, reader };
    match running.poll_head(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(parts)) => Reply { running, entry, is_flushed: false }.with_head(parts),
        _ => unreachable!("a finished response has a head"),
    }
}
