//! The access log and the handlers' own lines, on stderr, off the request path.

mod escape;
mod render;
mod repeats;

use std::{
    io::{self, Write as _},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

pub use self::escape::escape;
pub(crate) use self::escape::escape_octets;
use self::render::Renderer;
use crate::{
    config::AccessLog,
    record::{Event, Listener},
};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const WAITING_MAX: usize = 4 << 20;

/// As many octets as most lines have.
const LINE: usize = 128;

/// How many octets are written at once.
const BATCH: usize = 64 << 10;

/// How long lines are gathered after some were written. Whoever tells of something then need not wake the thread, which would
/// cost a small exchange more than all else that is told of it.
const GATHERING: Duration = Duration::from_millis(2);

/// How long nothing may be written before the end of the process no longer waits for it.
const FLUSH: Duration = Duration::from_secs(1);

/// The log. Dropping it writes what is waiting, if somebody reads.
///
/// Lines are made where they are told of, so that nothing of an exchange outlives it or is freed by another thread, and written by
/// a thread of the log's own.
pub struct Log(Arc<Shared>);

struct Shared {
    renderer: Renderer,
    lines: Mutex<Lines>,
    /// Told when there is something to do for the thread that awaits it.
    told: Condvar,
    /// Told when something was written.
    written: Condvar,
}

/// What is to be written.
#[derive(Default)]
struct Lines {
    text: String,
    /// How many octets were ever told, and how many of them were written.
    told: usize,
    written: usize,
    /// How many lines were dropped since the last time that this was told.
    dropped: u64,
    /// Whether the thread sleeps until it is told of something.
    is_awaited: bool,
    is_over: bool,
}

impl Lines {
    fn add(&mut self, text: &str) {
        self.text += text;
        self.told += text.len();
    }
}

impl Log {
    /// Starts the thread that writes to stderr.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
    pub fn spawn(format: AccessLog) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            renderer: Renderer::new(format, TimeZone::system()),
            lines: Mutex::default(),
            told: Condvar::new(),
            written: Condvar::new(),
        });
        thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all()
        })?;
        Ok(Self(shared))
    }

    /// Waits until all that was told is written, or until it turns out that nobody reads.
    pub fn flush(&self) {
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
    pub fn flush_within(&self, time: Duration) {
        let (target, deadline) = (self.0.settle_all(), Instant::now() + time);
        // If nobody reads, what is left is lost.
        while Instant::now() < deadline && self.0.wait_written(target, deadline - Instant::now()).1 < target {}
    }
}

impl Listener for Log {
    fn tell(&self, event: Event) {
        let mut text = String::with_capacity(LINE);
        self.0.renderer.render(&event, &mut text);
        self.0.add(&text);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The thread ends by itself. It is not waited for: it may hang in a write that nobody reads.
        self.flush();
        self.0.lock().is_over = true;
        self.0.told.notify_one();
    }
}

impl Shared {
    /// What is in here is whole at every point, so a poisoned lock means nothing.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) {
        let mut lines = self.lock();
        if lines.told - lines.written > WAITING_MAX {
            lines.dropped += 1;
            return;
        }
        lines.add(text);
        if mem::take(&mut lines.is_awaited) {
            drop(lines);
            self.told.notify_one();
        }
    }

    /// Has all be told that was counted only: up to where the log is to be written then.
    fn settle_all(&self) -> usize {
        let mut text = String::new();
        self.renderer.settle_all(&mut text);
        self.add(&text);
        self.lock().told
    }

    /// Waits until more is written, unless so much is: how much it was before and is after that.
    fn wait_written(&self, target: usize, time: Duration) -> (usize, usize) {
        let lines = self.lock();
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
            let mut lines = self.lock();
            lines.add(&text);
            if lines.text.is_empty() && lines.dropped == 0 {
                if lines.is_over {
                    break;
                }
                lines.is_awaited = true;
                let woken = self.told.wait_timeout(lines, owes.unwrap_or(Duration::MAX));
                let (mut lines, _) = woken.unwrap_or_else(PoisonError::into_inner);
                lines.is_awaited = false;
                let is_for_nothing = lines.text.is_empty();
                drop(lines);
                // Not everything that is told of makes a line, and for what does not nobody need wake us again at once.
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
                self.lock().written += part.len();
                self.written.notify_all();
            }
            text.clear();
            // What a burst took is given back.
            text.shrink_to(BATCH);
            thread::sleep(GATHERING);
        }
    }
}
