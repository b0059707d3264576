//! The access log and the handlers' own lines, on stderr, off the request path.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::SystemTime,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::record::{Event, Listener};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const QUEUE_MAX: usize = 4 << 20;

/// How much of a request line a fault shows; the access log has all of it.
const REQUEST_MAX: usize = 200;

/// The log. Dropping it writes what is waiting.
pub struct Log {
    sender: Option<Sender<Event>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Log {
    /// Starts the thread that writes to stderr.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
    pub fn spawn() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || write_all(&receiver, &shared)
        })?;
        Ok(Self { sender: Some(sender), shared, thread: Some(thread) })
    }
}

impl Listener for Log {
    fn tell(&self, event: Event) {
        let size = weight(&event);
        if self.shared.waiting.fetch_add(size, Ordering::Relaxed) > QUEUE_MAX {
            self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        } else if let Some(sender) = &self.sender {
            // It fails only when the thread is gone, and then there is nowhere to say so.
            _ = sender.send(event);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// About what an event takes in memory while it waits.
fn weight(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Said { line, .. } => line.len(),
            Event::Faulted { request, .. } | Event::Ended { request, .. } => request.len(),
        }
}

/// Writes events until the last sender is gone, as many as there are with one call.
fn write_all(receiver: &Receiver<Event>, shared: &Shared) {
    let zone = TimeZone::system();
    let mut text = String::new();
    while let Ok(event) = receiver.recv() {
        text.clear();
        for event in std::iter::once(event).chain(receiver.try_iter()) {
            shared.waiting.fetch_sub(weight(&event), Ordering::Relaxed);
            render(&event, &zone, &mut text);
            if text.len() > 64 << 10 {
                break;
            }
        }
        let dropped = shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            _ = writeln!(text, "({dropped} log lines dropped: stderr is read too slowly)");
        }
        // Nobody reads: serving goes on.
        _ = io::stderr().write_all(text.as_bytes());
    }
}

fn render(event: &Event, zone: &TimeZone, text: &mut String) {
    // Writing to a string cannot fail.
    _ = match event {
        Event::Said { id, through, line } => writeln!(text, "[{id}] {through}: {}", escape(line)),
        Event::Faulted { id, request, fault } => writeln!(
            text,
            "[{id}] {} {}: {} ({})",
            fault.status(),
            fault.kind(),
            escape(fault.to_string().as_bytes()),
            escape(&request[..request.len().min(REQUEST_MAX)])
        ),
        Event::Ended { peer, request, status, at, .. } => writeln!(
            text,
            "{} - - [{}] \"{}\" {status} -",
            peer.remote.ip().to_canonical(),
            local_time(*at, zone),
            escape_quoted(request)
        ),
    };
}

/// `19/Oct/2014 15:28:47`, as `http.server` writes it (rule L1).
fn local_time(at: SystemTime, zone: &TimeZone) -> impl std::fmt::Display {
    Timestamp::try_from(at).unwrap_or_default().to_zoned(zone.clone()).strftime("%d/%b/%Y %H:%M:%S")
}

/// Octets as text that cannot do anything to a terminal and cannot pass for another line.
///
/// Readable UTF-8 stays; control characters (C0, C1, DEL, the tab excepted), characters that change the direction of text,
/// backslashes and octets that are no UTF-8 become `\x..` or `\u{..}`.
#[must_use]
pub fn escape(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for part in octets.utf8_chunks() {
        for char in part.valid().chars() {
            _ = match char {
                '\t' => write!(text, "\t"),
                '\\' => write!(text, "\\\\"),
                '\0'..='\x1f' | '\x7f' => write!(text, "\\x{:02x}", char as u32),
                '\u{80}'..='\u{9f}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}' => write!(text, "\\u{{{:x}}}", char as u32),
                _ => write!(text, "{char}"),
            };
        }
        for octet in part.invalid() {
            _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

/// The same for a value between quotes in an access log (rule L4): ASCII only, and no quote of its own.
fn escape_quoted(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        _ = match octet {
            b'"' | b'\\' => write!(text, "\\{}", *octet as char),
            b' '..=b'~' => write!(text, "{}", *octet as char),
            _ => write!(text, "\\x{octet:02X}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gateway::environ::Peer;

    fn rendered(event: &Event) -> String {
        let mut text = String::new();
        render(event, &TimeZone::UTC, &mut text);
        text
    }

    #[test]
    fn l1_the_access_log_looks_like_that_of_http_server() {
        let peer = Peer { remote: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_413_732_527);
        let line = |request: &'static [u8]| {
            let request = bytes::Bytes::from_static(request);
            rendered(&Event::Ended { id: 1, peer, request, status: 200, sent: 5, at, took: Duration::ZERO })
        };
        assert_eq!(line(b"POST / HTTP/1.1"), "127.0.0.1 - - [19/Oct/2014 15:28:47] \"POST / HTTP/1.1\" 200 -\n");
        assert_eq!(
            line(b"GET /\"\n\x1b[2J\\\xe9 HTTP/1.1"),
            "127.0.0.1 - - [19/Oct/2014 15:28:47] \"GET /\\\"\\x0A\\x1B[2J\\\\\\xE9 HTTP/1.1\" 200 -\n"
        );
    }

    #[test]
    fn h22_nothing_that_a_handler_says_reaches_the_terminal_raw() {
        let all: Vec<u8> = (0..=255).collect();
        let line = rendered(&Event::Said { id: 7, through: "stderr", line: all });
        assert!(line.starts_with("[7] stderr: ") && line.ends_with('\n'));
        let inner = line.trim_end_matches('\n');
        assert!(!inner.contains(|char: char| char.is_control() && char != '\t'), "{line:?}");
        assert_eq!(escape("a\u{9b}\u{202e}\r\n\\é".as_bytes()), "a\\u{9b}\\u{202e}\\x0d\\x0a\\\\é");
    }
}
