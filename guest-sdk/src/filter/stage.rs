//! A filter between the host, or another filter, and the handler behind it.

use std::{cell::RefCell, hint::black_box, mem};

use super::{Body, Filter, Next, Options, Request, request::Input};
use crate::{
    Environ, Head, ReadError, Result, StartError, WriteError,
    gateway::{Below, Fields, Gateway, Layer},
};

/// The way to the client: where [`Filter::write`] writes to.
pub struct Output<'a> {
    below: &'a Below,
    /// What may be the last chunk, and is kept until it is known: then the host knows the length of a short body.
    kept: Option<Vec<u8>>,
    /// Whether chunks are kept, because this is the end of the body.
    keeps: bool,
}

impl Output<'_> {
    /// Writes a chunk, of any size. Blocks while more than 64 KiB wait for the client.
    ///
    /// # Errors
    ///
    /// The client has left, for example.
    pub fn write(&mut self, chunk: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let chunk = chunk.as_ref();
        if chunk.is_empty() {
            return Ok(());
        }
        self.flush()?;
        if self.keeps {
            self.kept = Some(chunk.to_vec());
            return Ok(());
        }
        self.below.write(chunk, false)
    }

    /// Sends everything that was written: use it before you wait.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), WriteError> {
        match self.kept.take() {
            Some(kept) => self.below.write(&kept, false),
            None => Ok(()),
        }
    }
}

/// How the handler has returned, for [`Filter::after`].
pub struct Outcome<'a> {
    /// `Ok` if it has succeeded or was not called, or the text of its error. Changes of it are for the filters further out,
    /// and at last for the host, which logs an error, and cuts the response if its head has been sent.
    pub result: std::result::Result<(), String>,
    below: &'a Below,
}

impl Outcome<'_> {
    /// Answers in the handler's stead, if no part of its response has been sent. The error is logged, and
    /// [`result`](Self::result) is a success.
    ///
    /// # Errors
    ///
    /// The head has been sent, or this one is not valid.
    pub fn answer(&mut self, status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Result<(), StartError> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let text = self.result.as_ref().err().map_or("replaced by a filter", String::as_str);
        self.below.start_response(status, &headers, Some(text.as_bytes()))?;
        // The host knows whether the client is still there.
        let _ = self.below.write(body.as_ref(), true);
        self.result = Ok(());
        Ok(())
    }
}

/// A filter, and what it knows of its exchange.
pub(crate) struct Stage<F> {
    below: Below,
    filter: RefCell<F>,
    state: RefCell<State>,
}

struct State {
    request: Request,
    /// What the handler has not read yet of a changed body.
    unread: Vec<u8>,
    /// Whether all of the request's body has been read.
    is_read: bool,
    body: Body,
    /// Whether the handler has started a response.
    is_started: bool,
    /// Whether the response has ended.
    is_finished: bool,
}

