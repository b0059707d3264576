//! Renders events as lines of text.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jiff::{Timestamp, tz::TimeZone};
use wasmserve_gateway::{
    escape::{Quoted, escape},
    request::RequestHead,
};

use super::{
    format::Format,
    json,
    repeats::{Repeats, Show, WINDOW},
    terminal::Screen,
};
use crate::{
    base::{lock::lock, stack::Stack},
    event::{
        Event,
        counters::Tally,
        exchange::{Exchange, Outcome, Sent},
        notice::Level,
        snapshot::Snapshot,
    },
    fault::Fault,
};

/// How many bytes of the request line a fault shows; the access log shows all of it.
const REQUEST_MAX: usize = 200;

/// How many more lines a fault's reason may have than its first one.
const REASON_LINES_MAX: usize = 50;

/// Renders events as lines of text.
pub(super) struct Renderer {
    format: Format,
    clock: Clock,
    repeats: Mutex<Repeats>,
}

impl Renderer {
    pub(super) fn new(format: Format, zone: TimeZone) -> Self {
        Self { format, clock: Clock { zone, last: ArcSwapOption::empty() }, repeats: Mutex::default() }
    }

    /// Appends the lines of an event.
    pub(super) fn render(&self, event: &Event<'_>, text: &mut String) {
        match self.format {
            Format::Json => self.render_json(event, text),
            Format::Terminal { color } => self.render_terminal(&Screen::new(color), event, text),
            Format::BaseHttp | Format::Common | Format::Combined | Format::None => self.render_plain(event, text),
        }
    }

    /// Appends the lines of an event as text.
    fn render_plain(&self, event: &Event<'_>, text: &mut String) {
        match *event {
            Event::Notice(notice) => *text += &format!("{}\n", escape(notice.to_string().as_bytes())),
            Event::Build { line } => *text += &format!("{}\n", escape(line)),
            Event::Listening(listening) => {
                if let Some(url) = &listening.viewer {
                    *text += &format!("viewer on {url}\n");
                }
                listening.addrs.iter().for_each(|addr| *text += &format!("listening on http://{addr}\n"));
            }
            Event::Line { id, stream, line } => *text += &format!("[{id}] {}: {}\n", stream.label(), escape(line)),
            Event::Faulted { exchange, fault, sent } => {
                let id = exchange.id;
                self.render_fault(fault, sent, |part| match part {
                    Part::Head(line) => *text += &format!("[{id}] {line} ({})\n", request_line(&exchange.head)),
                    Part::More(line) => *text += &format!("[{id}]   {line}\n"),
                });
            }
            Event::Running { handlers, tally } => {
                render_running(handlers, &tally, |id, line| match id {
                    Some(id) => *text += &format!("[{id}] {line}\n"),
                    None => *text += &format!("{line}\n"),
                });
            }
            Event::Ended { exchange, outcome } => self.render_end(exchange, outcome, text),
            Event::Begun(_) | Event::Admitted(_) | Event::Started(_) | Event::HeadSent { .. } => {}
        }
    }

    /// Appends the lines of an event for people.
    fn render_terminal(&self, screen: &Screen, event: &Event<'_>, text: &mut String) {
        let now = || self.clock.format(Timestamp::now(), "%H:%M:%S");
        match *event {
            // As the user waits for it, and as scripts find it.
            Event::Build { .. } => self.render_plain(event, text),
            Event::Notice(notice) if notice.level == Level::Status => self.render_plain(event, text),
            Event::Notice(notice) => screen.notice(&now().1, notice, text),
            Event::Listening(listening) => {
                self.render_plain(event, text);
                screen.listening(listening, text);
            }
            Event::Line { id, stream, line } => screen.line(&now().1, id, stream, &escape(line), text),
            Event::Faulted { exchange, fault, sent } => {
                let now = now();
                self.render_fault(fault, sent, |part| match part {
                    Part::Head(line) => {
                        screen.fault(&now.1, exchange.id, &format!("{line} ({})", request_line(&exchange.head)), text);
                    }
                    Part::More(line) => screen.more(&line, text),
                });
            }
            Event::Running { handlers, tally } => render_running(handlers, &tally, |id, line| match id {
                Some(_) if line.starts_with(' ') => screen.more(line.trim_start(), text),
                Some(id) => *text += &format!("[{id}] {line}\n"),
                None => *text += &format!("{line}\n"),
            }),
            Event::Ended { exchange, outcome } => {
                let at = Timestamp::try_from(outcome.at).unwrap_or_default();
                screen.ended(&self.clock.format(at, "%H:%M:%S").1, exchange, outcome, text);
            }
            Event::Begun(_) | Event::Admitted(_) | Event::Started(_) | Event::HeadSent { .. } => {}
        }
    }

