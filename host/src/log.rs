//! The access log and the handlers' own lines, on stderr, off the request path.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{
    config::AccessLog,
    gateway::request::RequestHead,
    record::{Event, Listener},
    roster::Sight,
    stack::Stack,
};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const QUEUE_MAX: usize = 4 << 20;

/// How much of a request line a fault shows; the access log has all of it.
const REQUEST_MAX: usize = 200;

/// The log. Dropping it writes what is waiting.
pub struct Log {
    sender: Option<Sender<Message>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Event(Event),
    /// Somebody waits until all that came before is written.
    Flush(Sender<()>),
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
    pub fn spawn(format: AccessLog) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || write_all(&receiver, &shared, format)
        })?;
        Ok(Self { sender: Some(sender), shared, thread: Some(thread) })
    }

    /// Waits until all that was told is written.
    pub fn flush(&self) {
        let (done, is_done) = mpsc::channel();
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(done)).is_ok()
        {
            _ = is_done.recv();
        }
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
            _ = sender.send(Message::Event(event));
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
            Event::Running(running) => running.len() * size_of::<Sight>(),
            Event::Faulted { request, .. } | Event::Ended { request, .. } => request.raw().len(),
        }
}

/// Writes events until the last sender is gone, as many as there are with one call.
fn write_all(receiver: &Receiver<Message>, shared: &Shared, format: AccessLog) {
    let zone = TimeZone::system();
    let mut text = String::new();
    while let Ok(message) = receiver.recv() {
        text.clear();
        let mut waiting = Vec::new();
        for message in std::iter::once(message).chain(receiver.try_iter()) {
            match message {
                Message::Event(event) => {
                    shared.waiting.fetch_sub(weight(&event), Ordering::Relaxed);
                    render(&event, format, &zone, &mut text);
                }
                Message::Flush(done) => waiting.push(done),
            }
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
        for done in waiting {
            _ = done.send(());
        }
    }
}

fn render(event: &Event, format: AccessLog, zone: &TimeZone, text: &mut String) {
    match event {
        Event::Said { id, through, line } => *text += &format!("[{id}] {through}: {}\n", escape(line)),
        Event::Faulted { id, request, fault } => {
            *text += &format!(
                "[{id}] {} {}: {} ({})\n",
                fault.status(),
                fault.kind(),
                escape(fault.to_string().as_bytes()),
                request_line(request)
            );
            if let Some(stack) = fault.stack() {
                render_stack(*id, stack, text);
            }
        }
        Event::Running(running) => render_running(running, text),
        Event::Ended { id, peer, request, status, sent, cpu, memory, at, took } => {
            let remote = peer.remote.ip().to_canonical();
            let line = escape_quoted(request.line());
            let at = Timestamp::try_from(*at).unwrap_or_default().to_zoned(zone.clone());
            *text += &match format {
                AccessLog::BaseHttp => {
                    format!("{remote} - - [{}] \"{line}\" {status} -\n", at.strftime("%d/%b/%Y %H:%M:%S"))
                }
                AccessLog::Common => common(remote, &at, &line, *status, *sent) + "\n",
                AccessLog::Combined => {
                    let common = common(remote, &at, &line, *status, *sent);
                    format!("{common} \"{}\" \"{}\"\n", field(request, "referer"), field(request, "user-agent"))
                }
                AccessLog::Json => {
                    let object = serde_json::json!({
                        "id": id,
                        "time": at.timestamp().to_string(),
                        "remote": remote.to_string(),
                        "request": escape(request.line()),
                        "status": status,
                        "sent": sent,
                        "cpu_us": cpu.map(micros),
                        "memory": memory,
                        "took_us": micros(*took),
                        "referer": request.values("referer").next().map(escape),
                        "user_agent": request.values("user-agent").next().map(escape),
                    });
                    format!("{object}\n")
                }
                AccessLog::None => String::new(),
            };
        }
    }
}

/// What runs: each handler with what it has used, what it does and where it is.
fn render_running(running: &[Sight], text: &mut String) {
    *text += &match running.len() {
        0 => "no handler is running\n".to_owned(),
        1 => "1 handler is running:\n".to_owned(),
        number => format!("{number} handlers are running:\n"),
    };
    for Sight { watch, wait, stack } in running {
        let does = match wait {
            Some(wait) => format!("waits in `{}` for {:.1} s", wait.import, wait.since.elapsed().as_secs_f32()),
            None => "computes".to_owned(),
        };
        *text += &format!(
            "[{}] {} from {}: for {:.1} s, computed {:.1} s, {:.1} MiB, {does}\n",
            watch.id,
            request_line(&watch.request),
            watch.peer.remote,
            watch.began.elapsed().as_secs_f32(),
            watch.cpu().as_secs_f32(),
            watch.memory() as f64 / f64::from(1 << 20),
        );
        if let Some(stack) = stack {
            render_stack(watch.id, stack, text);
        }
    }
}

fn render_stack(id: u64, stack: &Stack, text: &mut String) {
    for line in stack.lines() {
        *text += &format!("[{id}]   {}\n", escape(line.as_bytes()));
    }
}

fn request_line(request: &RequestHead) -> String {
    let line = request.line();
    escape(&line[..line.len().min(REQUEST_MAX)])
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The Common Log Format (rule L2).
fn common(remote: IpAddr, at: &Zoned, line: &str, status: u16, sent: u64) -> String {
    let sent = if sent == 0 { "-".to_owned() } else { sent.to_string() };
    format!("{remote} - - [{}] \"{line}\" {status} {sent}", at.strftime("%d/%b/%Y:%H:%M:%S %z"))
}

/// A header line's value for the access log, `-` when absent (rule L3).
fn field(request: &RequestHead, name: &str) -> String {
    request.values(name).next().map_or_else(|| "-".to_owned(), escape_quoted)
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
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::gateway::environ::Peer;

    fn rendered(event: &Event, format: AccessLog) -> String {
        let mut text = String::new();
        render(event, format, &TimeZone::UTC, &mut text);
        text
    }

    fn access_line(head: &'static [u8], sent: u64, format: AccessLog) -> String {
        let peer = Peer { remote: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_413_732_527);
        let request = RequestHead::new(bytes::Bytes::from_static(head));
        rendered(
            &Event::Ended {
                id: 1,
                peer,
                request,
                status: 200,
                sent,
                cpu: None,
                memory: None,
                at,
                took: Duration::from_micros(7),
            },
            format,
        )
    }

    #[test]
    fn l1_the_access_log_looks_like_that_of_http_server() {
        assert_eq!(
            access_line(b"POST / HTTP/1.1\r\n\r\n", 5, AccessLog::BaseHttp),
            "127.0.0.1 - - [19/Oct/2014 15:28:47] \"POST / HTTP/1.1\" 200 -\n"
        );
    }

    #[test]
    fn l2_l3_the_common_formats_are_those_of_apache() {
        let head = b"GET /a HTTP/1.0\r\nReferer: http://x/\r\nUser-Agent: a\"b\\\xe9\r\n\r\n";
        let common = "127.0.0.1 - - [19/Oct/2014:15:28:47 +0000] \"GET /a HTTP/1.0\" 200 2326";
        assert_eq!(access_line(head, 2326, AccessLog::Common), format!("{common}\n"));
        let combined = format!("{common} \"http://x/\" \"a\\\"b\\\\\\xE9\"\n");
        assert_eq!(access_line(head, 2326, AccessLog::Combined), combined);
        let bare = access_line(b"GET / HTTP/1.0\r\n\r\n", 0, AccessLog::Combined);
        assert!(bare.ends_with("\" 200 - \"-\" \"-\"\n"), "{bare}");
    }

    #[test]
    fn l4_nothing_that_a_client_sends_can_forge_a_line() {
        let head = b"GET /\"\x0b\x1b[2J\\\xe9 HTTP/1.1\r\n\r\n";
        assert_eq!(
            access_line(head, 0, AccessLog::BaseHttp),
            "127.0.0.1 - - [19/Oct/2014 15:28:47] \"GET /\\\"\\x0B\\x1B[2J\\\\\\xE9 HTTP/1.1\" 200 -\n"
        );
    }

    #[test]
    fn l6_json_is_one_object_a_line() {
        let line = access_line(b"GET /\xff\" HTTP/1.1\r\nUser-Agent: x\r\n\r\n", 5, AccessLog::Json);
        let object: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(object["request"], "GET /\\xff\" HTTP/1.1");
        assert_eq!((&object["status"], &object["sent"], &object["took_us"]), (&200.into(), &5.into(), &7.into()));
        assert_eq!((&object["user_agent"], &object["referer"]), (&"x".into(), &serde_json::Value::Null));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn h22_nothing_that_a_handler_says_reaches_the_terminal_raw() {
        let all: Vec<u8> = (0..=255).collect();
        let line = rendered(&Event::Said { id: 7, through: "stderr", line: all }, AccessLog::None);
        assert!(line.starts_with("[7] stderr: ") && line.ends_with('\n'));
        let inner = line.trim_end_matches('\n');
        assert!(!inner.contains(|char: char| char.is_control() && char != '\t'), "{line:?}");
        assert_eq!(escape("a\u{9b}\u{202e}\r\n\\é".as_bytes()), "a\\u{9b}\\u{202e}\\x0d\\x0a\\\\é");
    }
}
