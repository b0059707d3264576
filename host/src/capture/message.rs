//! Reads the bytes of a record: the head, the fields in order, and the body without framing.

use bytes::Bytes;
use wasmserve_gateway::{
    request::{RequestHead, RequestLimits},
    responses::{self, Responses},
    stream::{self, Parser},
};

use super::record::{Ending, Protocol, Record, Side};

/// One message of a record: its request, or its response.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The request line or status line, without its line end. Empty if there is none.
    pub line: Vec<u8>,
    /// The fields, in the order in which they were sent, with repetitions; values without white space around them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body without framing, as far as it is kept. Content codings are not decoded.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The heads of interim responses, each with its empty line.
    pub interim: Vec<Vec<u8>>,
    /// Whether the body was sent in chunks.
    pub is_chunked: bool,
    /// Whether all of it is here: nothing is cut, and its sender completed it.
    pub is_whole: bool,
}

impl Message {
    /// The first value of a field.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let is_named = |(known, _): &&(Vec<u8>, Vec<u8>)| known.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(is_named).map(|(_, value)| &value[..])
    }

    /// The words of the request line: method, target and version. Missing ones are empty.
    #[must_use]
    pub fn words(&self) -> [&[u8]; 3] {
        let mut words = self.line.splitn(3, |byte| *byte == b' ');
        [(); 3].map(|()| words.next().unwrap_or_default())
    }

    /// The status of a response, or 0 if it has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        let status = self.words()[1];
        str::from_utf8(status).ok().and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The reason phrase of a response.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.words()[2]
    }

    /// The request of a record. What was refused is only a head.
    #[must_use]
    pub fn request(record: &Record) -> Self {
        let side = &record.request;
        let mut message = Self { is_whole: !side.is_cut(), ..Self::default() };
        let head = record.request_head();
        message.line = head.line().to_vec();
        message.fields = head.fields().map(owned).collect();
        if record.protocol == Protocol::Http2 {
            message.put_content(side);
            return message;
        }
        let limits = RequestLimits { head: u64::MAX, target: usize::MAX, fields: usize::MAX };
        let (mut parser, mut input) = (Parser::new(limits), &side.bytes[..]);
        while let Some(piece) = parser.next(&mut input) {
            match piece {
                stream::Piece::Start(start) => message.is_chunked = start.framing == stream::Framing::Chunked,
                stream::Piece::Data(data) => message.body.extend_from_slice(data),
                stream::Piece::End(trailers) => message.trailers = lines(&trailers),
                stream::Piece::Malformed => message.is_whole = false,
            }
            if parser.is_between_requests() || parser.end().is_some() {
                break;
            }
        }
        message.is_whole &= !parser.is_mid_message();
        message
    }

    /// The response of a record. Empty if nothing was sent.
    #[must_use]
    pub fn response(record: &Record) -> Self {
        let side = &record.response;
        let mut message = Self::default();
        let answers_head = record.request_head().method() == b"HEAD";
        let (mut responses, mut input, mut head) = (Responses::default(), &side.bytes[..], 0);
        let http2 = record.protocol == Protocol::Http2;
        while let Ok(Some(piece)) = responses.next(&mut input, answers_head || http2) {
            let at = side.bytes.len() - input.len();
            match piece {
                responses::Piece::Interim => message.interim.push(side.bytes[head..at].to_vec()),
                responses::Piece::Head => {
                    let bytes = &side.bytes[head..at];
                    let end = memchr_line(bytes);
                    message.line = bytes[..end].to_vec();
                    message.fields = responses::fields(bytes).map(owned).collect();
                    message.is_chunked = message.value("transfer-encoding").is_some();
                    if http2 {
                        message.put_content(side);
                        return message;
                    }
                }
                responses::Piece::Data(data) => message.body.extend_from_slice(data),
                responses::Piece::End(trailers) => message.trailers = lines(&trailers),
            }
            head = at;
            if !message.line.is_empty() && responses.is_between() {
                message.is_whole = true;
                break;
            }
        }
        message.is_whole |= responses.ends_with_connection();
        message.is_whole &= !side.is_cut();
        message
    }

    /// Adds what follows the head in HTTP/2.
    fn put_content(&mut self, side: &Side) {
        let (content, trailers) = side.content_and_trailers();
        self.body = content.to_vec();
        self.trailers = lines(trailers);
        self.is_whole = side.end == Ending::Whole && !side.is_cut();
    }
}

impl Record {
    /// The head of the request, as the gateway reads it: without empty lines before it.
    #[must_use]
    pub fn request_head(&self) -> RequestHead {
        let head = self.request.head();
        let blank = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        RequestHead::new(Bytes::copy_from_slice(&head[blank..]))
    }
}

fn owned((name, value): (&[u8], &[u8])) -> (Vec<u8>, Vec<u8>) {
    (name.to_vec(), value.to_vec())
}

/// The fields in trailer lines, each of which ends in CRLF.
fn lines(trailers: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let line = [b"\r\n", trailers].concat();
    responses::fields(&line).map(owned).collect()
}

fn memchr_line(head: &[u8]) -> usize {
    head.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(head.len())
}
