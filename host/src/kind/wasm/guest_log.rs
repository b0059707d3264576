//! Collects a handler's output into log lines, within limits (rule L7).

use std::{
    collections::BTreeSet,
    io, mem,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::phrases;
use crate::{
    base::{limits::Limits, lock::lock},
    capture::recording::Recording,
    event::{Event, Events, Stream},
};

/// The log of one exchange's handler.
#[derive(Clone)]
pub(super) struct GuestLog {
    id: u64,
    /// What is recorded of the exchange, if it is captured.
    recording: Option<Recording>,
    events: Arc<Events>,
    shared: Arc<Shared>,
    /// Those of the component, from all of its exchanges.
    notes: Arc<Notes>,
    /// The limits of one line and of all lines together, in bytes.
    line_max: usize,
    all_max: usize,
}

/// What all streams of an exchange share.
#[derive(Default)]
struct Shared {
    /// The bytes written so far.
    used: AtomicUsize,
    /// The message of the last panic on stderr.
    panic: Mutex<Panic>,
}

/// The message that a language's runtime prints on stderr when it panics: the only place of the reason for handlers
/// that do not report exceptions.
#[derive(Default)]
struct Panic {
    text: String,
    /// Whether the next line may belong to it.
    is_open: bool,
}

impl Panic {
    /// How much is kept, in bytes. More would not be read.
    const MAX: usize = 4 << 10;

    fn observe(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        if let Some(begin) = phrases::begin_of_panic(&line) {
            begin.clone_into(&mut self.text);
            self.is_open = true;
        } else if self.is_open {
            self.is_open = !phrases::is_after_panic(&line) && self.text.len() + line.len() < Self::MAX;
            if self.is_open {
                // The message follows the place in a line of its own.
                self.text.push(if self.text.contains(": ") { '\n' } else { ' ' });
                self.text.push_str(&line);
            }
        }
    }
}

impl GuestLog {
    /// Creates the log of an exchange.
    #[must_use]
    pub(super) fn new(
        id: u64,
        recording: Option<Recording>,
        events: Arc<Events>,
        notes: Arc<Notes>,
        limits: &Limits,
    ) -> Self {
        Self { id, recording, events, shared: Arc::default(), notes, line_max: limits.log_line, all_max: limits.log }
    }

    /// What is recorded of the exchange, if it is captured.
    pub(super) fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Writes text of any number of lines. Never blocks.
    pub(super) fn write(&self, stream: Stream, text: &[u8]) {
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
            self.write_line(stream, line, 0);
        }
    }

    /// The message of the last panic that the handler's language has printed on stderr, if there was one.
    pub(super) fn take_panic(&self) -> Option<String> {
        let Panic { text, .. } = mem::take(&mut *lock(&self.shared.panic));
        (!text.is_empty()).then_some(text)
    }

    /// Writes a note for the handler's author, unless the component has caused the same one before: a server that refuses
    /// the same thing for each request reports it once. Returns whether it was written.
    pub(super) fn note(&self, text: &str) -> bool {
        let is_new = self.notes.is_new(text);
        if is_new {
            self.write(Stream::Note, text.as_bytes());
        }
        is_new
    }

    /// Writes a line of which the end is missing: `dropped` bytes.
    fn write_line(&self, stream: Stream, line: &[u8], dropped: usize) {
        let line = if dropped == 0 { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let kept = &line[..line.len().min(self.line_max)];
        if stream == Stream::Stderr {
            lock(&self.shared.panic).observe(kept);
        }
        let dropped = dropped + (line.len() - kept.len());
        // Empty lines have a cost as well.
        let size = kept.len().max(64);
        let used = self.shared.used.fetch_add(size, Ordering::Relaxed);
        if used + size > self.all_max {
            if used <= self.all_max {
                let notice = format!("(output exceeds {} bytes; the rest is dropped; raise --max-log)", self.all_max);
                self.emit(stream, notice.as_bytes());
            }
            // Keeps the sum above the limit without ever overflowing.
            self.shared.used.store(self.all_max + 1, Ordering::Relaxed);
        } else if dropped > 0 {
            self.emit(stream, &[kept, format!("...({dropped} bytes dropped)").as_bytes()].concat());
        } else {
            self.emit(stream, kept);
        }
    }

    fn emit(&self, stream: Stream, line: &[u8]) {
        if let Some(recording) = &self.recording {
            recording.line(stream.label(), line);
        }
        self.events.emit(&Event::Line { id: self.id, stream, line });
    }

    /// `wasi:cli/stdout` or `stderr`, in whole lines.
    #[must_use]
    pub(super) fn stream(&self, stream: Stream) -> LineStream {
        let line = Line { guest_log: self.clone(), stream, text: Vec::new(), dropped: 0 };
        LineStream { line: Arc::new(Mutex::new(line)) }
    }
}

/// The notes that the handlers of a component have caused.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<BTreeSet<String>>);

impl Notes {
    /// How many different notes a component can cause: it chooses what they contain, such as names of files.
    const MAX: usize = 100;

    fn is_new(&self, text: &str) -> bool {
        let mut noted = lock(&self.0);
        noted.len() < Self::MAX && noted.insert(text.to_owned())
    }
}

/// A byte stream that is split into lines. Clones write to the same line.
#[derive(Clone)]
pub(super) struct LineStream {
    line: Arc<Mutex<Line>>,
}

/// The bytes since the last line end. Written when the last clone is dropped, at the latest at the end of the exchange.
struct Line {
    guest_log: GuestLog,
    stream: Stream,
    /// As many of them as a line may have.
    text: Vec<u8>,
    /// How many more there were.
    dropped: usize,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.append(&rest[..end]);
            self.end();
            rest = &rest[end + 1..];
        }
        self.append(rest);
    }

    fn append(&mut self, bytes: &[u8]) {
        // One byte more than is shown, so that a `\r` before the line end does not count.
        let space = (self.guest_log.line_max + 1).saturating_sub(self.text.len());
        let kept = &bytes[..bytes.len().min(space)];
        self.text.extend_from_slice(kept);
        self.dropped += bytes.len() - kept.len();
    }

    fn end(&mut self) {
        self.guest_log.write_line(self.stream, &self.text, self.dropped);
        self.text.clear();
        self.dropped = 0;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.end();
        }
    }
}

