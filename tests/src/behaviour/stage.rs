//! Where a script can be performed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use super::native;
use crate::{
    PATIENCE,
    client::Client,
    local::{self, Local},
    server::{Launch, Server},
};
use serde_json::Value;
use wasmserve::{Event, Grants, Handler, Limits, Listener, Native, Stream};

/// A server whose handler follows scripts.
pub struct Stage {
    pub(super) name: &'static str,
    addr: SocketAddr,
    play: Play,
}

enum Play {
    /// In this process.
    Local(Local, Arc<Tales>),
    /// The real server.
    Real(Server),
}

/// What was told of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tale {
    /// The status in the access log.
    pub(super) status: u16,
    /// The kind of its fault.
    pub(super) fault: Option<String>,
    /// What its handler has reported.
    pub(super) said: Vec<String>,
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

    fn local(name: &'static str, handler: Box<dyn Handler>) -> Self {
        let tales = Arc::<Tales>::default();
        let local = Local::start(handler, Arc::clone(&tales) as _);
        Self { name, addr: local.addr, play: Play::Local(local, tales) }
    }

    /// The real server.
    #[must_use]
    pub fn real() -> Self {
        let server = Launch::program("follows_a_script").flags(["--access-log-format", "json"]).start();
        Self { name: "real", addr: server.addr(), play: Play::Real(server) }
    }

    /// Whether a handler that traps does so: without a sandbox it cannot.
    pub(super) fn has_traps(&self) -> bool {
        self.name != "native"
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// What was told of the exchange with that target, which must be the only one, once as much was told of it as is
    /// expected: a handler may go on when its client has all that it gets.
    pub(super) fn tale(&self, target: &str, expected: &Tale) -> Tale {
        let is_all = |tale: &Tale| {
            tale.status != 0
                && tale.said.len() >= expected.said.len()
                && tale.fault.is_some() >= expected.fault.is_some()
        };
        match &self.play {
            Play::Local(_, tales) => tales.wait_for(target, is_all),
            Play::Real(server) => {
                // A fault that comes when the exchange is over may only be counted.
                let is_all = |tale: &Tale| tale.status != 0 && tale.said.len() >= expected.said.len();
                let mut tale = read(&server.log_with(|log| is_all(&read(log, target))), target);
                tale.fault = tale.fault.or_else(|| expected.fault.clone());
                tale
            }
        }
    }

    /// Ends it, and nothing stays behind.
    pub(super) fn stop(self) {
        match self.play {
            Play::Local(local, _) => local.stop(),
            Play::Real(server) => drop(server.stop()),
        }
    }
}

fn is_for(line: &str, target: &str) -> bool {
    line.split(' ').nth(1) == Some(target)
}

/// Reads a tale from the log.
fn read(log: &[String], target: &str) -> Tale {
    let mut tale = Tale::default();
    let entries = log.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut entries = entries.filter(|entry| entry["request"].as_str().is_some_and(|line| is_for(line, target)));
    let Some(entry) = entries.next() else { return tale };
    tale.status = entry["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default();
    tale.fault = entry["fault"].as_str().map(str::to_owned);
    let of_it = format!("[{}] ", entry["id"]);
    for line in log.iter().filter_map(|line| line.strip_prefix(&of_it)) {
        if let Some(said) = line.strip_prefix("log: ") {
            tale.said.push(said.replace("\\\\", "\\"));
        }
    }
    tale
}

/// All that exchanges tell in this process.
#[derive(Default)]
struct Tales {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    by_id: HashMap<u64, Tale>,
    /// The exchanges that are over, by their targets.
    ended: HashMap<String, u64>,
}

impl Tales {
    fn wait_for(&self, target: &str, is_all: impl Fn(&Tale) -> bool) -> Tale {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tale = |state: &State| state.ended.get(target).and_then(|id| state.by_id.get(id)).cloned();
        let waits = |state: &mut State| !tale(state).is_some_and(|tale| is_all(&tale));
        let waited = self.news.wait_timeout_while(state, PATIENCE, waits);
        tale(&waited.expect("nobody panics in here").0).unwrap_or_default()
    }
}

impl Listener for Tales {
    fn on_event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Line { id, stream: Stream::Log, line } => {
                let tale = state.by_id.entry(id).or_default();
                tale.said.push(String::from_utf8_lossy(line).into_owned());
            }
            Event::Faulted { exchange, fault } => {
                state.by_id.entry(exchange.id).or_default().fault = Some(fault.kind().to_owned());
            }
            Event::Ended { exchange, outcome } => {
                state.by_id.entry(exchange.id).or_default().status = outcome.status;
                state.ended.insert(String::from_utf8_lossy(exchange.head.target()).into_owned(), exchange.id);
            }
            _ => {}
        }
        self.news.notify_all();
    }
}
