//! Reads records from WARC: our own, and those of other programs, whose exchanges lack what only we record.
//!
//! Files may come from anywhere, so heads and blocks are bounded, and memory grows only with what is really there.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    vec,
};

use anyhow::{Context as _, bail};
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
        time,
    },
};

/// The largest head of a WARC record, in bytes.
const HEAD_MAX: usize = 64 << 10;

/// The largest block that is read, in bytes. Larger ones are skipped.
const BLOCK_MAX: u64 = 1 << 30;

/// What a file begins with that gzip has compressed.
const COMPRESSED: &[u8] = &[0x1f, 0x8b];

/// The largest JSON that is read, in bytes.
const METADATA_MAX: usize = 16 << 20;

/// Opens a capture: a file, or all `*.warc` of a directory in the order of their names, which is that of time. What is in
/// directories below it is not read.
///
/// # Errors
///
/// The path cannot be read, or is a directory without such files.
pub fn read_path(path: &Path) -> anyhow::Result<Files> {
    let name = || format!("`{}` cannot be read", path.display());
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = path.read_dir().with_context(name)?;
        let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths = entries.with_context(name)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "warc"));
        paths.sort();
        if paths.is_empty() {
            bail!("`{}` contains no captures; --capture writes files that end in .warc", path.display());
        }
    } else {
        // A wrong name is an error, and not a problem among others.
        File::open(path).with_context(name)?;
    }
    Ok(Files { paths: paths.into_iter(), reader: None, problems: Vec::new() })
}

/// The records of one or several files, oldest first. What cannot be read is skipped, and reported as a problem.
#[derive(Debug)]
pub struct Files {
    paths: vec::IntoIter<PathBuf>,
    reader: Option<(PathBuf, Reader<BufReader<File>>)>,
    problems: Vec<String>,
}

impl Files {
    /// What could not be read so far, one line each, and removes it.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }
}

impl Iterator for Files {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let Some((path, reader)) = &mut self.reader else {
                let path = self.paths.next()?;
                match File::open(&path) {
                    Ok(file) => self.reader = Some((path, Reader::new(BufReader::with_capacity(64 << 10, file)))),
                    Err(error) => self.problems.push(format!("`{}` cannot be read: {error}", path.display())),
                }
                continue;
            };
            match reader.next() {
                Some(Piece::Exchange(record)) => return Some(*record),
                Some(Piece::Problem(why)) => self.problems.push(format!("`{}`: {why}", path.display())),
                None => self.reader = None,
            }
        }
    }
}

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
                Err(Stop::Inside(_)) if line.is_empty() => return Err(Stop::End),
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
                    value.push(b' ');
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
