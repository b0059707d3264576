//! What the host answered to a handler where that varies: time, randomness, how much of a body was there, and other
//! servers. With it, the same handler does the same again.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::base::lock::lock;

/// How many calls are recorded of one exchange. About 16 bytes each.
pub const CALLS_MAX: usize = 4096;

/// How many requests to other servers are recorded of one exchange.
pub const OUTBOUND_MAX: usize = 64;

/// How much of what other servers sent is recorded of one exchange, in bytes, whatever `--capture-body` is: a script is a
/// part of the metadata in files, which are bounded.
pub const OUTBOUND_BODIES_MAX: usize = 64 << 20;

/// The answers of the host that vary, in the order in which a handler asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// What all randomness was made from, 32 bytes, or nothing if there was none. A secret, as what is made from it.
    #[serde(default, with = "base64_bytes", skip_serializing_if = "Vec::is_empty")]
    pub seed: Vec<u8>,
    /// The calls.
    pub calls: Vec<Call>,
    /// The requests that the handler sent to other servers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbound: Vec<Outbound>,
    /// What varies and is not recorded, such as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// One call whose result varies, with the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// The time of day, in nanoseconds since 1970.
    #[serde(rename = "wall")]
    Wall(u64),
    /// The monotonic clock, in nanoseconds.
    #[serde(rename = "mono")]
    Monotonic(u64),
    /// How many bytes of the request's body were read at once: none at its end, or if it could not be read.
    #[serde(rename = "read")]
    Read(usize),
    /// Which of the things that the handler waited for were ready.
    #[serde(rename = "ready")]
    Ready(Vec<u32>),
    /// A request to another server: its index in [`Script::outbound`].
    #[serde(rename = "send")]
    Send(usize),
}

impl Call {
    /// What the handler asked for, for people.
    fn name(&self) -> &'static str {
        match self {
            Self::Wall(_) => "the time of day",
            Self::Monotonic(_) => "the monotonic clock",
            Self::Read(_) => "the body",
            Self::Ready(_) => "what is ready",
            Self::Send(_) => "another server",
        }
    }
}

/// A request to another server, and what came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// When it was sent.
    pub at: u64,
    /// How long its response took to begin, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<u64>,
    /// The method.
    pub method: String,
    /// The URL. It may contain secrets.
    pub url: String,
    /// The status of the response, or 0 if there was none.
    pub status: u16,
    /// The fields of the response. Each character of a value is a byte.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// The body of the response in base64, as far as it was read and kept.
    #[serde(default, with = "base64_bytes")]
    pub body: Vec<u8>,
    /// Whether all of the body is here.
    pub is_whole: bool,
    /// Why there was no response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Outbound {
    /// How much memory its parts take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.capacity() + value.capacity());
        self.method.capacity()
            + self.url.capacity()
            + self.fields.capacity() * size_of::<(String, String)>()
            + fields.sum::<usize>()
            + self.body.capacity()
            + self.error.as_ref().map_or(0, String::capacity)
    }
}

/// A script that is played: each call gets its recorded result, until one does not fit.
#[derive(Debug)]
pub struct Player {
    script: Script,
    next: AtomicUsize,
    /// Where the handler did something else, for people.
    left: Mutex<Option<String>>,
}

impl Player {
    /// Plays a script from its beginning.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script, next: AtomicUsize::new(0), left: Mutex::new(None) }
    }

    /// The script.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The recorded result of the next call, if the handler still follows the script and this is the call. `asked` says
    /// what the handler asks for.
    pub fn next<T>(&self, asked: &str, fits: impl FnOnce(&Call) -> Option<T>) -> Option<T> {
        let mut left = lock(&self.left);
        if left.is_some() {
            return None;
        }
        let number = self.next.load(Ordering::Relaxed);
        let call = self.script.calls.get(number);
        let result = call.and_then(fits);
        if result.is_some() {
            self.next.store(number + 1, Ordering::Relaxed);
        } else {
            let expected = call.map_or("nothing more", Call::name);
            *left = Some(format!("call {}: it asked for {asked}, and the record has {expected}", number + 1));
        }
        result
    }

    /// Where the handler left the script, if it did.
    #[must_use]
    pub fn left(&self) -> Option<String> {
        lock(&self.left).clone()
    }
}

/// Bytes in base64.
mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(call: &Call) -> Option<u64> {
        if let Call::Wall(time) = call { Some(*time) } else { None }
    }

    #[test]
    fn a_script_is_played_in_order_until_a_call_does_not_fit() {
        let calls = vec![Call::Wall(1), Call::Wall(2), Call::Read(3), Call::Wall(4)];
        let player = Player::new(Script { calls, ..Script::default() });
        assert_eq!([player.next("the time", wall), player.next("the time", wall)], [Some(1), Some(2)]);
        assert_eq!((player.left(), player.next("the time", wall)), (None, None));
        let left = "call 3: it asked for the time, and the record has the body";
        assert_eq!(player.left().as_deref(), Some(left));
        assert_eq!(player.next("the body", |call| matches!(call, Call::Read(_)).then_some(())), None, "it has left");
        assert_eq!(player.left().as_deref(), Some(left), "the first one counts");
    }
}