    /// Appends an event as a JSON object.
    fn render_json(&self, event: &Event<'_>, text: &mut String) {
        if let Event::Faulted { exchange, fault, sent } = event {
            let show = lock(&self.repeats).show(&reason(fault, *sent), Instant::now());
            if show != Show::Nothing {
                json::fault(exchange, fault, *sent, show == Show::Full, text);
            }
        } else {
            json::event(event, text);
        }
    }

    /// Passes on the lines of a fault with its reason and stack, or less of it if it repeats.
    fn render_fault(&self, fault: &Fault, sent: Sent, mut add: impl FnMut(Part)) {
        let status = sent.status(fault.status());
        let show = lock(&self.repeats).show(&reason(fault, sent), Instant::now());
        if show == Show::Nothing {
            return;
        }
        let message = fault.to_string();
        // A failed `assert_eq!` has several lines, and a traceback of Python many. In other reasons, a line end is part of
        // something quoted.
        let has_lines = matches!(fault, Fault::Trap { .. } | Fault::Exception(_));
        let mut lines = message.split(|char| has_lines && char == '\n').map(|line| escape(line.as_bytes()));
        let first = lines.next().unwrap_or_default();
        add(Part::Head(format!("{status} {}: {}{first}", fault.kind(), effect(sent))));
        if show == Show::Full {
            lines.by_ref().take(REASON_LINES_MAX).for_each(|line| add(Part::More(line)));
            let left = lines.count();
            if left > 0 {
                add(Part::More(format!("({left} more lines)")));
            }
            if let Some(stack) = fault.stack() {
                stack.lines().iter().for_each(|line| add(Part::More(escape(line.as_bytes()))));
            }
        }
    }

    /// Appends an exchange's line in the access log.
    fn render_end(&self, exchange: &Exchange, outcome: &Outcome, text: &mut String) {
        let Exchange { peer, head: request, .. } = exchange;
        let Outcome { status, sent, at, .. } = outcome;
        let remote = peer.remote.ip().to_canonical();
        let line = Quoted(request.line());
        let at = Timestamp::try_from(*at).unwrap_or_default();
        _ = match self.format {
            Format::BaseHttp => {
                let (_, at) = &*self.clock.format(at, "%d/%b/%Y %H:%M:%S");
                writeln!(text, "{remote} - - [{at}] \"{line}\" {status} -")
            }
            // Rules L2 and L3.
            Format::Common | Format::Combined => {
                let (_, at) = &*self.clock.format(at, "%d/%b/%Y:%H:%M:%S %z");
                let sent = if *sent == 0 { "-".to_owned() } else { sent.to_string() };
                _ = write!(text, "{remote} - - [{at}] \"{line}\" {status} {sent}");
                match self.format {
                    Format::Combined => {
                        writeln!(text, " \"{}\" \"{}\"", field(request, "referer"), field(request, "user-agent"))
                    }
                    _ => writeln!(text),
                }
            }
            Format::Json | Format::Terminal { .. } | Format::None => Ok(()),
        };
    }

