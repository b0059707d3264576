//! The access log and the handlers' own lines, on stderr, off the request path.

pub(crate) mod format;
mod render;
mod repeats;

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
    base::lock::lock,
    event::{Event, Listener},
};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const WAITING_MAX: usize = 4 << 20;

/// As many octets as most lines have.
const LINE: usize = 128;

/// How many octets are written at once.
const BATCH: usize = 64 << 10;

/// How long lines are gathered after some were written. Whoever tells of something then need not wake the thread, which would
/// cost a small exchange more than all else that is emitted of it.
const GATHERING: Duration = Duration::from_millis(2);

/// How long nothing may be written before the end of the process no longer waits for it.
const FLUSH: Duration = Duration::from_secs(1);

/// The log. Dropping it writes what is waiting, if somebody reads.
///
/// Lines are made where they are emitted of, so that nothing of an exchange outlives it or is freed by another thread, and written by
/// a thread of the log's own.
pub(crate) struct AccessLog(Arc<Shared>);

struct Shared {
    renderer: Renderer,
    lines: Mutex<Lines>,
    /// Told when there is something to do for the thread that awaits it.
    emitted: Condvar,
    /// Told when something was written.
    written: Condvar,
}

/// What is to be written.
#[derive(Default)]
struct Lines {
    text: String,
    /// How many octets were ever emitted, and how many of them were written.
    emitted: usize,
    written: usize,
    /// How many lines were dropped since the last time that this was emitted.
    dropped: u64,
    /// Whether the thread sleeps until it is emitted of something.
    is_awaited: bool,
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
    /// The system refuses another thread.
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

    /// Waits until all that was emitted is written, or until it turns out that nobody reads.
    pub(crate) fn flush(&self) {
        // A reader that is slow is waited for.
        let target = self.0.settle_all();
        loop {
            let (before, after) = self.0.wait_written(target, FLUSH);
            if after >= target || after == before {
                break;
            }
        }
    }

    /// The same, for no longer than this.
    pub(crate) fn flush_within(&self, time: Duration) {
        let (target, deadline) = (self.0.settle_all(), Instant::now() + time);
        // If nobody reads, what is left is lost.
        while Instant::now() < deadline && self.0.wait_written(target, deadline - Instant::now()).1 < target {}
    }
}

impl Listener for AccessLog {
    fn on_event(&self, event: &Event<'_>) {
        // These make no line.
        if matches!(event, Event::Begun(_) | Event::Admitted(_) | Event::Started(_) | Event::HeadSent { .. }) {
            return;
        }
        let mut text = String::with_capacity(LINE);
        self.0.renderer.render(event, &mut text);
        self.0.add(&text);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // The thread ends by itself. It is not waited for: it may hang in a write that nobody reads.
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
        if mem::take(&mut lines.is_awaited) {
            drop(lines);
            self.emitted.notify_one();
        }
    }

    /// Has all be emitted that was counted only: up to where the log is to be written then.
    fn settle_all(&self) -> usize {
        let mut text = String::new();
        self.renderer.settle_all(&mut text);
        self.add(&text);
        lock(&self.lines).emitted
    }

    /// Waits until more is written, unless so much is: how much it was before and is after that.
    fn wait_written(&self, target: usize, time: Duration) -> (usize, usize) {
        let lines = lock(&self.lines);
        let before = lines.written;
        let more = |lines: &mut Lines| lines.written < target && lines.written == before;
        let (lines, _) = self.written.wait_timeout_while(lines, time, more).unwrap_or_else(PoisonError::into_inner);
        (before, lines.written)
    }

    /// Writes lines until the log is over, as many as there are with one call.
    fn write_all(&self) {
        let mut text = String::new();
        loop {
            self.renderer.settle(Instant::now(), &mut text);
            let owes = self.renderer.owes();
            let mut lines = lock(&self.lines);
            lines.add(&text);
            if lines.text.is_empty() && lines.dropped == 0 {
                if lines.is_over {
                    break;
                }
                lines.is_awaited = true;
                let woken = self.emitted.wait_timeout(lines, owes.unwrap_or(Duration::MAX));
                let (mut lines, _) = woken.unwrap_or_else(PoisonError::into_inner);
                lines.is_awaited = false;
                let is_for_nothing = lines.text.is_empty();
                drop(lines);
                // Not everything that is emitted of makes a line, and for what does not nobody need wake us again at once.
                if is_for_nothing {
                    thread::sleep(GATHERING);
                }
                continue;
            }
            let dropped = mem::take(&mut lines.dropped);
            if dropped > 0 {
                lines.add(&format!("({dropped} log lines dropped: stderr is read too slowly)\n"));
            }
            text.clear();
            mem::swap(&mut text, &mut lines.text);
            drop(lines);
            for part in text.as_bytes().chunks(BATCH) {
                // Nobody reads: serving goes on.
                _ = io::stderr().write_all(part);
                lock(&self.lines).written += part.len();
                self.written.notify_all();
            }
            text.clear();
            // What a burst took is given back.
            text.shrink_to(BATCH);
            thread::sleep(GATHERING);
        }
    }
}
