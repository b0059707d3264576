//! Renders events as JSON objects, one a line, as docs/log.md describes them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use wasmserve_gateway::escape::readable;

use crate::{
    base::{exit::StartError, stack::Stack},
    event::{
        Event,
        exchange::{End, Exchange, Outcome, Sent},
        notice::Level,
        snapshot::Snapshot,
    },
    fault::Fault,
};

/// Appends an event, apart from a fault.
pub(super) fn event(event: &Event<'_>, text: &mut String) {
    let object = match *event {
        Event::Notice(notice) => json!({
            "event": "notice",
            "time": now(),
            "level": match notice.level {
                Level::Debug => "debug",
                Level::Status | Level::Info => "info",
                Level::Warning => "warning",
                Level::Error => "error",
            },
            "text": notice.text,
        }),
        Event::Listening(listening) => json!({
            "event": "listening",
            "time": now(),
            "urls": listening.addrs.iter().map(|addr| format!("http://{addr}")).collect::<Vec<_>>(),
            "network": listening.network,
            "viewer": listening.viewer,
            "handlers": listening.handlers.iter().map(|(mount, handler)| {
                json!({ "mount": mount, "handler": handler })
            }).collect::<Vec<_>>(),
            "limits": listening.limits,
        }),
        Event::Line { id, stream, line } => json!({
            "event": "output", "time": now(), "id": id, "stream": stream.label(), "text": readable(line),
        }),
        Event::Build { line } => json!({ "event": "build", "time": now(), "text": readable(line) }),
        Event::Running { handlers, tally } => json!({
            "event": "running",
            "time": now(),
            "accepted": tally.accepted,
            "answered": tally.answered,
            "aborted": tally.aborted,
            "shed": tally.shed,
            "handlers": handlers.iter().map(snapshot).collect::<Vec<_>>(),
        }),
        Event::Ended { exchange, outcome } => ended(exchange, outcome),
        Event::Faulted { .. } | Event::Begun(_) | Event::Admitted(_) | Event::Started(_) | Event::HeadSent { .. } => {
            return;
        }
    };
    add(&object, text);
}

/// Appends a fault, with its stack if it is the first of its kind.
pub(super) fn fault(exchange: &Exchange, fault: &Fault, sent: Sent, is_first: bool, text: &mut String) {
    let stack = fault.stack().filter(|_| is_first).map(Stack::lines);
    let object = json!({
        "event": "fault",
        "time": now(),
        "id": exchange.id,
        "request": readable(exchange.head.line()),
        "status": sent.status(fault.status()),
        "sent": match sent {
            Sent::Nothing => "nothing",
            Sent::Part(_) => "part",
            Sent::All(_) => "all",
        },
        "fault": fault.kind(),
        "text": fault.to_string(),
        "stack": stack,
    });
    add(&object, text);
}

/// The line for faults that were suppressed because they repeat.
pub(super) fn repeats(reason: &str, times: u32) -> String {
    line(&json!({ "event": "repeats", "time": now(), "times": times, "text": reason }))
}

/// The line for lines that were dropped because stderr is read too slowly.
pub(super) fn dropped(lines: u64) -> String {
    line(&json!({ "event": "dropped", "time": now(), "lines": lines }))
}

/// The line for a server that did not start.
pub(super) fn start_error(error: &StartError) -> String {
    let text = error.message().trim_end();
    let text = text.strip_prefix("wasmserve: ").unwrap_or(text);
    line(&json!({ "event": "error", "time": now(), "exit": error.exit().code(), "text": text }))
}

fn ended(exchange: &Exchange, outcome: &Outcome) -> Value {
    let Exchange { id, peer, head: request, .. } = exchange;
    let Outcome { end, fault, status, sent, cpu, memory, at, took } = outcome;
    json!({
        "event": "request",
        "time": Timestamp::try_from(*at).unwrap_or_default().to_string(),
        "id": id,
        "remote": peer.remote.ip().to_canonical().to_string(),
        "request": readable(request.line()),
        "status": status,
        "end": match end {
            End::Answered => "answered",
            End::Shed => "shed",
            End::Aborted => "aborted",
        },
        "fault": fault,
        "sent": sent,
        "cpu_us": cpu.map(micros),
        "memory": memory,
        "took_us": micros(*took),
        "referer": request.values("referer").next().map(readable),
        "user_agent": request.values("user-agent").next().map(readable),
    })
}

fn snapshot(snapshot: &Snapshot) -> Value {
    let Snapshot { id, head, peer, began, cpu, memory, wait, stack } = snapshot;
    json!({
        "id": id,
        "remote": peer.remote.ip().to_canonical().to_string(),
        "request": readable(head.line()),
        "running_us": micros(began.elapsed()),
        "cpu_us": micros(*cpu),
        "memory": memory,
        "waits_in": wait.map(|wait| wait.import),
        "stack": stack.as_ref().map(Stack::lines),
    })
}

fn now() -> String {
    Timestamp::now().to_string()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn add(object: &Value, text: &mut String) {
    *text += &line(object);
}

/// An object as a line. Escapes what could control a terminal, beyond what JSON demands.
fn line(object: &Value) -> String {
    let mut line = String::with_capacity(256);
    for char in object.to_string().chars() {
        match char {
            '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => line += &format!("\\u{:04x}", u32::from(char)),
            _ => line.push(char),
        }
    }
    line.push('\n');
    line
}
