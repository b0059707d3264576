//! The access log and the handlers' own lines, on stderr, off the request path.

mod escape;
mod render;
mod repeats;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

pub use self::escape::escape;
pub(crate) use self::escape::escape_octets;
use self::render::Renderer;
use crate::{
    config::AccessLog,
    record::{Ended, Event, Listener},
    roster::Sight,
};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const QUEUE_MAX: usize = 4 << 20;

/// How many octets are written at once, or a little more.
const BATCH: usize = 64 << 10;

/// How long lines are gathered after one was written. Whoever tells of something then need not wake the thread, which would
/// cost a small exchange more than all else that is told of it.
const GATHERING: Duration = Duration::from_millis(2);

/// How long nothing may be written before the end of the process no longer waits for it.
const FLUSH: Duration = Duration::from_secs(1);

/// The log. Dropping it writes what is waiting, if somebody reads.
pub struct Log {
    sender: Sender<Message>,
    shared: Arc<Shared>,
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
        thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || write_all(&receiver, &shared, format)
        })?;
        Ok(Self { sender, shared })
    }

    /// Waits until all that was told is written, or until it turns out that nobody reads.
    pub fn flush(&self) {
        let (done, is_done) = mpsc::channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            let waiting = || self.shared.waiting.load(Ordering::Relaxed);
            let mut before = waiting();
            // A reader that is slow is waited for.
            while is_done.recv_timeout(FLUSH) == Err(RecvTimeoutError::Timeout) && waiting() != before {
                before = waiting();
            }
        }
    }

    /// The same, for no longer than this.
    pub fn flush_within(&self, time: Duration) {
        let (done, is_done) = mpsc::channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            // If nobody reads, what is left is lost.
            _ = is_done.recv_timeout(time);
        }
    }
}

impl Listener for Log {
    fn tell(&self, event: Event) {
        let size = weight(&event);
        if self.shared.waiting.fetch_add(size, Ordering::Relaxed) > QUEUE_MAX {
            self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            // It fails only when the thread is gone, and then there is nowhere to say so.
            _ = self.sender.send(Message::Event(event));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The thread ends by itself. It is not waited for: it may hang in a write that nobody reads.
        self.flush();
    }
}

/// About what an event takes in memory while it waits.
fn weight(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Server { line } => line.len(),
            Event::Said { line, .. } => line.len(),
            Event::Running { handlers, .. } => handlers.len() * size_of::<Sight>(),
            Event::Faulted { request, .. } | Event::Ended(Ended { request, .. }) => request.raw().len(),
        }
}

/// Writes events until the last sender is gone, as many as there are with one call.
fn write_all(receiver: &Receiver<Message>, shared: &Shared, format: AccessLog) {
    let mut renderer = Renderer::new(format, TimeZone::system());
    let mut text = String::new();
    loop {
        let message = match receiver.recv_timeout(renderer.owes().unwrap_or(Duration::MAX)) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        text.clear();
        renderer.settle(Instant::now(), &mut text);
        let mut waiting = Vec::new();
        for message in message.into_iter().chain(receiver.try_iter()) {
            match message {
                Message::Event(event) => {
                    shared.waiting.fetch_sub(weight(&event), Ordering::Relaxed);
                    renderer.render(&event, &mut text);
                }
                Message::Flush(done) => {
                    renderer.settle_all(&mut text);
                    waiting.push(done);
                }
            }
            if text.len() >= BATCH {
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
        if text.len() < BATCH {
            thread::sleep(GATHERING);
        }
    }
}
