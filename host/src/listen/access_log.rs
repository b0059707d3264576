//! Writes the access log, notices and handler output to stderr, off the request path.

pub(crate) mod format;
mod json;
mod render;
mod repeats;
mod terminal;

use std::{
    io::{self, Write as _},
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

use self::{format::Format, render::Renderer};
use crate::{
    base::{exit::StartError, lock::lock},
    event::{Event, Listener},
};

/// Bytes that may wait to be written. Beyond this, lines are dropped and counted: a terminal that does not read must
/// not block requests.
const WAITING_MAX: usize = 4 << 20;

/// The capacity reserved for a line, in bytes; most lines fit.
const LINE_CAPACITY: usize = 128;

/// The most bytes written at once.
const BATCH: usize = 64 << 10;

/// How long to gather lines after writing some. Meanwhile nothing needs to wake the thread, which would cost a small
/// exchange more than all of its other events.
const GATHER_TIME: Duration = Duration::from_millis(2);

/// How long a write may make no progress before the end of the process stops waiting for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The log. Dropping it writes the waiting lines, unless stderr is not being read.
///
/// Lines are rendered by the thread that emits the event, so that no part of an exchange outlives it or is freed by
/// another thread. The log's own thread writes them.
pub(crate) struct AccessLog(Arc<Shared>);

struct Shared {
    renderer: Renderer,
    lines: Mutex<Lines>,
    /// Notified when the waiting thread has something to do.
    emitted: Condvar,
    /// Notified when something was written.
    written: Condvar,
}

/// A failed start as a line of [`Format::Json`].
pub(crate) fn start_error(error: &StartError) -> String {
    json::start_error(error)
}

/// The lines waiting to be written.
#[derive(Default)]
struct Lines {
    text: String,
    /// Bytes ever added, and how many of them have been written.
    emitted: usize,
    written: usize,
    /// Lines dropped since the last message about it.
    dropped: u64,
    /// Whether the thread sleeps until lines are added.
    is_asleep: bool,
    is_over: bool,
}

impl Lines {
    fn add(&mut self, text: &str) {
        self.text += text;
        self.emitted += text.len();
    }
}

impl AccessLog {
    /// Starts the thread that writes to stderr.
    ///
    /// # Errors
    ///
    /// The system refuses to start another thread.
    pub(crate) fn spawn(format: Format) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            renderer: Renderer::new(format, TimeZone::system()),
            lines: Mutex::default(),
            emitted: Condvar::new(),
            written: Condvar::new(),
        });
        thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all()
        })?;
        Ok(Self(shared))
    }

    /// Clears the terminal, once everything added so far is written.
    pub(crate) fn clear(&self) {
        self.0.add("\x1b[2J\x1b[3J\x1b[H");
    }

    /// Waits until everything added so far is written, or until writing makes no progress.
    pub(crate) fn flush(&self) {
        // Keep waiting for a slow reader as long as it makes progress.
        let target = self.0.settle_all();
        loop {
            let (before, after) = self.0.wait_written(target, STALL_TIMEOUT);
            if after >= target || after == before {
                break;
            }
        }
    }

    /// Like [`flush`](Self::flush), but waits no longer than `time`.
    pub(crate) fn flush_within(&self, time: Duration) {
        let (target, deadline) = (self.0.settle_all(), Instant::now() + time);
        // If stderr is not being read, the rest is lost.
        while Instant::now() < deadline && self.0.wait_written(target, deadline - Instant::now()).1 < target {}
    }
}

impl Listener for AccessLog {
    fn on_event(&self, event: &Event<'_>) {
        // These events have no line.
        if matches!(event, Event::Begun(_) | Event::Admitted(_) | Event::Started(_) | Event::HeadSent { .. }) {
            return;
        }
        let mut text = String::with_capacity(LINE_CAPACITY);
        self.0.renderer.render(event, &mut text);
        self.0.add(&text);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // The thread ends by itself. Do not join it: it may hang in a write to a stderr that is not being read.
        self.flush();
        lock(&self.0.lines).is_over = true;
        self.0.emitted.notify_one();
    }
}

impl Shared {
    fn add(&self, text: &str) {
        let mut lines = lock(&self.lines);
        if lines.emitted - lines.written > WAITING_MAX {
            lines.dropped += 1;
            return;
        }
        lines.add(text);
        if mem::take(&mut lines.is_asleep) {
            drop(lines);
            self.emitted.notify_one();
        }
    }

    /// Adds the summaries of suppressed faults, and returns the total number of bytes added.
    fn settle_all(&self) -> usize {
        let mut text = String::new();
        self.renderer.settle_all(&mut text);
        self.add(&text);
        lock(&self.lines).emitted
    }

    /// Waits until more is written or `target` is reached. Returns the bytes written before and after.
    fn wait_written(&self, target: usize, time: Duration) -> (usize, usize) {
        let lines = lock(&self.lines);
        let before = lines.written;
        let more = |lines: &mut Lines| lines.written < target && lines.written == before;
        let (lines, _) = self.written.wait_timeout_while(lines, time, more).unwrap_or_else(PoisonError::into_inner);
        (before, lines.written)
    }

    /// Writes lines until the log ends, in batches.
    fn write_all(&self) {
        let mut text = String::new();
        loop {
            self.renderer.settle(Instant::now(), &mut text);
            let next_summary = self.renderer.next_summary();
            let mut lines = lock(&self.lines);
            lines.add(&text);
            if lines.text.is_empty() && lines.dropped == 0 {
                if lines.is_over {
                    break;
                }
                lines.is_asleep = true;
                let woken = self.emitted.wait_timeout(lines, next_summary.unwrap_or(Duration::MAX));
                let (mut lines, _) = woken.unwrap_or_else(PoisonError::into_inner);
                lines.is_asleep = false;
                let is_empty = lines.text.is_empty();
                drop(lines);
                // The event had no line. Sleep, so that other such events do not wake the thread again at once.
                if is_empty {
                    thread::sleep(GATHER_TIME);
                }
                continue;
            }
            let dropped = mem::take(&mut lines.dropped);
            if dropped > 0 {
                lines.add(&self.renderer.dropped(dropped));
            }
            text.clear();
            mem::swap(&mut text, &mut lines.text);
            drop(lines);
            for part in text.as_bytes().chunks(BATCH) {
                // If stderr cannot be written to, the server keeps running.
                _ = io::stderr().write_all(part);
                lock(&self.lines).written += part.len();
                self.written.notify_all();
            }
            text.clear();
            // Free the memory of a burst.
            text.shrink_to(BATCH);
            thread::sleep(GATHER_TIME);
        }
    }
}
