//! What a handler says, line by line and within bounds (rule L7).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
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

use crate::{
    config::Limits,
    record::{Event, Record},
};

/// Where one exchange's lines go.
#[derive(Clone)]
pub(super) struct Journal {
    id: u64,
    record: Record,
    used: Arc<AtomicUsize>,
    /// What one line may have, in octets, and what all of them.
    line_max: usize,
    all_max: usize,
}

impl Journal {
    /// The journal of an exchange.
    #[must_use]
    pub(super) fn new(id: u64, record: Record, limits: &Limits) -> Self {
        Self { id, record, used: Arc::default(), line_max: limits.log_line, all_max: limits.log }
    }

    /// Takes text of any number of lines. Never blocks.
    pub(super) fn say(&self, through: &'static str, text: &[u8]) {
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|octet| *octet == b'\n') {
            self.say_line(through, line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    fn say_line(&self, through: &'static str, line: &[u8]) {
        // An empty line costs the log something too.
        let size = line.len().min(self.line_max).max(64);
        let used = self.used.fetch_add(size, Ordering::Relaxed);
        if used + size > self.all_max {
            if used <= self.all_max {
                let notice =
                    format!("(more than {} octets were said: the rest is dropped; see --max-log)", self.all_max)
                        .into_bytes();
                self.record.tell(Event::Said { id: self.id, through, line: notice });
            }
            // Stays above the limit without ever wrapping around.
            self.used.store(self.all_max + 1, Ordering::Relaxed);
            return;
        }
        let mut kept = line[..line.len().min(self.line_max)].to_vec();
        if line.len() > self.line_max {
            kept.extend_from_slice(format!("...({} octets dropped)", line.len() - self.line_max).as_bytes());
        }
        self.record.tell(Event::Said { id: self.id, through, line: kept });
    }

    /// `wasi:cli/stdout` or `stderr`, in whole lines.
    #[must_use]
    pub(super) fn stream(&self, through: &'static str) -> Stream {
        Stream { line: Arc::new(Mutex::new(Line { journal: self.clone(), through, text: Vec::new() })) }
    }
}

/// A stream of octets that becomes lines. Clones write to the same line.
#[derive(Clone)]
pub(super) struct Stream {
    line: Arc<Mutex<Line>>,
}

/// What was written since the last line end. Told when the last stream is gone, at the end of the exchange at the latest.
struct Line {
    journal: Journal,
    through: &'static str,
    text: Vec<u8>,
}

impl Line {
    fn push(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            self.text.extend_from_slice(&rest[..end]);
            self.journal.say(self.through, &self.text);
            self.text.clear();
            rest = &rest[end + 1..];
        }
        self.text.extend_from_slice(rest);
        if self.text.len() > self.journal.line_max {
            self.journal.say(self.through, &self.text);
            self.text.clear();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.journal.say(self.through, &self.text);
        }
    }
}

impl Stream {
    fn push(&self, octets: &[u8]) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).push(octets);
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stream {
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
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.push(octets);
        Poll::Ready(Ok(octets.len()))
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
    use crate::record::Listener;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(&'static str, String)>>);

    impl Listener for Lines {
        fn tell(&self, event: Event) {
            if let Event::Said { through, line, .. } = event {
                let line = String::from_utf8_lossy(&line).into_owned();
                self.0.lock().expect("no test panicked").push((through, line));
            }
        }
    }

    fn journal() -> (Arc<Lines>, Journal) {
        let lines = Arc::<Lines>::default();
        (Arc::clone(&lines), Journal::new(1, lines, &Limits::DEFAULT))
    }

    fn said(lines: &Lines) -> Vec<(&'static str, String)> {
        lines.0.lock().expect("no test panicked").clone()
    }

    #[test]
    fn l7_what_is_written_in_pieces_arrives_in_lines() {
        let (lines, journal) = journal();
        let stream = journal.stream("stdout");
        stream.clone().push(b"a\nb");
        stream.push(b"c\r\n\nd");
        drop(stream);
        journal.say("log", b"one\ntwo\n");
        let expected =
            [("stdout", "a"), ("stdout", "bc"), ("stdout", ""), ("stdout", "d"), ("log", "one"), ("log", "two")];
        assert_eq!(said(&lines), expected.map(|(through, line)| (through, line.to_owned())));
    }

    #[test]
    fn h21_lines_and_exchanges_are_bounded() {
        let (lines, journal) = journal();
        journal.say("log", &vec![b'x'; 10_000]);
        assert!(said(&lines)[0].1.ends_with("x...(1808 octets dropped)"));
        let stream = journal.stream("stderr");
        for _ in 0..100 {
            stream.push(&[b'y'; 10_000]);
        }
        for _ in 0..10_000 {
            journal.say("log", b"");
        }
        let all = said(&lines);
        assert!(all.iter().map(|(_, line)| line.len()).sum::<usize>() <= Limits::DEFAULT.log + 1000);
        assert_eq!(all.iter().filter(|(_, line)| line.contains("the rest is dropped")).count(), 1);
    }
}
