//! Streams of requests to test parsers with: well-formed ones, and nearly well-formed ones.

/// Pseudorandom numbers from a seed (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        // The upper half: the lower bits of xorshift repeat sooner.
        (self.next() >> 32) as usize % end.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const METHODS: [&str; 8] = ["GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "get", "M-SEARCH"];
const TARGETS: [&str; 9] =
    ["/", "/a", "/a?b=c", "/a?q={\"a\":1}", "/\"`{|}^", "http://b:80/c?d", "/e#f?g", "/%2F%zz", "/\u{e9}?\u{e9}"];
const FIELDS: [&str; 14] = [
    "Accept: */*",
    "X-A: b",
    "x-a:c",
    "X-Empty:",
    "X-Space: \t a b \t ",
    "Cookie: a=b; c=d",
    "Connection: keep-alive",
    "Connection: foo, Close",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "Content-Type: text/plain",
    "X-Text: caf\u{e9}",
    "TE: trailers",
    "Via: \"a\", b",
];

/// Sequences that parsers have disagreed about.
const ODD: [&[u8]; 38] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\n\r\n",
    b"\r\r\n",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b":",
    b";",
    b",",
    b"\"",
    b"#",
    b"?",
    b"0",
    b"00",
    b"F",
    b"+",
    b"-",
    b"0x",
    b"0\r\n\r\n",
    b"0\r\n\n",
    b"1\r\n",
    b"chunked",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\n",
    b" chunked",
    b"GET / HTTP/1.1\r\nHost: z\r\n\r\n",
    b"HTTP/1.0",
];

/// One to four requests in a row, most of them well-formed.
#[must_use]
pub fn pipeline(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=random.below(4) {
        request(random, &mut stream);
    }
    stream
}

/// The same with up to four changes, mostly near the framing.
#[must_use]
pub fn mutated(random: &mut Random) -> Vec<u8> {
    let mut stream = pipeline(random);
    for _ in 0..random.below(5) {
        let at = place(random, &stream);
        let odd = random.of(&ODD);
        let end = (at + random.below(4)).min(stream.len());
        match random.below(6) {
            0 => drop(stream.drain(at..end)),
            1 => stream.splice(at..end, odd.iter().copied()).for_each(drop),
            2 => {
                let from = random.below(stream.len() + 1);
                let to = (from + random.below(40)).min(stream.len());
                let copied = stream[from..to].to_vec();
                stream.splice(at..at, copied).for_each(drop);
            }
            _ => stream.splice(at..at, odd.iter().copied()).for_each(drop),
        }
    }
    stream
}

/// Where a stream is split: mostly nowhere or in a few places, sometimes everywhere.
#[must_use]
pub fn cuts(random: &mut Random) -> Vec<usize> {
    match random.below(16) {
        0 => (0..1000).collect(),
        1..8 => Vec::new(),
        count => (0..count % 4 + 1).map(|_| random.below(1000)).collect(),
    }
}

fn place(random: &mut Random, stream: &[u8]) -> usize {
    let at = random.below(stream.len() + 1);
    if random.below(3) == 0 {
        return at;
    }
    let is_near = |byte: &u8| matches!(byte, b'\r' | b'\n' | b':' | b' ' | b'0');
    stream[at..].iter().position(is_near).map_or(at, |length| at + length)
}

fn request(random: &mut Random, stream: &mut Vec<u8>) {
    let version = if random.below(8) == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
    let end: &[u8] = if random.below(8) == 0 { b"\n" } else { b"\r\n" };
    let mut line = |text: &str| {
        stream.extend_from_slice(text.as_bytes());
        stream.extend_from_slice(end);
    };
    line(&format!("{} {} {version}", random.of(&METHODS), random.of(&TARGETS)));
    line("Host: a");
    for _ in 0..random.below(4) {
        line(random.of(&FIELDS));
    }
    let body = random.below(40);
    match random.below(4) {
        0 => line(""),
        1 => {
            line(&format!("Content-Length: {body}"));
            line("");
            stream.extend(std::iter::repeat_n(b"a0\r\nG /"[body % 7], body));
        }
        _ => {
            line(random.of(&[
                "Transfer-Encoding: chunked",
                "transfer-encoding:Chunked",
                "Transfer-Encoding: \tchunked ",
            ]));
            line("");
            chunks(random, stream);
        }
    }
}

fn chunks(random: &mut Random, stream: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let length = random.below(20) + 1;
        let size = match random.below(4) {
            0 => format!("{length:X};a=\"b\""),
            1 => format!("{length:04x} ; c"),
            _ => format!("{length:x}"),
        };
        stream.extend_from_slice(size.as_bytes());
        stream.extend_from_slice(b"\r\n");
        stream.extend((0..length).map(|at| b"\r\n0 GET x"[at % 9]));
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(random.of(&[&b"0\r\n"[..], b"00\r\n", b"0;a\r\n"]));
    for _ in 0..random.below(6).saturating_sub(3) {
        stream.extend_from_slice(random.of(&[&b"X-T: u\r\n"[..], b"host:evil\r\n", b"X-E:\r\n"]));
    }
    stream.extend_from_slice(b"\r\n");
}
