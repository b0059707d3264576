//! A stand-in for the host: a test request, and `start_response` and `write` with the same rules as the real host.

use std::{cell::RefCell, mem, rc::Rc};

use super::{Fields, Layer};
use crate::{
    ReadError, StartError, WriteError,
    grammar::{is_hop_by_hop, is_status, is_text, is_token, number, trim},
};

/// A shared layer.
pub(crate) type Shared = Rc<dyn Layer>;

/// One exchange.
#[derive(Clone, Default)]
pub(crate) struct Host(Rc<RefCell<Exchange>>);

#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) environ: Fields,
    /// The head as received, if it is not derived from the environ.
    pub(crate) raw_head: Option<Vec<u8>>,
    pub(crate) input: Vec<u8>,
    /// The most that one read returns, if it is limited.
    pub(crate) chunk: Option<usize>,
    /// The error that replaces the end of the input.
    pub(crate) read_error: Option<ReadError>,
    pub(crate) log: Vec<String>,
    pub(crate) response: Response,
    layer: Option<Shared>,
}

#[derive(Default)]
pub(crate) struct Response {
    /// Whether `start_response` was called, even without success.
    called: bool,
    pub(crate) head: Option<(String, Fields)>,
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Whether the first chunk was known to be the last one.
    pub(crate) length_known: bool,
    finished: bool,
}

impl Host {
    /// Gives a function access to the whole exchange, to prepare the request or to inspect the response.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Exchange) -> T) -> T {
        look(&mut self.0.borrow_mut())
    }

    pub(crate) fn layer(&self) -> Option<Shared> {
        self.with(|exchange| exchange.layer.clone())
    }

    pub(crate) fn replace_layer(&self, layer: Option<Shared>) -> Option<Shared> {
        self.with(|exchange| mem::replace(&mut exchange.layer, layer))
    }

    pub(crate) fn share(layer: &Rc<impl Layer + 'static>) -> Shared {
        let layer: Rc<_> = Rc::clone(layer);
        layer
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|exchange| exchange.get(name).cloned())
    }

    pub(crate) fn copy_all(&self) -> Fields {
        self.with(|exchange| exchange.environ.clone())
    }

    pub(crate) fn headers(&self) -> Fields {
        self.with(|exchange| exchange.headers())
    }

    pub(crate) fn raw_head(&self) -> Vec<u8> {
        self.with(|exchange| exchange.raw_head())
    }

    pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        self.with(|exchange| {
            let length = exchange.input.len().min(max as usize).min(exchange.chunk.unwrap_or(usize::MAX));
            match exchange.read_error {
                Some(error) if exchange.input.is_empty() => Err(error),
                _ => Ok(exchange.input.drain(..length).collect()),
            }
        })
    }

    pub(crate) fn trailers(&self) -> Fields {
        Vec::new()
    }

    pub(crate) fn log(&self, line: &[u8]) {
        let lines = String::from_utf8_lossy(line);
        self.with(|exchange| exchange.log.extend(lines.split_terminator('\n').map(str::to_owned)));
    }

    pub(crate) fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        if let Some(text) = exc_info {
            self.log(text);
        }
        self.with(|exchange| exchange.response.start(status, headers, exc_info.is_some()))
    }

    pub(crate) fn write(&self, chunk: &[u8]) -> Result<(), WriteError> {
        self.with(|exchange| exchange.response.write(chunk))
    }

    pub(crate) fn finish(&self, last: &[u8]) -> Result<(), WriteError> {
        self.with(|exchange| {
            let first = exchange.response.chunks.is_empty();
            exchange.response.write(last)?;
            exchange.response.finished = true;
            exchange.response.length_known = first;
            Ok(())
        })
    }

    pub(crate) fn respond(&self, status: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), StartError> {
        self.start_response(status, headers, None)?;
        // `respond` does not report what happens to the body.
        let _ = self.finish(body);
        Ok(())
    }

    pub(crate) fn connected(&self) -> bool {
        true
    }
}

impl Exchange {
    fn get(&self, name: &str) -> Option<&Vec<u8>> {
        let mut environ = self.environ.iter();
        environ.find(|(other, _)| other == name).map(|(_, value)| value)
    }

    pub(crate) fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.environ.iter_mut().find(|(other, _)| other == name) {
            Some((_, place)) => *place = value,
            None => self.environ.push((name.to_owned(), value)),
        }
    }

    fn headers(&self) -> Fields {
        let environ = self.environ.iter();
        environ
            .filter_map(|(name, value)| {
                let name = match &**name {
                    "CONTENT_TYPE" | "CONTENT_LENGTH" => name,
                    _ => name.strip_prefix("HTTP_")?,
                };
                Some((name.replace('_', "-").to_ascii_lowercase(), value.clone()))
            })
            .collect()
    }

    fn raw_head(&self) -> Vec<u8> {
        if let Some(head) = &self.raw_head {
            return head.clone();
        }
        let value = |name| self.get(name).map_or(&b""[..], Vec::as_slice);
        let mut head = [value("REQUEST_METHOD"), b" ", value("PATH_INFO")].concat();
        if !value("QUERY_STRING").is_empty() {
            head.extend([b"?", value("QUERY_STRING")].concat());
        }
        head.extend([b" ", value("SERVER_PROTOCOL"), b"\r\n"].concat());
        for (name, value) in self.headers() {
            head.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        head
    }
}

impl Response {
    fn start(&mut self, status: &str, headers: &[(&str, &[u8])], replaces: bool) -> Result<(), StartError> {
        let called = mem::replace(&mut self.called, true);
        if called && !replaces {
            return Err(StartError::AlreadyStarted);
        }
        if self.finished || !self.chunks.is_empty() {
            return Err(StartError::HeadersSent);
        }
        self.head = None;
        if !is_status(status) {
            return Err(StartError::BadStatus);
        }
        let mut checked = Fields::new();
        for &(name, value) in headers {
            let value = trim(value);
            check_field(name, value)?;
            if is_length(name) && checked.iter().any(|(other, _)| is_length(other)) {
                return Err(StartError::BadHeader(format!("{name} is set more than once")));
            }
            checked.push((name.to_owned(), value.to_vec()));
        }
        self.head = Some((status.to_owned(), checked));
        Ok(())
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        let Some((_, headers)) = &self.head else {
            return Err(WriteError::NotStarted);
        };
        if self.finished {
            return Err(WriteError::Disconnected);
        }
        let length = headers.iter().find(|(name, _)| is_length(name)).and_then(|(_, value)| number(value));
        let sent: usize = self.chunks.iter().map(Vec::len).sum();
        let room = length.map_or(chunk.len(), |length| usize::try_from(length).unwrap_or(usize::MAX) - sent);
        let fits = &chunk[..chunk.len().min(room)];
        if !fits.is_empty() {
            self.chunks.push(fits.to_vec());
        }
        if fits.len() < chunk.len() {
            return Err(WriteError::PastContentLength);
        }
        Ok(())
    }
}

fn is_length(name: &str) -> bool {
    name.eq_ignore_ascii_case("Content-Length")
}

fn check_field(name: &str, value: &[u8]) -> Result<(), StartError> {
    if !is_token(name.as_bytes()) {
        return Err(StartError::BadHeader(format!("{name:?} is not a name")));
    }
    if is_hop_by_hop(name) {
        return Err(StartError::HopByHop(name.to_owned()));
    }
    if !is_text(value) || (is_length(name) && number(value).is_none()) {
        let value = value.escape_ascii();
        return Err(StartError::BadHeader(format!("{name}: \"{value}\"")));
    }
    Ok(())
}