    /// Appends summaries of the faults suppressed up to `now`.
    pub(super) fn settle(&self, now: Instant, text: &mut String) {
        for (reason, times) in lock(&self.repeats).settle(now) {
            *text += &match self.format {
                Format::Json => json::repeats(&reason, times),
                _ => format!("({times} more times: {reason})\n"),
            };
        }
    }

    /// Like [`settle`](Self::settle), but at the end, without waiting for the window to pass.
    pub(super) fn settle_all(&self, text: &mut String) {
        self.settle(Instant::now() + WINDOW, text);
    }

    /// Says that lines were dropped.
    pub(super) fn dropped(&self, lines: u64) -> String {
        match self.format {
            Format::Json => json::dropped(lines),
            _ => format!("({lines} log lines dropped: stderr is read too slowly)\n"),
        }
    }

    /// How long until suppressed faults should be summarized, or `None` if there are none.
    pub(super) fn next_summary(&self) -> Option<Duration> {
        lock(&self.repeats).has_suppressed().then_some(WINDOW)
    }
}

/// A line of a fault.
enum Part {
    /// The first line: status, kind and reason.
    Head(String),
    /// Another line of its reason or of its stack.
    More(String),
}

/// What a fault did to the response, before its reason, which may contain any text.
fn effect(sent: Sent) -> &'static str {
    match sent {
        Sent::Nothing => "",
        Sent::Part(_) => "response cut: ",
        Sent::All(_) => "after the response: ",
    }
}

/// By which faults are the same.
fn reason(fault: &Fault, sent: Sent) -> String {
    let status = sent.status(fault.status());
    format!("{status} {}: {}{}", fault.kind(), effect(sent), escape(fault.to_string().as_bytes()))
}

/// Formats local time for the access log. Caches the last second, because most lines share it and formatting the time
/// is the slowest part of a line.
struct Clock {
    zone: TimeZone,
    last: ArcSwapOption<(i64, String)>,
}

impl Clock {
    /// Formats a time, in seconds. `format` must always be the same.
    fn format(&self, at: Timestamp, format: &str) -> Arc<(i64, String)> {
        let second = at.as_second();
        if let Some(last) = &*self.last.load()
            && last.0 == second
        {
            return Arc::clone(last);
        }
        let new = Arc::new((second, at.to_zoned(self.zone.clone()).strftime(format).to_string()));
        self.last.store(Some(Arc::clone(&new)));
        new
    }
}

/// Passes on the lines about the running handlers: what each has used, what it does, and where it is. Lines that belong
/// to an exchange come with its id.
fn render_running(running: &[Snapshot], tally: &Tally, mut add: impl FnMut(Option<u64>, &str)) {
    let Tally { accepted, answered, aborted, shed, .. } = tally;
    let requests = if *accepted == 1 { "request" } else { "requests" };
    add(None, &format!("{accepted} {requests}: {answered} answered, {aborted} aborted, {shed} shed"));
    add(
        None,
        &match running.len() {
            0 => "no handler is running".to_owned(),
            1 => "1 handler is running:".to_owned(),
            number => format!("{number} handlers are running:"),
        },
    );
    for Snapshot { id, head, peer, began, cpu, memory, wait, stack } in running {
        let does = match wait {
            Some(wait) => format!("waiting in `{}` for {:.1} s", wait.import, wait.since.elapsed().as_secs_f32()),
            None => "computing".to_owned(),
        };
        let line = format!(
            "{} from {}: running for {:.1} s, CPU {:.1} s, {:.1} MiB, {does}",
            request_line(head),
            peer.remote,
            began.elapsed().as_secs_f32(),
            cpu.as_secs_f32(),
            *memory as f64 / f64::from(1 << 20),
        );
        add(Some(*id), &line);
        for line in stack.iter().flat_map(Stack::lines) {
            add(Some(*id), &format!("  {}", escape(line.as_bytes())));
        }
    }
}

fn request_line(request: &RequestHead) -> String {
    let line = request.line();
    escape(&line[..line.len().min(REQUEST_MAX)])
}