impl LineStream {
    fn push(&self, bytes: &[u8]) {
        lock(&self.line).push(bytes);
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Listener;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(Stream, String)>>);

    impl Listener for Lines {
        fn on_event(&self, event: &Event<'_>) {
            if let Event::Line { stream, line, .. } = *event {
                let line = String::from_utf8_lossy(line).into_owned();
                self.0.lock().expect("no test panicked").push((stream, line));
            }
        }
    }

    fn guest_log() -> (Arc<Lines>, GuestLog) {
        let lines = Arc::<Lines>::default();
        (
            Arc::clone(&lines),
            GuestLog::new(1, None, Arc::new(Events::new(vec![lines])), Arc::default(), &Limits::DEFAULT),
        )
    }

    fn logged(lines: &Lines) -> Vec<(Stream, String)> {
        lines.0.lock().expect("no test panicked").clone()
    }

    #[test]
    fn l7_output_written_in_pieces_is_logged_in_lines() {
        let (lines, guest_log) = guest_log();
        let stream = guest_log.stream(Stream::Stdout);
        stream.clone().push(b"a\nb");
        stream.push(b"c\r\n\nd");
        drop(stream);
        guest_log.write(Stream::Log, b"one\ntwo\n");
        let expected = [
            (Stream::Stdout, "a"),
            (Stream::Stdout, "bc"),
            (Stream::Stdout, ""),
            (Stream::Stdout, "d"),
            (Stream::Log, "one"),
            (Stream::Log, "two"),
        ];
        assert_eq!(logged(&lines), expected.map(|(stream, line)| (stream, line.to_owned())));
    }

    #[test]
    fn the_message_of_the_last_panic_is_kept() {
        let panic_in = |output: &str| {
            let (_, guest_log) = guest_log();
            guest_log.stream(Stream::Stderr).push(output.as_bytes());
            guest_log.take_panic()
        };
        let hint = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let panicked = |place: &str, message: &str| format!("\nthread 'main' (1) panicked at {place}:\n{message}\n");
        for (output, message) in [
            (panicked("a.rs:1:2", "boom") + hint + "more\n", Some("panicked at a.rs:1:2: boom")),
            (panicked("a.rs:1:2", "boom:\n  left") + hint, Some("panicked at a.rs:1:2: boom:\n  left")),
            (panicked("a.rs:1:2", "one") + hint + &panicked("b.rs:3:4", "two"), Some("panicked at b.rs:3:4: two")),
            ("panic: runtime error: index out of range\n".to_owned(), Some("panic: runtime error: index out of range")),
            ("nothing panicked at all\n".to_owned(), None),
        ] {
            assert_eq!(panic_in(&output).as_deref(), message, "{output}");
        }
        let long = panic_in(&panicked("a.rs:1:2", &"x\n".repeat(10_000))).expect("a message");
        assert!(long.len() <= Panic::MAX);
    }

    #[test]
    fn f21_a_long_line_is_one_line_however_it_is_written() {
        let (lines, guest_log) = guest_log();
        let stream = guest_log.stream(Stream::Stdout);
        for _ in 0..5 {
            stream.push(&[b'x'; 4096]);
        }
        stream.push(b"\n");
        stream.push(&[b'y'; 8192]);
        stream.push(b"\r\n");
        stream.push(&[b'z'; 8193]);
        drop(stream);
        let lines: Vec<String> = logged(&lines).into_iter().map(|(_, line)| line).collect();
        let cut = |letter: &str, dropped: usize| letter.repeat(8192) + &format!("...({dropped} bytes dropped)");
        assert_eq!(lines, [cut("x", 5 * 4096 - 8192), "y".repeat(8192), cut("z", 1)]);
    }

    #[test]
    fn a_note_is_written_once_and_notes_are_limited() {
        let (lines, guest_log) = guest_log();
        for number in 0..1000 {
            guest_log.note("the same");
            guest_log.note(&format!("{number}"));
        }
        let logged = logged(&lines);
        assert_eq!(logged.iter().filter(|(_, line)| line == "the same").count(), 1);
        assert_eq!(logged.len(), Notes::MAX);
    }

    #[test]
    fn f21_log_lines_and_the_log_of_an_exchange_are_limited() {
        let (lines, guest_log) = guest_log();
        guest_log.write(Stream::Log, &vec![b'x'; 10_000]);
        assert!(logged(&lines)[0].1.ends_with("x...(1808 bytes dropped)"));
        let stream = guest_log.stream(Stream::Stderr);
        for _ in 0..100 {
            stream.push(&[b'y'; 10_000]);
        }
        for _ in 0..10_000 {
            guest_log.write(Stream::Log, b"");
        }
        let all = logged(&lines);
        assert!(all.iter().map(|(_, line)| line.len()).sum::<usize>() <= Limits::DEFAULT.log + 1000);
        assert_eq!(all.iter().filter(|(_, line)| line.contains("the rest is dropped")).count(), 1);
    }
}