/// The methods of a filter. They are called by their addresses, so that they stay functions of their own, which stacks show.
struct Methods<F> {
    before: fn(&mut F, &mut Request) -> Result<Next>,
    head: fn(&mut F, &mut Head) -> Body,
    write: fn(&mut F, &[u8], &mut Output<'_>) -> Result<(), WriteError>,
    after: fn(&mut F, &mut Outcome<'_>),
}

impl<F: Filter> Methods<F> {
    fn new() -> Self {
        black_box(Self { before: F::before, head: F::head, write: F::write, after: F::after })
    }
}

impl<F: Filter> Stage<F> {
    /// Creates the filter, for the exchange of this gateway.
    pub(crate) fn new(options: &Options, gateway: &Gateway) -> std::result::Result<Self, String> {
        let filter = F::new(options).map_err(|error| error.to_string())?;
        options.check()?;
        let state = State {
            request: Request::new(Environ::new(gateway.clone())),
            unread: Vec::new(),
            is_read: false,
            body: Body::Same,
            is_started: false,
            is_finished: false,
        };
        Ok(Self { below: gateway.below(), filter: RefCell::new(filter), state: RefCell::new(state) })
    }

    /// Whether the handler is to be called.
    pub(crate) fn before(&self) -> std::result::Result<bool, String> {
        let next = (Methods::<F>::new().before)(&mut self.filter.borrow_mut(), &mut self.state.borrow_mut().request);
        let state = &mut *self.state.borrow_mut();
        match next.map_err(|error| error.to_string())? {
            Next::Forward => {
                if let Input::Replaced(body) = &mut state.request.input {
                    (state.unread, state.is_read) = (mem::take(body), true);
                }
                Ok(true)
            }
            Next::Answer(response) => {
                state.is_finished = true;
                response.send(state.request.gateway.clone()).map_err(|error| error.to_string())?;
                Ok(false)
            }
        }
    }

    pub(crate) fn after(&self, result: std::result::Result<(), String>) -> std::result::Result<(), String> {
        let is_open = {
            let state = self.state.borrow();
            state.is_started && !state.is_finished && state.body != Body::Same
        };
        if result.is_ok() && is_open {
            // The host knows whether the client is still there.
            let _ = self.write(&[], true);
        }
        let mut outcome = Outcome { result, below: &self.below };
        (Methods::<F>::new().after)(&mut self.filter.borrow_mut(), &mut outcome);
        outcome.result
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.state.borrow().request.seen(name).map(crate::Value::into_bytes)
    }

    pub(crate) fn copy_all(&self) -> Fields {
        self.state.borrow().request.seen_all()
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn headers(&self) -> Fields {
        self.state.borrow().request.seen_headers()
    }

    pub(crate) fn log(&self, line: Vec<u8>) {
        let line = self.filter.borrow_mut().log(line);
        if let Some(line) = line {
            self.below.log(&line);
        }
    }

    /// Changes a head, and notes what happens to the body.
    fn change(&self, status: &str, headers: &[(&str, &[u8])]) -> Head {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_vec().into()));
        let mut head = Head { status: status.to_owned(), headers: headers.collect() };
        let body = (Methods::<F>::new().head)(&mut self.filter.borrow_mut(), &mut head);
        if body == Body::Changed {
            head.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"));
        }
        self.state.borrow_mut().body = body;
        head
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn respond(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> std::result::Result<(), StartError> {
        let head = self.change(status, headers);
        if self.state.borrow().body == Body::Same {
            let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let responded = self.below.respond(&head.status, &headers, body);
            if responded.is_ok() {
                let mut state = self.state.borrow_mut();
                (state.is_started, state.is_finished) = (true, true);
            }
            return responded;
        }
        self.start(&head, None)?;
        // `respond` does not report what happens to the body.
        let _ = self.write(body, true);
        Ok(())
    }

    fn start(&self, head: &Head, exc_info: Option<&[u8]>) -> std::result::Result<(), StartError> {
        let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        self.below.start_response(&head.status, &headers, exc_info)?;
        self.state.borrow_mut().is_started = true;
        Ok(())
    }
}

/// What the handler calls.
impl<F: Filter> Layer for Stage<F> {
    fn below(&self) -> &Below {
        &self.below
    }

    fn read(&self, max: u32) -> std::result::Result<Vec<u8>, ReadError> {
        if self.state.borrow().request.input == Input::Same {
            return self.below.read(max);
        }
        if max == 0 {
            return Ok(Vec::new());
        }
        loop {
            let state = &mut *self.state.borrow_mut();
            if !state.unread.is_empty() {
                let rest = state.unread.split_off(state.unread.len().min(max as usize));
                return Ok(mem::replace(&mut state.unread, rest));
            }
            if state.is_read {
                return Ok(Vec::new());
            }
            let chunk = self.below.read(max)?;
            state.is_read = chunk.is_empty();
            state.unread =
                if state.is_read { self.filter.borrow_mut().read_end() } else { self.filter.borrow_mut().read(chunk) };
        }
    }

    fn trailers(&self) -> Fields {
        match self.state.borrow().request.input {
            Input::Replaced(_) => Vec::new(),
            Input::Same | Input::Changed => self.below.trailers(),
        }
    }

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> std::result::Result<(), StartError> {
        self.start(&self.change(status, headers), exc_info)
    }

    fn write(&self, chunk: &[u8], last: bool) -> std::result::Result<(), WriteError> {
        let (body, is_started, is_finished) = {
            let state = self.state.borrow();
            (state.body, state.is_started, state.is_finished)
        };
        // What is wrong, the host says best.
        if body == Body::Same || !is_started || is_finished {
            let written = self.below.write(chunk, last);
            self.state.borrow_mut().is_finished |= last && written.is_ok();
            return written;
        }
        let mut output = Output { below: &self.below, kept: None, keeps: last };
        if !chunk.is_empty() {
            (Methods::<F>::new().write)(&mut self.filter.borrow_mut(), chunk, &mut output)?;
        }
        if !last {
            return Ok(());
        }
        self.state.borrow_mut().is_finished = true;
        self.filter.borrow_mut().end(&mut output)?;
        self.below.write(&output.kept.take().unwrap_or_default(), true)
    }
}
