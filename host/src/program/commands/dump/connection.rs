//! Prints what one client sends, and answers it if it should.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc::Sender,
    time::timeout,
};
use wasmserve_gateway::foreign;

use super::{
    conversation::{Conversation, Waits},
    pretty::Pretty,
    print::Seen,
    reply::{CONTINUE, Reply},
};
use crate::program::task::Layout;

/// How many bytes are read at once.
const READ: usize = 16 << 10;

/// How long a client must pause until we assume that it waits for an answer.
const REPLY_AFTER: Duration = Duration::from_millis(200);

/// The same in the middle of a request, for clients that are slow and for those that never send the rest.
const REPLY_UNFINISHED_AFTER: Duration = Duration::from_secs(5);

/// How long a client may pause after its answer before its connection is closed.
const CLOSE_AFTER: Duration = Duration::from_secs(2);

/// How many of the first bytes are looked at for another protocol.
const FIRST_MAX: usize = 32;

const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The two sides of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections are printed and answered.
pub(super) struct Printing {
    seen: Sender<Seen>,
    layout: Layout,
    is_colorful: bool,
    reply: Option<Reply>,
    /// Whether it is still to be reported that clients get no answer.
    has_hint: AtomicBool,
}

impl Printing {
    pub(super) fn new(seen: Sender<Seen>, layout: Layout, is_colorful: bool, reply: Option<Reply>) -> Self {
        let has_hint = AtomicBool::new(reply.is_none());
        Self { seen, layout, is_colorful, reply, has_hint }
    }

    /// Passes on what a client sends until its connection ends.
    pub(super) async fn print(&self, id: u64, mut stream: impl Stream, peer: SocketAddr) {
        self.note(format!("[{id}] connected from {peer}")).await;
        let mut buffer = vec![0; READ];
        let (mut conversation, mut pretty) = (Conversation::new(), Pretty::new(self.is_colorful));
        let (mut at, mut is_replied, mut first) = (0, false, Some(Vec::new()));
        let end = loop {
            let limit = match (&self.reply, conversation.waits()) {
                (Some(_), _) if is_replied => CLOSE_AFTER,
                (Some(_), Waits::Not) if at > 0 => REPLY_UNFINISHED_AFTER,
                (Some(_), _) if at > 0 => REPLY_AFTER,
                _ => Duration::MAX,
            };
            let bytes = match timeout(limit, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => {
                    if !is_replied {
                        self.answer(&conversation, &mut stream).await;
                    }
                    break "closed by the client".to_owned();
                }
                Ok(Ok(length)) => &buffer[..length],
                Ok(Err(error)) => break format!("broken: {error}"),
                Err(_) if is_replied => break "closed after no more data arrived".to_owned(),
                Err(_) => {
                    self.answer(&conversation, &mut stream).await;
                    is_replied = true;
                    continue;
                }
            };
            self.note_protocol(id, bytes, &mut first).await;
            let mut lines = String::new();
            conversation.feed(bytes, |found| {
                if self.layout == Layout::Pretty {
                    pretty.show(&found, &mut lines);
                }
            });
            let seen = match self.layout {
                Layout::Pretty => Seen::Lines { id, lines },
                Layout::Text | Layout::Hex => Seen::Bytes { id, at, bytes: bytes.to_vec() },
            };
            at += bytes.len() as u64;
            if self.seen.send(seen).await.is_err() {
                return;
            }
            if self.reply.is_some() && !is_replied && conversation.waits() == Waits::ForContinue {
                conversation.permitted();
                // If writing fails, the next read fails as well.
                _ = stream.write_all(CONTINUE).await;
            }
        };
        let mut lines = String::new();
        pretty.end(&mut lines);
        if !lines.is_empty() {
            _ = self.seen.send(Seen::Lines { id, lines }).await;
        }
        self.note(format!("[{id}] {end}, after {at} bytes")).await;
    }

    /// Reports a client of another protocol, and once that clients get no answer. Comes before the bytes, so that it never
    /// splits a line of them.
    async fn note_protocol(&self, id: u64, bytes: &[u8], first: &mut Option<Vec<u8>>) {
        if self.has_hint.swap(false, Ordering::Relaxed) {
            self.note("note: dump does not answer, so clients wait; add --reply to answer them".into()).await;
        }
        let Some(known) = first else { return };
        known.extend_from_slice(&bytes[..bytes.len().min(FIRST_MAX - known.len())]);
        let name = match foreign::name(known) {
            None if known.starts_with(HTTP_2) => Some("this client speaks HTTP/2, which dump does not answer"),
            name => name,
        };
        if let Some(name) = name {
            self.note(format!("[{id}] {name}")).await;
        }
        if name.is_some() || known.len() == FIRST_MAX {
            *first = None;
        }
    }

    async fn note(&self, note: String) {
        // Fails when the output is closed, which the next item notices.
        _ = self.seen.send(Seen::Note(note)).await;
    }

    /// Answers, if clients are answered, and closes the sending side. If that fails, the next read fails as well.
    async fn answer(&self, conversation: &Conversation, stream: &mut impl Stream) {
        let Some(reply) = &self.reply else { return };
        for bytes in reply.bytes(conversation.is_head()) {
            _ = stream.write_all(bytes).await;
        }
        _ = stream.shutdown().await;
    }
}
