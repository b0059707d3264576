//! The environments that a script can run in.

use std::{
    collections::HashMap,
    mem,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use super::native;
use crate::{
    TIMEOUT,
    captured::Taps,
    client::Client,
    kind::Kind,
    local::{self, Local},
    server::{Launch, Server},
};
use serde_json::Value;
use wasmserve::{
    Event, Grants, Handler, Limits, Listener, Native, Stream,
    capture::store::{CaptureOptions, Store},
};
use wasmserve_test_programs::Step;

/// A server whose handler follows scripts.
pub struct Stage {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    addr: SocketAddr,
    play: Play,
}

enum Play {
    /// In this process.
    Local(Local, Arc<Records>),
    /// In this process, and everything is captured.
    Captured(Local, Arc<Records>, Arc<Store>, Taps),
    /// The real server.
    Real(Server),
}

/// What was recorded of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The status in the access log.
    pub(super) status: u16,
    /// The kind of the fault.
    pub(super) fault: Option<String>,
    /// The lines that the handler reported.
    pub(super) reported: Vec<String>,
}

impl Stage {
    /// A handler without a sandbox.
    #[must_use]
    pub fn native() -> Self {
        Self::local("native", Box::new(Native::new(native::follow, &Limits::DEFAULT, &Grants::default())))
    }

    /// A component in this process.
    #[must_use]
    pub fn component() -> Self {
        Self::local("component", local::component("follows_a_script"))
    }

    /// A handler without a sandbox, in a server that captures everything. Stopping checks that what was captured is what
    /// the clients sent and received.
    #[must_use]
    pub fn captured() -> Self {
        Self::capturing("native", Box::new(Native::new(native::follow, &Limits::DEFAULT, &Grants::default())))
    }

    /// The same with a component.
    #[must_use]
    pub fn captured_component() -> Self {
        Self::capturing("component", local::component("follows_a_script"))
    }

    fn capturing(name: &'static str, handler: Box<dyn Handler>) -> Self {
        let records = Arc::<Records>::default();
        let options = CaptureOptions { memory: 4 << 30, body: 64 << 20 };
        let store = Store::spawn(options, Vec::new()).expect("the system has threads left");
        let local = Local::captured(handler, Arc::clone(&records) as _, &store);
        let play = Play::Captured(local, records, store, Taps::default());
        let Play::Captured(local, ..) = &play else { unreachable!() };
        Self { name, addr: local.addr, kind: Kind::GATEWAY, play }
    }

    fn local(name: &'static str, handler: Box<dyn Handler>) -> Self {
        let records = Arc::<Records>::default();
        let local = Local::start(handler, Arc::clone(&records) as _);
        Self { name, addr: local.addr, kind: Kind::GATEWAY, play: Play::Local(local, records) }
    }

    /// The real server, with a handler of this kind.
    #[must_use]
    pub fn real(kind: Kind) -> Self {
        let launch = kind.follows();
        let launch = if kind.host.is_ours() { launch.flags(["--access-log-format", "json"]) } else { launch };
        Self::launch(kind, launch)
    }

    /// The real server, which captures everything into this directory.
    #[must_use]
    pub fn capturing_into(directory: &Path) -> Self {
        let flags =
            ["--access-log-format", "json", "--ui=127.0.0.1:0", "--ui-memory", "2GiB", "--capture-body", "64MiB"];
        Self::launch(Kind::GATEWAY, Kind::GATEWAY.follows().flags(flags).flags(["--capture"]).flags([directory]))
    }

    fn launch(kind: Kind, launch: Launch) -> Self {
        let server = launch.start();
        Self { name: kind.name, addr: server.addr(), kind, play: Play::Real(server) }
    }

    /// Whether the handler can trap: without a sandbox it cannot.
    pub(super) fn has_traps(&self) -> bool {
        self.name != "native"
    }

    /// What a script begins with, so that what is reported after it can be found in a log of lines without ids.
    pub(super) fn mark(&self) -> Vec<Step> {
        if self.kind.host.is_ours() { Vec::new() } else { vec![Step::Get("PATH_INFO".into())] }
    }

    pub(super) fn connect(&self) -> Client {
        let client = Client::connect(self.addr);
        match &self.play {
            Play::Captured(.., taps) => taps.tap(client),
            _ => client,
        }
    }

