//! One request with its own mark: how its instance ends, and what is in the response.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use wasmserve_test_programs::mark::{self, Mark};

use crate::siege::wire;

/// The timeout of short exchanges.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A guest that leaves marks wherever it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guest {
    /// In everything that the host provides to a Rust program.
    Spy,
    /// In all memories, tables and globals of an instance.
    Filler,
}

impl Guest {
    /// Alternates, so that each guest gets the slots that the other has used.
    pub(super) fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Spy } else { Self::Filler }
    }

    /// Its name, which is also its mount.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spy => "leaves_marks",
            Self::Filler => "fills_every_place",
        }
    }
}

/// A way for an instance to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// A description.
    pub(super) name: &'static str,
    path: &'static str,
    /// Whether the client leaves after the report.
    leaves: bool,
}

/// All endings.
pub(super) const ENDINGS: [Ending; 6] = [
    Ending { name: "returns", path: "/", leaves: false },
    Ending { name: "fails", path: "/fails", leaves: false },
    Ending { name: "traps", path: "/traps", leaves: false },
    Ending { name: "is stopped by a limit", path: "/spins", leaves: false },
    Ending { name: "is left while it waits", path: "/waits", leaves: true },
    Ending { name: "is left while it computes", path: "/spins", leaves: true },
];

impl Ending {
    /// The target of a request that ends in this way.
    pub(super) fn target(self, guest: Guest, mark: &Mark) -> String {
        format!("/{}{}?{mark}", guest.name(), self.path)
    }

    /// Whether the response is a failure without a report.
    pub(super) fn is_silent(self, guest: Guest) -> bool {
        // The other guest does not know this ending, and returns.
        self.path == "/fails" && guest == Guest::Spy
    }

    /// Whether the handler waits for a part of the body that is never sent.
    fn waits(self) -> bool {
        self.path == "/waits"
    }
}

/// A mark that no other request of this process has.
pub(super) fn new_mark() -> Mark {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Marks differ in most of their digits, so a mixture of two marks is not mistaken for one of them.
    Mark::new(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The result of a trial.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) guest: Guest,
    pub(super) ending: Ending,
    pub(super) mark: Mark,
    /// The numbers that the guest has reported; none if it is silent.
    pub(super) report: Vec<u64>,
    /// Foreign marks in the response, and marks where there must be none.
    pub(super) foreign: u64,
}

/// Has a guest search for marks, leave its own, and end in this way.
///
/// # Errors
///
/// There was no report: the server had no memory or no descriptors left for it.
pub(super) fn attempt(addr: SocketAddr, guest: Guest, ending: Ending) -> io::Result<Trial> {
    let mark = new_mark();
    let target = ending.target(guest, &mark);
    let length = mark::LENGTH + usize::from(ending.waits());
    let mut stream = wire::connect(addr, TIMEOUT)?;
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nX-Mark: {mark}\r\nCookie: {mark}\r\n\
         Content-Length: {length}\r\n\r\n{mark}"
    );
    stream.write_all(request.as_bytes())?;
    let (mut seen, mut part) = (Vec::new(), vec![0; 16 << 10]);
    let report = loop {
        if let Some(report) = report_in(&seen) {
            break report;
        }
        match stream.read(&mut part)? {
            0 if ending.is_silent(guest) && seen.starts_with(b"HTTP/1.1 500") => break Vec::new(),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => seen.extend_from_slice(&part[..read]),
        }
    };
    if !ending.leaves {
        // Some responses are cut, which does not matter here.
        _ = stream.read_to_end(&mut seen);
    }
    let foreign = foreign_in(&seen, guest, ending, &mark);
    Ok(Trial { guest, ending, mark, report, foreign })
}

/// Counts foreign marks in a response. The response to a failure must contain no data of the handler, not even its own
/// mark.
pub(super) fn foreign_in(answer: &[u8], guest: Guest, ending: Ending, own: &Mark) -> u64 {
    if ending.is_silent(guest) { mark::all(answer).count() as u64 } else { mark::foreign(answer, own) as u64 }
}

/// The numbers of a report, if it is complete.
pub(super) fn report_in(answer: &[u8]) -> Option<Vec<u64>> {
    const BEGINNING: &[u8] = b"report: ";
    let begin = answer.windows(BEGINNING.len()).position(|bytes| bytes == BEGINNING)? + BEGINNING.len();
    let length = answer[begin..].iter().position(|byte| *byte == b'\n')?;
    str::from_utf8(&answer[begin..begin + length]).ok()?.split(' ').map(|number| number.parse().ok()).collect()
}
