//! What is captured of exchanges, as the library shows it. `behaviour.rs` compares the bytes of random streams.

use std::sync::Arc;

use wasmserve::{
    Answering, Call, Event, Grants, Limits, Listener, Native, Stream,
    capture::{
        message::Message,
        record::{Ending, Origin, Protocol, Record},
        store::{CaptureOptions, Store},
    },
    gateway::input::ReadError,
};
use wasmserve_tests::{
    TIMEOUT,
    client::Client,
    http2::{Http2, fields},
    local::{self, Local, apart},
};

struct Silent;

impl Listener for Silent {
    fn on_event(&self, _: &Event<'_>) {}
}

/// Answers with the body, and logs its length.
fn echo(call: &mut Call) -> Answering<'_> {
    Box::pin(async move {
        let mut body = Vec::new();
        loop {
            let piece = call.input.read(1 << 10).await.map_err(|error: ReadError| format!("{error:?}"))?;
            if piece.is_empty() {
                break;
            }
            body.extend_from_slice(&piece);
        }
        call.log(Stream::Log, format!("{} bytes", body.len()).as_bytes());
        call.writer.start("201 Made", vec![("X-Mine".to_owned(), b"a".to_vec())], None).map_err(|_| "no head")?;
        call.writer.finish(body.into()).map_err(|error| format!("{error:?}"))
    })
}

/// A server of [`echo`] whose exchanges are captured.
fn start() -> (Local, Arc<Store>) {
    serve(Box::new(Native::new(echo, &Limits::DEFAULT, &Grants::default())))
}

fn serve(handler: Box<dyn wasmserve::Handler>) -> (Local, Arc<Store>) {
    let store = Store::spawn(CaptureOptions::DEFAULT, Vec::new()).expect("the system has threads left");
    (Local::captured(handler, Arc::new(Silent), &store), store)
}

/// All records, once the server has stopped and they are complete.
fn records((server, store): (Local, Arc<Store>)) -> Vec<Arc<Record>> {
    server.stop();
    store.end(TIMEOUT);
    store.after(0, usize::MAX)
}

#[test]
fn each_exchange_of_a_connection_has_a_record_of_its_own() {
    let run = start();
    let mut client = Client::connect(run.0.addr);
    client.send(
        "POST /one?x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: u\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.head().map(|head| head.status), Some(100));
    assert_eq!(client.response().text(), "hello");
    assert_eq!(client.response().status, 201);
    drop(client);
    let records = records(run);
    let [one, two] = &records[..] else { panic!("{records:?}") };
    assert_eq!(((one.id, one.nth), (two.id, two.nth)), ((1, 1), (2, 2)));
    assert_eq!((one.connection, one.protocol, &one.origin), (two.connection, Protocol::Http1, &Origin::Client));
    let request = Message::request(one);
    assert_eq!(request.words().map(|word| str::from_utf8(word).ok()), [Some("POST"), Some("/one?x"), Some("HTTP/1.1")]);
    assert_eq!((&request.body[..], request.is_chunked, request.is_whole), (&b"hello"[..], true, true));
    assert_eq!(request.trailers, [(b"T".to_vec(), b"u".to_vec())]);
    let response = Message::response(one);
    assert_eq!((response.status(), response.reason(), &response.body[..]), (201, &b"Made"[..], &b"hello"[..]));
    assert_eq!(response.interim, [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()]);
    assert_eq!(response.value("x-mine"), Some(&b"a"[..]));
    assert!(response.is_whole && one.response.end == Ending::Whole && one.request.end == Ending::Whole);
    assert_eq!(one.lines.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["5 bytes"]);
    let marks = one.marks;
    let times = [marks.head, marks.admitted, marks.started, marks.responded, marks.ended, marks.completed];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{marks:?}");
    let outcome = one.outcome.expect("it has ended");
    assert_eq!((outcome.status, outcome.sent, outcome.is_answered), (201, 5, true));
    assert_eq!(one.facts.as_ref().map(|facts| &*facts.mount), Some("/"));
}

#[test]
fn an_exchange_of_http2_is_captured_in_the_form_of_http1() {
    let run = start();
    let mut client = Http2::connect(run.0.addr);
    let stream = client.begin(&fields("POST", "/two"));
    client.data(stream, "hel");
    client.last(stream, "lo");
    assert_eq!(client.response(stream).text(), "hello");
    drop(client);
    let records = records(run);
    let [record] = &records[..] else { panic!("{records:?}") };
    let (request, response) = (Message::request(record), Message::response(record));
    assert_eq!(record.protocol, Protocol::Http2);
    assert_eq!((&request.words()[..2], &request.body[..]), (&[&b"POST"[..], b"/two"][..], &b"hello"[..]));
    assert_eq!((response.status(), &response.body[..], response.is_whole), (201, &b"hello"[..], true));
    assert_eq!((record.request.end, record.response.end), (Ending::Whole, Ending::Whole));
}

#[test]
fn a_refused_request_and_what_follows_it_are_captured() {
    let run = start();
    let mut client = Client::connect(run.0.addr);
    client.send("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\nmore");
    assert_eq!(client.response().status, 400);
    client.send("and more");
    drop(client);
    let records = records(run);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert!(record.request.bytes.starts_with(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\nmore"), "{record:?}");
    assert_eq!(record.request.head(), b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(Message::request(record).words()[0], b"GET");
    assert_eq!((record.outcome.map(|outcome| outcome.status), &record.facts.is_none()), (Some(400), &true));
    assert_eq!(record.fault.as_ref().map(|fault| &*fault.kind), Some("refused"));
}

#[test]
fn a_client_that_leaves_is_captured_as_far_as_it_came() {
    let run = start();
    let mut client = Client::connect(run.0.addr);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client.end();
    _ = client.try_response();
    drop(client);
    let records = records(run);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert!(record.request.bytes.ends_with(b"\r\n\r\nhalf"));
    assert_eq!(record.request.end, Ending::Closed);
    assert!(!Message::request(record).is_whole);
}

#[test]
fn a_trap_is_captured_with_its_stack_and_the_log() {
    apart(|| {
        let run = serve(local::component("traps"));
        let mut client = Client::connect(run.0.addr);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 500);
        drop(client);
        let records = records(run);
        let [record] = &records[..] else { panic!("{records:?}") };
        let fault = record.fault.as_ref().expect("it failed");
        assert_eq!(&*fault.kind, "trap");
        assert!(!fault.stack.is_empty() && !fault.text.is_empty(), "{fault:?}");
        let outcome = record.outcome.expect("it has ended");
        assert!(outcome.cpu.is_some() && outcome.memory.is_some(), "{outcome:?}");
    });
}