    /// The record of the exchange with this target, which must be the only one. Waits until the record is as complete
    /// as expected, because a handler may still run after its client has received the response.
    pub(super) fn record(&self, target: &str, expected: &Record) -> Record {
        let is_all = |record: &Record| {
            record.status != 0
                && record.reported.len() >= expected.reported.len()
                && record.fault.is_some() >= expected.fault.is_some()
        };
        match &self.play {
            Play::Local(_, records) | Play::Captured(_, records, ..) => records.wait_for(target, is_all),
            Play::Real(server) if self.kind.is_exported || !self.kind.host.is_ours() => {
                let of_target = |log: &[String]| self.sift(log, target, expected);
                let record = server.log_with(|log| is_all(&of_target(log)));
                of_target(&record)
            }
            Play::Real(server) => {
                // A fault after the end of the exchange may only be counted, and not logged.
                let is_all = |record: &Record| record.status != 0 && record.reported.len() >= expected.reported.len();
                let mut record = read(
                    &server.log_with(|log| is_all(&read(log, self.kind.stream, target))),
                    self.kind.stream,
                    target,
                );
                record.fault = record.fault.or_else(|| expected.fault.clone());
                record
            }
        }
    }

    /// Waits until the server has ended by itself, and starts it again.
    pub(super) fn restart(&mut self) {
        let server = self.kind.follows().start();
        self.addr = server.addr();
        if let Play::Real(before) = mem::replace(&mut self.play, Play::Real(server)) {
            _ = before.wait();
        }
    }

    /// Finds what a handler has reported among other lines, and its fault, if that is named.
    fn sift(&self, log: &[String], target: &str, expected: &Record) -> Record {
        const FAULTS: [&str; 4] = ["exception", "no-start-response", "bad-response-head", "short-body"];
        let record = match self.kind.host.is_ours() {
            true => read(log, self.kind.stream, target),
            false => {
                let lines = log.iter().skip_while(|line| *line != target).skip(1).cloned();
                Record { status: 200, fault: None, reported: lines.collect() }
            }
        };
        let mut steps = expected.reported.iter().peekable();
        let reported = record.reported.iter().filter(|line| steps.next_if_eq(line).is_some()).cloned().collect();
        let fault = record.reported.iter().find_map(|line| {
            let (kind, _) = line.split_once(": ")?;
            FAULTS.contains(&kind).then(|| kind.to_owned())
        });
        // A trap is the end of the provider too, and some hosts name no fault at all.
        let is_named = self.kind.is_exported && expected.fault.as_deref() != Some("trap");
        let fault = if is_named { fault.or(record.fault) } else { expected.fault.clone() };
        Record { status: record.status, fault, reported }
    }

    /// Stops the server, and checks that nothing is left running.
    pub(super) fn stop(self) {
        match self.play {
            Play::Local(local, _) => local.stop(),
            Play::Captured(local, _, store, taps) => {
                local.stop();
                store.end(TIMEOUT);
                let records = store.after(0, usize::MAX);
                assert!(taps.check(records.iter().map(|record| &**record)) > 0);
                assert_eq!(store.counts().removed, 0);
            }
            Play::Real(server) if self.kind.host.is_ours() => drop(server.stop()),
            Play::Real(server) => drop(server),
        }
    }
}

fn is_for(line: &str, target: &str) -> bool {
    line.split(' ').nth(1) == Some(target)
}

/// Reads a record from the log.
fn read(log: &[String], stream: &str, target: &str) -> Record {
    let mut record = Record::default();
    let objects: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &'static str| objects.iter().filter(move |object| object["event"] == event);
    let mut entries = of("request").filter(|entry| entry["request"].as_str().is_some_and(|line| is_for(line, target)));
    let Some(entry) = entries.next_back() else { return record };
    record.status = entry["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default();
    record.fault = entry["fault"].as_str().map(str::to_owned);
    let reported = of("output").filter(|line| line["id"] == entry["id"] && line["stream"] == stream);
    record.reported.extend(reported.filter_map(|line| line["text"].as_str().map(str::to_owned)));
    record
}

/// Records the exchanges in this process.
#[derive(Default)]
struct Records {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    by_id: HashMap<u64, Record>,
    /// The exchanges that have ended, by target.
    ended: HashMap<String, u64>,
}

impl Records {
    fn wait_for(&self, target: &str, is_all: impl Fn(&Record) -> bool) -> Record {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let record = |state: &State| state.ended.get(target).and_then(|id| state.by_id.get(id)).cloned();
        let waits = |state: &mut State| !record(state).is_some_and(|record| is_all(&record));
        let waited = self.changed.wait_timeout_while(state, TIMEOUT, waits);
        record(&waited.expect("no thread panics while it holds the lock").0).unwrap_or_default()
    }
}

impl Listener for Records {
    fn on_event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Line { id, stream: Stream::Log, line } => {
                let record = state.by_id.entry(id).or_default();
                record.reported.push(String::from_utf8_lossy(line).into_owned());
            }
            Event::Faulted { exchange, fault, .. } => {
                state.by_id.entry(exchange.id).or_default().fault = Some(fault.kind().to_owned());
            }
            Event::Ended { exchange, outcome } => {
                state.by_id.entry(exchange.id).or_default().status = outcome.status;
                state.ended.insert(String::from_utf8_lossy(exchange.head.target()).into_owned(), exchange.id);
            }
            _ => {}
        }
        self.changed.notify_all();
    }
}
