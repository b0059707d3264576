//! Detects floods of control frames on an HTTP/2 connection without exchanges.
//!
//! h2 answers every PING and SETTINGS frame and limits neither. During an exchange they may have a purpose; without one
//! they only cost.

use std::time::{Duration, Instant};

/// Control frames allowed within [`WINDOW`] on a connection without an exchange.
const FRAMES_MAX: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(10);

/// The length of a frame header (RFC 9113 section 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ENHANCE_YOUR_CALM: u32 = 11;

/// Parses the frame headers received on one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes left of the preface or of the payload of a frame, whose contents do not matter here.
    skipped: usize,
    /// The header of the next frame, as far as it has arrived.
    head: [u8; HEAD],
    filled: usize,
    /// The last stream that was opened.
    last: u32,
    /// Control frames received since then without an exchange.
    count: u32,
    since: Option<Instant>,
    /// Whether there were too many control frames.
    is_flood: bool,
}

impl Frames {
    /// The frames after a preface of this length.
    pub(super) fn after(preface: usize) -> Self {
        Self { skipped: preface, head: [0; HEAD], filled: 0, last: 0, count: 0, since: None, is_flood: false }
    }

    /// Parses received bytes, and returns how many of them may be read: all of them until a flood. After that, none
    /// beyond the frame that exceeded the limit, so that the reader stops between two frames.
    ///
    /// `is_busy` is whether there is an exchange.
    pub(super) fn admit(&mut self, bytes: &[u8], is_busy: bool, now: Instant) -> usize {
        if is_busy {
            self.forget();
        }
        let mut left = bytes;
        while !left.is_empty() {
            if self.skipped > 0 {
                let skipped = self.skipped.min(left.len());
                self.skipped -= skipped;
                left = &left[skipped..];
                continue;
            }
            if self.is_flood {
                break;
            }
            let taken = (HEAD - self.filled).min(left.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&left[..taken]);
            self.filled += taken;
            left = &left[taken..];
            if self.filled == HEAD {
                self.filled = 0;
                self.take(is_busy, now);
            }
        }
        bytes.len() - left.len()
    }

    /// Whether there were too many control frames.
    pub(super) fn is_flood(&self) -> bool {
        self.is_flood
    }

    /// The GOAWAY frame for a client that has sent too many control frames (RFC 9113 section 6.8).
    pub(super) fn go_away(&self) -> Vec<u8> {
        let debug_data = b"too_many_control_frames";
        let length = u8::try_from(8 + debug_data.len()).unwrap_or_else(|_| unreachable!("the text is short"));
        let (last, code) = (self.last.to_be_bytes(), ENHANCE_YOUR_CALM.to_be_bytes());
        [&[0, 0, length, GOAWAY, 0, 0, 0, 0, 0][..], &last, &code, debug_data].concat()
    }

    fn take(&mut self, is_busy: bool, now: Instant) {
        let [a, b, c, kind, _flags, stream @ ..] = self.head;
        self.skipped = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            HEADERS => {
                self.last = u32::from_be_bytes(stream) & (u32::MAX >> 1);
                // A client that makes requests is not a flood: other limits bound their number.
                self.forget();
            }
            DATA | CONTINUATION => {}
            _ if is_busy => {}
            _ => {
                let since = self.since.get_or_insert(now);
                if now.saturating_duration_since(*since) > WINDOW {
                    (*since, self.count) = (now, 0);
                }
                self.count += 1;
                self.is_flood = self.count > FRAMES_MAX;
            }
        }
    }

    fn forget(&mut self) {
        (self.count, self.since) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const SETTINGS: u8 = 4;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    }

    fn pings(count: u32) -> Vec<u8> {
        frame(PING, 0, &[7; 8]).repeat(count as usize)
    }

    impl Frames {
        /// Whether all of these bytes may be read.
        fn admits(&mut self, bytes: &[u8], is_busy: bool, now: Instant) -> bool {
            let admitted = self.admit(bytes, is_busy, now);
            assert!(admitted == bytes.len() || self.is_flood());
            admitted == bytes.len()
        }
    }

    #[test]
    fn more_than_a_thousand_control_frames_without_an_exchange_are_a_flood() {
        for flood in [frame(PING, 0, &[1; 8]), frame(SETTINGS, 0, &[]), frame(8, 0, &[0; 4]), frame(0xfe, 3, b"new")] {
            let now = Instant::now();
            let mut frames = Frames::after(0);
            assert!(frames.admits(&flood.repeat(1000), false, now) && !frames.is_flood());
            assert_eq!(frames.admit(&flood.repeat(2), false, now), flood.len(), "up to the end of the frame");
            assert!(frames.is_flood());
            assert_eq!(frames.admit(&frame(HEADERS, 1, b""), true, now), 0, "a flood does not end");
        }
    }

    #[test]
    fn frames_are_found_in_pieces_of_every_size() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        // The payload looks like frames, but must not be parsed.
        let data = frame(DATA, 1, &frame(HEADERS, 9, b"").repeat(100));
        let head = [&preface[..], &frame(HEADERS, 5, b"abc"), &data, &frame(CONTINUATION, 5, b"")].concat();
        let wire = [&head[..], &pings(1500)].concat();
        for size in [1, 2, 3, 7, 9, 17, 100, 16384, wire.len()] {
            let mut frames = Frames::after(preface.len());
            let now = Instant::now();
            let admitted: usize = wire.chunks(size).map(|piece| frames.admit(piece, false, now)).sum();
            assert_eq!(admitted, head.len() + 1001 * 17, "in pieces of {size}");
            assert_eq!((frames.is_flood(), frames.last), (true, 5), "in pieces of {size}");
        }
    }

    #[test]
    fn a_thousand_frames_every_ten_seconds_are_not_a_flood() {
        let mut frames = Frames::after(0);
        let mut now = Instant::now();
        for _ in 0..5 {
            assert!(frames.admits(&pings(1000), false, now));
            now += WINDOW + Duration::from_millis(1);
        }
        assert!(!frames.is_flood());
    }

    #[test]
    fn during_exchanges_any_number_of_frames_is_allowed() {
        let now = Instant::now();
        let mut frames = Frames::after(0);
        for _ in 0..5 {
            assert!(frames.admits(&pings(1000), false, now));
            assert!(frames.admits(&frame(HEADERS, 1, b"x"), false, now), "an exchange begins");
        }
        assert!(frames.admits(&pings(10_000), true, now), "an exchange is open");
        assert!(frames.admits(&pings(1000), false, now) && !frames.is_flood());
        assert!(!frames.admits(&pings(2), false, now));
    }

    #[test]
    fn a_flood_is_answered_with_goaway() {
        let mut frames = Frames::after(0);
        frames.admit(&frame(HEADERS, 0x8000_0007, b""), false, Instant::now());
        let frame_sent = frames.go_away();
        assert_eq!(frame_sent, frame(GOAWAY, 0, b"\0\0\0\x07\0\0\0\x0btoo_many_control_frames"));
    }
}