/// A header field's value for the access log, or `-` if absent (rule L3).
fn field<'a>(request: &'a RequestHead, name: &'a str) -> Quoted<'a> {
    Quoted(request.values(name).next().unwrap_or(b"-"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use wasmserve_gateway::environ::Peer;

    use super::*;
    use crate::event::{Stream, exchange::End};

    fn rendered(event: &Event<'_>, format: Format) -> String {
        let mut text = String::new();
        Renderer::new(format, TimeZone::UTC).render(event, &mut text);
        text
    }

    fn access_line(head: &'static [u8], sent: u64, format: Format) -> String {
        let peer = Peer { remote: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
        let head = RequestHead::new(Bytes::from_static(head));
        let exchange = Exchange::new(1, peer, head);
        let outcome = Outcome {
            end: End::Answered,
            status: 200,
            fault: None,
            sent,
            cpu: None,
            memory: None,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_413_732_527),
            took: Duration::from_micros(7),
        };
        rendered(&Event::Ended { exchange: &exchange, outcome: &outcome }, format)
    }

    #[test]
    fn l1_the_default_access_log_matches_that_of_http_server() {
        assert_eq!(
            access_line(b"POST / HTTP/1.1\r\n\r\n", 5, Format::BaseHttp),
            "127.0.0.1 - - [19/Oct/2014 15:28:47] \"POST / HTTP/1.1\" 200 -\n"
        );
    }

    #[test]
    fn l2_l3_the_common_formats_match_those_of_apache() {
        let head = b"GET /a HTTP/1.0\r\nReferer: http://x/\r\nUser-Agent: a\"b\\\xe9\r\n\r\n";
        let common = "127.0.0.1 - - [19/Oct/2014:15:28:47 +0000] \"GET /a HTTP/1.0\" 200 2326";
        assert_eq!(access_line(head, 2326, Format::Common), format!("{common}\n"));
        let combined = format!("{common} \"http://x/\" \"a\\\"b\\\\\\xE9\"\n");
        assert_eq!(access_line(head, 2326, Format::Combined), combined);
        let bare = access_line(b"GET / HTTP/1.0\r\n\r\n", 0, Format::Combined);
        assert!(bare.ends_with("\" 200 - \"-\" \"-\"\n"), "{bare}");
    }

    #[test]
    fn l4_a_client_cannot_forge_a_line() {
        let head = b"GET /\"\x0b\x1b[2J\\\xe9 HTTP/1.1\r\n\r\n";
        assert_eq!(
            access_line(head, 0, Format::BaseHttp),
            "127.0.0.1 - - [19/Oct/2014 15:28:47] \"GET /\\\"\\x0B\\x1B[2J\\\\\\xE9 HTTP/1.1\" 200 -\n"
        );
    }

    #[test]
    fn l6_json_is_one_object_per_line() {
        let line = access_line(b"GET /\xff\" HTTP/1.1\r\nUser-Agent: x\\y\r\n\r\n", 5, Format::Json);
        let object: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(object["request"], "GET /\\xff\" HTTP/1.1");
        assert_eq!((&object["status"], &object["sent"], &object["took_us"]), (&200.into(), &5.into(), &7.into()));
        assert_eq!((&object["user_agent"], &object["referer"]), (&"x\\y".into(), &serde_json::Value::Null));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn f22_handler_output_reaches_the_terminal_only_escaped() {
        let all: Vec<u8> = (0..=255).collect();
        let line = rendered(&Event::Line { id: 7, stream: Stream::Stderr, line: &all }, Format::None);
        assert!(line.starts_with("[7] stderr: ") && line.ends_with('\n'));
        let inner = line.trim_end_matches('\n');
        assert!(!inner.contains(|char: char| char.is_control() && char != '\t'), "{line:?}");
        assert_eq!(escape("a\u{9b}\u{202e}\r\n\\é".as_bytes()), "a\\u{9b}\\u{202e}\\x0d\\x0a\\\\é");
    }
}
