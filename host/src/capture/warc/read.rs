//! Reads records from WARC: our own, and those of other programs, whose exchanges lack what only we record.
//!
//! Files may come from anywhere, so heads and blocks are bounded, and memory grows only with what is really there.

use std::{
    io::{self, BufRead, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use serde::Deserialize;
use wasmserve_gateway::{
    field,
    responses::{Piece as Sent, Responses},
};

use super::layout::{FORMAT, HTTP2, METADATA, STAND_IN, replaced_in_line};
use crate::{
    base::size,
    capture::{
        record::{Ending, Marks, Origin, Protocol, Record, Side},
        script::OUTBOUND_BODIES_MAX,
        time,
    },
};

/// The largest head of a WARC record, in bytes.
const HEAD_MAX: usize = 64 << 10;

/// The largest block that is read, in bytes. Larger ones are skipped.
const BLOCK_MAX: u64 = 1 << 30;

/// What a file begins with that gzip has compressed.
const COMPRESSED: &[u8] = &[0x1f, 0x8b];

/// The largest JSON that is read, in bytes: more than we write, most of which is what other servers sent, in base64.
const METADATA_MAX: usize = 4 * OUTBOUND_BODIES_MAX;

/// Reads exchanges from one file.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
    is_over: bool,
    /// What is returned last.
    last: Option<Piece>,
    /// Whether the file at hand is one of ours.
    is_ours: bool,
    /// Records of the exchange that is not complete yet.
    open: Vec<Warc>,
    /// How many exchanges of other programs have been read.
    others: u64,
}

/// What a file contains.
#[derive(Debug)]
pub enum Piece {
    /// An exchange.
    Exchange(Box<Record>),
    /// Something that cannot be used, in one line.
    Problem(String),
}

/// A record of WARC.
#[derive(Debug)]
struct Warc {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    block: Vec<u8>,
}

/// Why there is no further WARC record.
enum Stop {
    /// The file ends between two records.
    End,
    /// It ends inside a record, which begins at this byte.
    Inside(u64),
    /// It is no WARC from this byte on.
    Malformed(u64, &'static str),
    /// It cannot be read.
    Io(io::Error),
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the beginning of a file.
    #[must_use]
    pub fn new(input: R) -> Self {
        Self { input, at: 0, is_over: false, last: None, is_ours: false, open: Vec::new(), others: 0 }
    }

    /// Returns the exchange that is complete with a WARC record, if one is.
    fn take(&mut self, warc: Warc) -> Option<Piece> {
        let kind = warc.text("WARC-Type");
        match &*kind {
            "warcinfo" => {
                let others = self.of_others();
                self.is_ours = memchr::memmem::find(&warc.block, b"software: wasmserve/").is_some();
                others
            }
            "request" | "response" => {
                let id = warc.text("WARC-Record-ID");
                let belongs = self.open.iter().all(|open| {
                    let is_other_half = open.text("WARC-Type") != kind;
                    is_other_half && (open.concerns(&id) || warc.concerns(&open.text("WARC-Record-ID")))
                });
                let others = if belongs { None } else { self.of_others() };
                self.open.push(warc);
                others
            }
            "metadata" if warc.text("Content-Type") == METADATA => {
                let is_of_open = |open: &Warc| warc.concerns(&open.text("WARC-Record-ID"));
                if !self.is_ours || !self.open.iter().any(is_of_open) {
                    return None;
                }
                let parts = std::mem::take(&mut self.open);
                Some(match completed(&warc.block, parts) {
                    Ok(record) => Piece::Exchange(Box::new(record)),
                    Err(why) => Piece::Problem(why),
                })
            }
            _ => None,
        }
    }

    /// The exchange of another program whose records have been read, if there is one. An exchange of ours is incomplete
    /// without its last record.
    fn of_others(&mut self) -> Option<Piece> {
        let parts = std::mem::take(&mut self.open);
        if self.is_ours || parts.is_empty() {
            return None;
        }
        self.others += 1;
        Some(match foreign(parts, self.others) {
            Some(record) => Piece::Exchange(Box::new(record)),
            None => Piece::Problem("a response has no request, so it is left out".into()),
        })
    }

    /// What to report at the end. Removes what is incomplete.
    fn problem(&mut self, stop: Stop) -> Option<String> {
        let is_end = matches!(stop, Stop::End);
        if !is_end && self.open.len() < 2 {
            self.open.clear();
        }
        match stop {
            Stop::End if self.is_ours && !self.open.is_empty() => {
                Some("it ends inside an exchange, which is left out".to_owned())
            }
            Stop::End => None,
            Stop::Inside(at) => Some(format!("it ends inside a record; everything before byte {at} was read")),
            Stop::Malformed(at, why) => Some(format!("{why} (at byte {at}); the rest is left out")),
            Stop::Io(error) => Some(format!("it cannot be read beyond byte {}: {error}", self.at)),
        }
    }

    fn warc(&mut self) -> Result<Warc, Stop> {
        let begin = self.at;
        let mut line = Vec::new();
        // Between two records are two line ends; more do no harm.
        loop {
            match self.line(&mut line, begin) {
                Ok(()) if line.is_empty() => {}
                Ok(()) => break,
                Err(Stop::Inside(_)) if matches!(&line[..], b"" | b"\r") => return Err(Stop::End),
                Err(Stop::Inside(_)) if b"WARC/".starts_with(&line[..line.len().min(5)]) => {
                    return Err(Stop::Inside(begin));
                }
                // Compressed files are not text, so they may have no line end at all.
                Err(Stop::Inside(_) | Stop::Malformed(..)) if line.starts_with(COMPRESSED) => break,
                Err(Stop::Inside(_)) => return Err(Stop::Malformed(begin, "this is not a WARC record")),
                Err(stop) => return Err(stop),
            }
        }
        if line.starts_with(COMPRESSED) {
            return Err(Stop::Malformed(begin, "it is compressed; decompress it with gunzip first"));
        }
        if !line.starts_with(b"WARC/") {
            return Err(Stop::Malformed(begin, "this is not a WARC record"));
        }
        let mut warc = Warc { fields: Vec::new(), block: Vec::new() };
        let mut length = 0;
        loop {
            self.line(&mut line, begin)?;
            if line.is_empty() {
                break;
            }
            length += line.len();
            if length > HEAD_MAX {
                return Err(Stop::Malformed(begin, "the head of a WARC record is too long"));
            }
            match (line.first(), warc.fields.last_mut()) {
                (Some(b' ' | b'\t'), Some((_, value))) => {
                    if !value.is_empty() {
                        value.push(b' ');
                    }
                    value.extend_from_slice(field::trim(&line));
                }
                _ => {
                    let (name, value) =
                        field::split(&line).ok_or(Stop::Malformed(begin, "a field of a WARC record has no colon"))?;
                    warc.fields.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        let length = warc.text("Content-Length").parse::<u64>();
        let length = length.map_err(|_| Stop::Malformed(begin, "a WARC record has no valid Content-Length"))?;
        let is_used = ["warcinfo", "request", "response", "metadata"].contains(&&*warc.text("WARC-Type"));
        if length > BLOCK_MAX || !is_used {
            let skipped = io::copy(&mut self.input.by_ref().take(length), &mut io::sink()).map_err(Stop::Io)?;
            self.at += skipped;
            return if skipped < length { Err(Stop::Inside(begin)) } else { Ok(Warc { fields: Vec::new(), ..warc }) };
        }
        let read = self.input.by_ref().take(length).read_to_end(&mut warc.block).map_err(Stop::Io)?;
        self.at += read as u64;
        // What is read may stay in memory for long.
        warc.block.shrink_to_fit();
        if (read as u64) < length { Err(Stop::Inside(begin)) } else { Ok(warc) }
    }

    /// Reads a line without its end. At the end of the file, `line` has what there is.
    fn line(&mut self, line: &mut Vec<u8>, begin: u64) -> Result<(), Stop> {
        line.clear();
        let read = self.input.by_ref().take(HEAD_MAX as u64).read_until(b'\n', line).map_err(Stop::Io)?;
        self.at += read as u64;
        match line.pop() {
            Some(b'\n') => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                Ok(())
            }
            Some(_) if read == HEAD_MAX => Err(Stop::Malformed(begin, "this is not a WARC record")),
            Some(last) => {
                line.push(last);
                Err(Stop::Inside(begin))
            }
            None => Err(Stop::Inside(begin)),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while !self.is_over {
            match self.warc() {
                Ok(warc) => {
                    if let Some(piece) = self.take(warc) {
                        return Some(piece);
                    }
                }
                Err(stop) => {
                    self.is_over = true;
                    self.last = self.problem(stop).map(Piece::Problem);
                    // The exchange before the place where reading stopped.
                    if let Some(piece) = self.of_others() {
                        return Some(piece);
                    }
                }
            }
        }
        self.last.take()
    }
}

impl Warc {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |(known, _): &&(Vec<u8>, Vec<u8>)| known.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|(_, value)| &value[..])
    }

    fn text(&self, name: &str) -> String {
        self.values(name).next().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    fn is_request(&self) -> bool {
        self.text("WARC-Type") == "request"
    }

    /// Whether it names another record as a part of the same exchange.
    fn concerns(&self, id: &str) -> bool {
        self.values("WARC-Concurrent-To").any(|concerned| concerned == id.as_bytes())
    }
}

/// An exchange of ours.
fn completed(json: &[u8], parts: Vec<Warc>) -> Result<Record, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("the metadata of an exchange cannot be read: {why}");
    if json.len() > METADATA_MAX {
        return Err(unreadable(&format!("it is larger than {}", size::text(METADATA_MAX as u64))));
    }
    let Format { format } = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
    if format > FORMAT {
        return Err(unreadable(&format!("a newer wasmserve wrote it (format {format})")));
    }
    let mut record: Record = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
    for part in parts {
        let is_request = part.is_request();
        let block = match record.protocol {
            Protocol::Http2 if is_request => replaced_in_line(&part.block, STAND_IN, HTTP2).into_owned(),
            _ => part.block,
        };
        let side = if is_request { &mut record.request } else { &mut record.response };
        side.bytes = Bytes::from(block);
    }
    for side in [&mut record.request, &mut record.response] {
        // The file may have been edited.
        side.total = side.total.max(side.bytes.len() as u64);
        side.head = side.head.min(side.total);
        side.trailers = side.trailers.map(|at| at.clamp(side.head, side.total));
    }
    Ok(record)
}

/// An exchange that another program has captured: only bytes, dates and addresses are known.
fn foreign(parts: Vec<Warc>, number: u64) -> Option<Record> {
    let (mut request, mut response) = (None, None);
    for part in parts {
        let half = if part.is_request() { &mut request } else { &mut response };
        *half = Some(part);
    }
    let request = request?;
    let began = time::parse(&request.text("WARC-Date")).unwrap_or(0);
    let host = |warc: &Warc| warc.text("WARC-IP-Address").parse::<IpAddr>().ok();
    let ip = host(&request).or_else(|| response.as_ref().and_then(host)).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let side = |bytes: Vec<u8>, head: usize| {
        let total = bytes.len() as u64;
        Side { bytes: bytes.into(), total, head: head as u64, end: Ending::Whole, ..Side::default() }
    };
    let head = request_head(&request.block);
    let response = response.map(|response| response.block).unwrap_or_default();
    let response_head = response_head(&response);
    Some(Record {
        seq: number,
        id: number,
        origin: Origin::Client,
        began,
        connection: number,
        nth: 1,
        protocol: Protocol::Http1,
        remote: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        local: SocketAddr::new(ip, 80),
        facts: None,
        handler: None,
        request: side(request.block, head),
        response: side(response, response_head),
        marks: Marks::default(),
        lines: Vec::new(),
        fault: None,
        script: None,
        left: None,
        outcome: None,
        kept: None,
    })
}

/// Where the head of a request ends.
fn request_head(bytes: &[u8]) -> usize {
    memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}

/// Where the final head of a response ends.
fn response_head(bytes: &[u8]) -> usize {
    let (mut responses, mut input) = (Responses::default(), bytes);
    while let Ok(Some(piece)) = responses.next(&mut input, true) {
        if matches!(piece, Sent::Head) {
            break;
        }
    }
    bytes.len() - input.len()
}

#[cfg(test)]
mod tests {
    use super::{super::write::Writer, *};
    use crate::capture::{
        record::{Cut, Failure},
        sample,
        script::{Outbound, Script},
    };

    const REQUEST: &[u8] = b"POST /hook?x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\x00\xff";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    fn records() -> Vec<Record> {
        let mut cut = sample::failed(REQUEST, RESPONSE);
        cut.response.total += 1000;
        cut.response.cut = Some(Cut::BodyMax);
        let mut http2 = sample::record(b"GET /2 HTTP/2\r\nhost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n");
        http2.protocol = Protocol::Http2;
        let mut trailers =
            sample::record(b"PUT /2 HTTP/2\r\nhost: a\r\n\r\nabcx: 1\r\n", b"HTTP/1.1 200 OK\r\n\r\nabcx: 1\r\n");
        trailers.protocol = Protocol::Http2;
        for side in [&mut trailers.request, &mut trailers.response] {
            side.trailers = Some(side.head + 3);
        }
        trailers.request.is_inexact = true;
        let unanswered = sample::record(b"GET /WARC/1.1 HTTP/1.1\r\nHost: a\r\n\r\nWARC/1.1\r\n\r\n", b"");
        let no_http = sample::record(b"\x16\x03\x01\x00", b"");
        vec![sample::record(REQUEST, RESPONSE), cut, http2, trailers, unanswered, no_http]
    }

    /// A file with these records, and where the file's head and each exchange ends.
    fn file(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
        let writer = Writer::new([7; 8]);
        let mut bytes = writer.begin(1, 1_796_022_961_000_000);
        let mut ends = vec![bytes.len()];
        for (seq, record) in (1..).zip(records) {
            writer.add(seq, record, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn read(bytes: &[u8]) -> (Vec<Record>, Vec<String>) {
        let (mut records, mut problems) = (Vec::new(), Vec::new());
        for piece in Reader::new(bytes) {
            match piece {
                Piece::Exchange(record) => records.push(*record),
                Piece::Problem(why) => problems.push(why),
            }
        }
        (records, problems)
    }

    /// Everything of a record, with its bytes.
    fn all(record: &Record) -> (String, Bytes, Bytes) {
        let json = serde_json::to_string(record).expect("a record can be JSON");
        (json, record.request.bytes.clone(), record.response.bytes.clone())
    }

    #[test]
    fn what_is_written_is_read_to_the_byte() {
        let records = records();
        let (bytes, _) = file(&records);
        let (seen, problems) = read(&bytes);
        assert_eq!(problems, [""; 0]);
        assert_eq!(seen.iter().map(all).collect::<Vec<_>>(), records.iter().map(all).collect::<Vec<_>>());
    }

    #[test]
    fn o12_a_file_that_is_cut_anywhere_is_read_up_to_there() {
        let records = records();
        let (bytes, ends) = file(&records);
        for length in 0..bytes.len() {
            let (seen, problems) = read(&bytes[..length]);
            // The two line ends after the last record say nothing.
            let whole = ends[1..].iter().filter(|end| **end <= length + 4).count();
            assert_eq!(seen.len(), whole, "cut after {length}");
            assert_eq!(seen.iter().map(all).collect::<Vec<_>>(), records[..whole].iter().map(all).collect::<Vec<_>>());
            let is_between = length == 0 || ends.iter().any(|end| (length..=length + 4).contains(end));
            assert_eq!(problems.len(), usize::from(!is_between), "cut after {length}: {problems:?}");
        }
    }

    #[test]
    fn however_much_other_servers_sent_is_read_back() {
        let mut record = sample::record(REQUEST, RESPONSE);
        let sent = Outbound { body: vec![b'x'; OUTBOUND_BODIES_MAX], is_whole: true, ..Outbound::default() };
        record.script = Some(Script { outbound: vec![sent], ..Script::default() });
        let (bytes, _) = file(std::slice::from_ref(&record));
        let (seen, problems) = read(&bytes);
        assert_eq!(problems, [""; 0]);
        assert!(seen.len() == 1 && seen[0].script == record.script);
    }

    #[test]
    fn joined_files_are_read_like_one() {
        let records = records();
        let (bytes, _) = file(&records[..2]);
        let (other, _) = file(&records[2..]);
        let (seen, problems) = read(&[bytes, other].concat());
        assert_eq!((seen.len(), problems.len()), (records.len(), 0));
    }

    #[test]
    fn members_that_are_not_known_are_ignored_and_newer_formats_are_reported() {
        let (bytes, _) = file(&records()[..1]);
        let text = |from: &str, to: &str| {
            let at = memchr::memmem::find(&bytes, from.as_bytes()).expect("it is there");
            let edited = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
            read(&edited)
        };
        // As long as the one that it replaces, since blocks have a length.
        let (seen, problems) = text(r#""nth":1"#, r#""new":1"#);
        assert_eq!(seen.len(), 0, "nth is needed");
        assert!(problems[0].contains("missing field `nth`"), "{problems:?}");
        let (seen, problems) = text(r#""format":1"#, r#""format":2"#);
        assert_eq!((seen.len(), problems.len()), (0, 1));
        assert!(problems[0].contains("a newer wasmserve wrote it"), "{problems:?}");
        let (seen, problems) = text(r#""cpu":900"#, r#""new":900"#);
        assert_eq!((seen.len(), problems.len()), (1, 0));
    }

    #[test]
    fn captures_of_other_programs_are_read() {
        let block = |kind: &str, id: &str, with: &str, content: &[u8]| {
            let head = format!(
                "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <{id}>\r\nWARC-Concurrent-To:\r\n <{with}>\r\n\
                 WARC-Date: 2026-11-29T07:16:01Z\r\nWARC-IP-Address: 192.0.2.1\r\nContent-Length: {}\r\n\r\n",
                content.len()
            );
            [head.as_bytes(), content, b"\r\n\r\n"].concat()
        };
        let info = block("warcinfo", "i", "", b"software: Wget/1.21\r\n");
        let one = [block("response", "2", "1", RESPONSE), block("request", "1", "2", REQUEST)].concat();
        let two = [block("request", "3", "4", REQUEST), block("response", "4", "3", RESPONSE)].concat();
        let rest = block("resource", "5", "", b"log");
        let lost = block("response", "6", "7", RESPONSE);
        let whole = [&info[..], &one, &two, &rest, &lost].concat();
        let (seen, problems) = read(&whole);
        assert_eq!(problems, ["a response has no request, so it is left out"]);
        assert_eq!(seen.len(), 2);
        for record in &seen {
            assert_eq!((&record.request.bytes[..], &record.response.bytes[..]), (REQUEST, RESPONSE));
            assert_eq!(record.began, 1_796_022_961_000_000 - 86_400_000_000);
            assert_eq!(record.local.to_string(), "192.0.2.1:80");
            assert_eq!(record.response.head, 38);
        }
        let (seen, problems) = read(&whole[..info.len() + one.len() + two.len() - 10]);
        assert_eq!((seen.len(), problems.len()), (1, 1), "the second is incomplete: {problems:?}");
    }

    #[test]
    fn what_is_no_warc_is_reported_in_words() {
        let long = [b"WARC/1.1\r\n", &b"a: b\r\n".repeat(20_000)[..]].concat();
        for (bytes, why) in [
            (
                &b"\x1f\x8b\x08\x00\x00\n"[..],
                "it is compressed; decompress it with gunzip first (at byte 0); the rest is left out",
            ),
            (
                b"\x1f\x8b\x08\x00",
                "it is compressed; decompress it with gunzip first (at byte 0); the rest is left out",
            ),
            (b"GET / HTTP/1.1\r\n\r\n", "this is not a WARC record (at byte 0); the rest is left out"),
            (b"{}", "this is not a WARC record (at byte 0); the rest is left out"),
            (b"WARC/1.1\r\nfoo\r\n\r\n", "a field of a WARC record has no colon (at byte 0); the rest is left out"),
            (
                b"WARC/1.1\r\na: b\r\n\r\n",
                "a WARC record has no valid Content-Length (at byte 0); the rest is left out",
            ),
            (
                b"WARC/1.1\r\nContent-Length: 99999999999999\r\n\r\nx",
                "it ends inside a record; everything before byte 0 was read",
            ),
            (&long, "the head of a WARC record is too long (at byte 0); the rest is left out"),
            (&[b'x'; 70_000], "this is not a WARC record (at byte 0); the rest is left out"),
        ] {
            let (seen, problems) = read(bytes);
            assert_eq!((seen.len(), problems), (0, vec![why.to_owned()]));
        }
    }

    #[test]
    fn a_record_that_was_edited_claims_no_more_than_is_there() {
        let mut record = sample::record(REQUEST, RESPONSE);
        (record.request.total, record.request.head) = (1, 1_000_000);
        record.fault = Some(Failure { kind: "x".into(), at: u64::MAX, text: String::new(), stack: Vec::new() });
        let (bytes, _) = file(&[record]);
        let (seen, _) = read(&bytes);
        let request = &seen[0].request;
        assert_eq!((request.total, request.head), (REQUEST.len() as u64, REQUEST.len() as u64));
        for trailers in [0, 1_000_000] {
            let mut record = sample::record(REQUEST, RESPONSE);
            record.protocol = Protocol::Http2;
            record.response.trailers = Some(trailers);
            let (bytes, _) = file(&[record]);
            let response = &read(&bytes).0[0].response;
            assert!((response.head..=response.total).contains(&response.trailers.expect("there were some")));
        }
    }
}
