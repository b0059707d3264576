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
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

pub use self::escape::escape;
use self::render::Renderer;
use crate::{
    config::AccessLog,
    record::{Event, Listener},
    roster::Sight,
};

/// How many octets may wait to be written. Beyond it lines are dropped and counted: a terminal that does not read must not
/// stop a request.
const QUEUE_MAX: usize = 4 << 20;

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
    let mut renderer = Renderer::new(format, TimeZone::system());
    let mut text = String::new();
    let mut is_open = true;
    while is_open {
        let message = match receiver.recv_timeout(renderer.owes().unwrap_or(Duration::MAX)) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                is_open = false;
                None
            }
        };
        text.clear();
        let now = Instant::now();
        renderer.settle(if is_open { now } else { now + Duration::from_secs(1) }, &mut text);
        let mut waiting = Vec::new();
        for message in message.into_iter().chain(receiver.try_iter()) {
            match message {
                Message::Event(event) => {
                    shared.waiting.fetch_sub(weight(&event), Ordering::Relaxed);
                    renderer.render(&event, &mut text);
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
