//! A filter between the host, or another filter, and the handler behind it.

use std::{cell::RefCell, hint::black_box, mem};

use super::{Body, Filter, Next, Options, Request, request::Input};
use crate::{
    Environ, Head, ReadError, Result, StartError, WriteError,
    gateway::{Below, Fields, Gateway, Layer},
};

/// How many bytes at the end of a body are kept until it has ended.
const KEPT_MAX: usize = 64 << 10;

/// The way to the client: where [`Filter::write`] writes to.
pub struct Output<'a> {
    below: &'a Below,
    /// What may be the last chunk, and is kept until that is known: then the host knows the length of a short body.
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
        if !self.keeps {
            return self.below.write(chunk, false);
        }
        if self.kept.as_ref().is_some_and(|kept| kept.len() + chunk.len() > KEPT_MAX) {
            self.flush()?;
        }
        self.kept.get_or_insert_with(Vec::new).extend_from_slice(chunk);
        Ok(())
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
    /// How many bytes the handler has announced and not written yet, if its body is changed: the host does not know it then.
    missing: Option<u64>,
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
            missing: None,
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
        let missing = self.state.borrow().missing.filter(|missing| *missing > 0);
        let result = result.and_then(|()| match missing {
            Some(missing) => Err(format!("the handler wrote {missing} bytes less than its Content-Length")),
            None => Ok(()),
        });
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
        let mut missing = None;
        if body == Body::Changed {
            let has_body = self.state.borrow().request.method() != "HEAD"
                && !["204", "205", "304"].iter().any(|without| status.starts_with(without));
            let length = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
            missing = length.and_then(|(_, value)| value.as_str().parse().ok()).filter(|_| has_body);
            head.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"));
        }
        let state = &mut *self.state.borrow_mut();
        (state.body, state.missing) = (body, missing);
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
        let room =
            self.state.borrow().missing.map_or(usize::MAX, |missing| usize::try_from(missing).unwrap_or(usize::MAX));
        let (chunk, is_past) = (&chunk[..chunk.len().min(room)], chunk.len() > room);
        if let Some(missing) = &mut self.state.borrow_mut().missing {
            *missing -= chunk.len() as u64;
        }
        let mut output = Output { below: &self.below, kept: None, keeps: last };
        if !chunk.is_empty() {
            (Methods::<F>::new().write)(&mut self.filter.borrow_mut(), chunk, &mut output)?;
        }
        if is_past {
            return output.flush().and(Err(WriteError::PastContentLength));
        }
        // Of a body that is too short, the end must not look like one: `after` reports it.
        if !last || self.state.borrow().missing.is_some_and(|missing| missing > 0) {
            return output.flush();
        }
        self.state.borrow_mut().is_finished = true;
        self.filter.borrow_mut().end(&mut output)?;
        self.below.write(&output.kept.take().unwrap_or_default(), true)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Environ, Result, StartResponse,
        filter::{Body, Filter, Head, Next, Options, Outcome, Output, Request, WriteError},
        testing::{Answer, call, call_behind},
        validator,
    };

    struct Nothing;

    impl Filter for Nothing {
        fn new(_options: &Options) -> Result<Self> {
            Ok(Self)
        }
    }

    /// Doubles each byte of bodies.
    struct Doubles;

    impl Filter for Doubles {
        fn new(_options: &Options) -> Result<Self> {
            Ok(Self)
        }

        fn before(&mut self, request: &mut Request) -> Result<Next> {
            request.change_input();
            Ok(Next::Forward)
        }

        fn read(&mut self, chunk: Vec<u8>) -> Vec<u8> {
            chunk.iter().flat_map(|byte| [*byte; 2]).collect()
        }

        fn head(&mut self, _head: &mut Head) -> Body {
            Body::Changed
        }

        fn write(&mut self, chunk: &[u8], output: &mut Output) -> Result<(), WriteError> {
            output.write(self.read(chunk.to_vec()))
        }

        fn after(&mut self, outcome: &mut Outcome) {
            if outcome.result.as_ref().is_err_and(|text| text == "sorry") {
                let _ = outcome.answer("503 Sorry", &[], "sorry");
            }
        }
    }

    /// Announces a length, and writes these chunks.
    fn writes(length: &'static str, chunks: &[&'static str]) -> impl Fn(Environ, StartResponse) -> Result<()> {
        let chunks = chunks.to_vec();
        move |_environ: Environ, start_response: StartResponse| {
            let write = start_response("200 OK", &[("Content-Length", length)]);
            for chunk in &chunks {
                // The host reports the failure of a write.
                let _ = write(chunk.as_bytes());
            }
            Ok(())
        }
    }

    fn doubled(length: &'static str, chunks: &[&'static str]) -> Answer {
        call_behind::<Doubles, _>(&[], writes(length, chunks), Environ::for_test([]))
    }

    #[test]
    fn a_filter_without_methods_changes_nothing() {
        let app = |environ: Environ| environ.input().read_all(100);
        let ask = || Environ::for_test([]).with_input("body").with_chunks_of(3);
        let (plain, behind) = (call(app, ask()), call_behind::<Nothing, _>(&[], validator(app), ask()));
        assert_eq!(format!("{plain:?}"), format!("{behind:?}"));
    }

    #[test]
    fn a_changed_body_has_another_length() {
        let answer = doubled("4", &["ab", "cd"]);
        assert_eq!((&*answer.body, answer.fault), (&b"aabbccdd"[..], None));
        assert!(answer.headers.is_empty(), "{:?}", answer.headers);
        let echo = |environ: Environ| environ.input().read_all(100);
        let answer = call_behind::<Doubles, _>(&[], echo, Environ::for_test([]).with_input("ab").with_chunks_of(1));
        assert_eq!(answer.body, b"aaaabbbb");
    }

    #[test]
    fn a_body_that_is_too_short_or_too_long_is_still_noticed() {
        let short = doubled("5", &["ab"]);
        let why = "the handler wrote 3 bytes less than its Content-Length";
        assert_eq!((&*short.body, short.fault.as_deref()), (&b"aabb"[..], Some(why)));
        assert_eq!(doubled("3", &["ab", "cd"]).body, b"aabbcc");
        let head = Environ::for_test([("REQUEST_METHOD", "HEAD")]);
        assert_eq!(call_behind::<Doubles, _>(&[], writes("5", &[]), head).fault, None);
    }

    #[test]
    fn a_filter_answers_in_the_stead_of_a_handler_that_failed() {
        let fails = |_: Environ| Err::<(), _>("sorry");
        let answer = call_behind::<Doubles, _>(&[], fails, Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body, answer.fault), ("503 Sorry", &b"sorry"[..], None));
    }
}
