//! The record of an exchange: everything that was seen of it, with the bytes as they were on the wire.
//!
//! Times are microseconds since the first byte of the request arrived.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::script::Script;

/// The record of one exchange. The store, the files, the viewer and the exports share it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The position in the store, counted from 1 in the order in which exchanges are completed.
    pub seq: u64,
    /// The id of the exchange, as in the log.
    pub id: u64,
    /// Where the request came from.
    #[serde(default)]
    pub origin: Origin,
    /// When the first byte of the request arrived, in microseconds since 1970 (UTC).
    pub began: u64,
    /// The connection's number, counted from 1.
    pub connection: u64,
    /// Which exchange of its connection this is, counted from 1.
    pub nth: u32,
    /// The protocol of the connection.
    pub protocol: Protocol,
    /// The client's address.
    pub remote: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
    /// What the environ was built from besides the request; `None` if the request reached no handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The handler; `None` if the request reached none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<Build>,
    /// What the client sent.
    pub request: Side,
    /// What the client was sent.
    pub response: Side,
    /// When it reached each stage.
    #[serde(default)]
    pub marks: Marks,
    /// What the handler wrote to its log, within `--max-log`.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Failure>,
    /// What the host answered where that varies; `None` if the handler asked for nothing of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Where a replay that follows a script left it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The note of an exchange that is kept; it may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

impl Record {
    /// Whether this is a replay whose handler sent a request to another server that the original did not send, so that it
    /// got no response.
    #[must_use]
    pub fn would_have_sent(&self) -> bool {
        let sent = self.script.iter().flat_map(|script| &script.outbound);
        self.left.is_some() && sent.into_iter().any(|sent| sent.status == 0 && sent.error.is_none())
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From a client.
    #[default]
    Client,
    /// From us: a captured request was sent again.
    Replay {
        /// The seq of the original, if the store has or had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// The id of the original.
        id: u64,
        /// Whether the request was changed.
        edited: bool,
        /// What the host is to answer, so that the handler does the same again.
        #[serde(skip)]
        script: Option<Arc<Script>>,
        /// The number of the replay since the server started. Only known to that server.
        #[serde(skip)]
        number: u64,
    },
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1, or what a client sent in its place.
    #[serde(rename = "HTTP/1")]
    Http1,
    /// HTTP/2. The bytes of a [`Side`] are then a head in the form of HTTP/1, the content without frames, and the trailers
    /// as lines.
    #[serde(rename = "HTTP/2")]
    Http2,
}

/// What the environ was built from besides the request and the two addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Where the handler is mounted.
    pub mount: String,
    /// The value of `SERVER_NAME`, if `--server-name` set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The length of the request's body, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// The client's address that a trusted proxy reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<IpAddr>,
    /// Whether a trusted proxy reported that the client used TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_https: Option<bool>,
    /// How long the handler could run.
    pub timeout: Duration,
    /// The names of the variables of `--env`. Their values are not stored.
    #[serde(default)]
    pub env: Vec<String>,
}

/// A version of a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The handler as the user named it.
    pub name: String,
    /// The number of the build, counted from 1 since the server started.
    pub number: u64,
}

/// One direction of an exchange.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// The bytes as they were on the wire: heads, bodies with their framing, trailers. Only the first part if
    /// [`total`](Self::total) is larger. Stored beside this record, not in it.
    #[serde(skip)]
    pub bytes: Bytes,
    /// How many bytes there were.
    pub total: u64,
    /// How many of them precede the body: the head, with the interim responses before it.
    pub head: u64,
    /// How many of them precede the trailers, if HTTP/2 had any. HTTP/1 has them in its framing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailers: Option<u64>,
    /// Whether something that was sent is not among them as it was: HTTP/2 can carry what is malformed and has no form in
    /// HTTP/1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_inexact: bool,
    /// The reads or writes: when, and how many bytes. Only the first [`TURNS_MAX`].
    #[serde(default)]
    pub turns: Vec<(u64, u32)>,
    /// How it ended.
    #[serde(default)]
    pub end: Ending,
    /// Why bytes are missing, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// How many reads or writes of a [`Side`] are recorded one by one.
pub const TURNS_MAX: usize = 4096;

impl Side {
    /// Whether bytes are missing. Wherever the bytes are shown, this must be, too.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.bytes.len() as u64
    }

    /// The bytes before the body, as far as they are kept.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.kept(self.head)]
    }

    /// The content and the trailers of HTTP/2, as far as they are kept.
    #[must_use]
    pub fn content_and_trailers(&self) -> (&[u8], &[u8]) {
        let end = self.kept(self.trailers.unwrap_or(u64::MAX));
        (&self.bytes[self.kept(self.head).min(end)..end], &self.bytes[end..])
    }

    /// How many bytes follow the head, without the trailers of HTTP/2.
    #[must_use]
    pub fn body_total(&self) -> u64 {
        self.trailers.unwrap_or(self.total).saturating_sub(self.head)
    }

    fn kept(&self, end: u64) -> usize {
        self.bytes.len().min(usize::try_from(end).unwrap_or(usize::MAX))
    }
}

/// How one direction of an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It has not ended, or it never began.
    #[default]
    Open,
    /// The message is complete.
    Whole,
    /// The message was not complete when its sender closed its side of the connection, or for a request: the client closed
    /// it while it waited for the response.
    Closed,
    /// The connection broke before it was complete.
    Broken,
}

/// Why bytes are missing in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// The head is longer than what is kept of heads, which only `--max-head` allows.
    HeadMax,
    /// The body is longer than `--capture-body`.
    BodyMax,
    /// The memory for captures (`--ui-memory`) was used up.
    NoRoom,
    /// What was written could not be told apart: an error of the server.
    Lost,
}

/// When an exchange reached each stage, in microseconds. `None` for a stage that it did not reach.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// The request's head was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    /// A handler could run: it did not have to wait any longer for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admitted: Option<u64>,
    /// The handler started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The response's head was given to the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responded: Option<u64>,
    /// The client had the whole response, or would not get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Nothing used the exchange any more: the handler had ended, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
}

/// A line that a handler, or the host on its behalf, wrote to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: u64,
    /// Its source: `stdout`, `stderr`, `log`, `exception`, `note` or `lint`.
    pub stream: String,
    /// The text, in which bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of the fault, as in the field `Wasmserve-Fault`.
    pub kind: String,
    /// When it failed.
    pub at: u64,
    /// What happened, in one line.
    pub text: String,
    /// Where the handler was, innermost function first.
    #[serde(default)]
    pub stack: Vec<String>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the client got a complete response.
    pub is_answered: bool,
    /// The status, as in the log: 499 if the client left before.
    pub status: u16,
    /// Bytes of the response's body without framing.
    pub sent: u64,
    /// The CPU time of the handler in microseconds, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// The peak memory of the instance in bytes, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}
