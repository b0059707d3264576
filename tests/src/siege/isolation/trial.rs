//! One request with a mark of its own: how it is made to end, and what comes back of it.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use wasmserve_test_programs::mark::{self, Mark};

use crate::siege::wire;

/// For what takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest that leaves marks wherever it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guest {
    /// In all that the host gives to a program in Rust.
    Spy,
    /// In all that the machine has.
    Filler,
}

impl Guest {
    /// In turn, so that each has the slots that the other one had.
    pub(super) fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Spy } else { Self::Filler }
    }

    /// Its name, and where it is mounted.
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
    /// In words.
    pub(super) name: &'static str,
    path: &'static str,
    /// Whether the client leaves when it has the report.
    leaves: bool,
}

/// All of them.
pub(super) const ENDINGS: [Ending; 6] = [
    Ending { name: "returns", path: "/", leaves: false },
    Ending { name: "fails", path: "/fails", leaves: false },
    Ending { name: "traps", path: "/traps", leaves: false },
    Ending { name: "is stopped by a limit", path: "/spins", leaves: false },
    Ending { name: "is left while it waits", path: "/waits", leaves: true },
    Ending { name: "is left while it computes", path: "/spins", leaves: true },
];

impl Ending {
    /// The target of a request that ends like this.
    pub(super) fn target(self, guest: Guest, mark: &Mark) -> String {
        format!("/{}{}?{mark}", guest.name(), self.path)
    }

    /// Whether the answer is a failure without a report.
    pub(super) fn is_silent(self, guest: Guest) -> bool {
        // The other one knows no such end, and returns.
        self.path == "/fails" && guest == Guest::Spy
    }

    /// Whether the handler waits for more of the body than comes.
    fn waits(self) -> bool {
        self.path == "/waits"
    }
}

/// A mark that no other request of this process has.
pub(super) fn new_mark() -> Mark {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Two marks differ in most of their digits, so a mixture of two is not taken for one of them.
    Mark::new(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) guest: Guest,
    pub(super) ending: Ending,
    pub(super) mark: Mark,
    /// The numbers that the guest reports; none of one that is silent.
    pub(super) report: Vec<u64>,
    /// Marks in what came back that are not its own, or that should not be there at all.
    pub(super) foreign: u64,
}

/// Has a guest look around, leave its mark, and end in that way.
///
/// # Errors
///
/// There was no report: the server had no room for it, or no descriptors.
pub(super) fn attempt(addr: SocketAddr, guest: Guest, ending: Ending) -> io::Result<Trial> {
    let mark = new_mark();
    let target = ending.target(guest, &mark);
    let length = mark::LENGTH + usize::from(ending.waits());
    let mut stream = wire::connect(addr, PATIENCE)?;
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
        // Some of them are cut, which is no matter here.
        _ = stream.read_to_end(&mut seen);
    }
    let foreign = foreign_in(&seen, guest, ending, &mark);
    Ok(Trial { guest, ending, mark, report, foreign })
}

/// Marks in an answer that are not its own. What a failure says to a client has nothing of the handler in it, not even that.
pub(super) fn foreign_in(answer: &[u8], guest: Guest, ending: Ending, own: &Mark) -> u64 {
    if ending.is_silent(guest) { mark::all(answer).count() as u64 } else { mark::foreign(answer, own) as u64 }
}

/// The numbers of a report, if there is a whole one.
pub(super) fn report_in(answer: &[u8]) -> Option<Vec<u64>> {
    const BEGINNING: &[u8] = b"report: ";
    let begin = answer.windows(BEGINNING.len()).position(|bytes| bytes == BEGINNING)? + BEGINNING.len();
    let length = answer[begin..].iter().position(|byte| *byte == b'\n')?;
    str::from_utf8(&answer[begin..begin + length]).ok()?.split(' ').map(|number| number.parse().ok()).collect()
}
