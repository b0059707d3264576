//! Compares what a server has captured with what its clients sent and received.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use wasmserve::capture::{
    message::Message,
    record::{Ending, Record},
};

use crate::client::{Client, Tap};

/// The connections of clients, with everything that passed on them.
#[derive(Debug, Default)]
pub struct Taps(Mutex<Vec<(SocketAddr, Arc<Mutex<Tap>>)>>);

impl Taps {
    /// Keeps everything that passes on this connection.
    ///
    /// # Panics
    ///
    /// The connection has no address any more.
    #[must_use]
    pub fn tap(&self, client: Client) -> Client {
        let tap = Arc::default();
        let client = client.tapped(&tap);
        let addr = client.sender().local_addr().expect("the connection is open");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((addr, tap));
        client
    }

    /// Compares all connections with the records of the server, which must be complete (rule O1). Returns how many
    /// exchanges there were.
    ///
    /// # Panics
    ///
    /// A byte differs.
    pub fn check<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> usize {
        let mut connections = BTreeMap::<u64, Vec<&Record>>::new();
        for record in records {
            connections.entry(record.connection).or_default().push(record);
        }
        // A port may be used again, but connections are numbered in the order in which they were accepted.
        let mut by_remote = HashMap::<SocketAddr, Vec<Vec<&Record>>>::new();
        for (_, mut records) in connections.into_iter().rev() {
            records.sort_by_key(|record| record.nth);
            by_remote.entry(records[0].remote).or_default().push(records);
        }
        let mut exchanges = 0;
        for (addr, tap) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let tap = tap.lock().unwrap_or_else(PoisonError::into_inner);
            let connections = by_remote.get_mut(addr);
            // A connection may have no exchange.
            let records = connections.and_then(|connections| connections.pop_if(|records| is_of(&tap, records)));
            let records = records.unwrap_or_default();
            exchanges += records.len();
            check(&tap, &records);
        }
        let left: usize = by_remote.values().map(Vec::len).sum();
        assert_eq!(left, 0, "connections were captured that no client made");
        exchanges
    }
}

/// Whether these records may be those of the connection.
fn is_of(tap: &Tap, records: &[&Record]) -> bool {
    let first = records[0];
    let begins_with = first.response.bytes.len().min(tap.received.len()).min(first.response.head().len());
    tap.sent.starts_with(first.request.head()) && first.response.bytes[..begins_with] == tap.received[..begins_with]
}

fn check(tap: &Tap, records: &[&Record]) {
    let sent: Vec<u8> = records.iter().flat_map(|record| record.request.bytes.iter().copied()).collect();
    let received: Vec<u8> = records.iter().flat_map(|record| record.response.bytes.iter().copied()).collect();
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert!(tap.sent.starts_with(&sent), "sent:\n{}\ncaptured:\n{}", shown(&tap.sent), shown(&sent));
    // The system may have accepted what a client did not read, and a reset takes back what is under way.
    assert!(
        received.starts_with(&tap.received) && (received.len() == tap.received.len() || !tap.is_at_end),
        "received:\n{}\ncaptured:\n{}",
        shown(&tap.received),
        shown(&received)
    );
    let rest = &tap.sent[sent.len()..];
    let is_over = records.last().is_none_or(|record| {
        let response = Message::response(record);
        let closes = response.value("connection") == Some(b"close");
        // Nothing is read after the last request of a connection, except briefly while it is closed.
        record.response.end != Ending::Whole || closes || response.line.starts_with(b"HTTP/1.0")
    });
    let last = records.last().map(|record| [record.request.head(), record.response.head()].map(shown));
    // The beginning of a head is no exchange, and neither are empty lines.
    let is_beginning = !rest.trim_ascii_start().contains(&b'\n');
    assert!(is_over || is_beginning, "not captured after {last:?}: {}", shown(rest));
    for record in records {
        for side in [&record.request, &record.response] {
            assert!(!side.is_cut() && side.cut.is_none(), "{record:?}");
            let turns: u64 = side.turns.iter().map(|(_, length)| u64::from(*length)).sum();
            assert!(turns == side.total || side.turns.len() == wasmserve::capture::record::TURNS_MAX, "{record:?}");
        }
        assert!(record.outcome.is_some() && record.id > 0, "{record:?}");
    }
}
