//! A filter that does what its options say.

use std::{thread, time::Duration};

use wasmserve_guest::{filter::*, prelude::*};

filter!(AsTold);

/// What to do; each part is an option with the same name.
struct AsTold {
    /// Adds a word to a variable and to a field of the response, and to the log.
    mark: Option<String>,
    /// Writes the body of the response in capital letters, and the mark behind it.
    upper: bool,
    /// Has the handler read the body of the request in capital letters, and `!` behind it.
    input: bool,
    /// Has the handler read this instead.
    replace: Option<String>,
    /// Answers with this status.
    answer: Option<u16>,
    /// Fails, or worse, at this place.
    err: String,
    panic: String,
    /// Answers in the handler's stead if it fails.
    recover: bool,
    /// Takes so many MiB of memory.
    hog: usize,
    sleep: bool,
    spin: bool,
}

impl Filter for AsTold {
    fn new(options: &Options) -> Result<Self> {
        let text = |name| options.get(name).unwrap_or_default().to_owned();
        if options.flag("refuse")? {
            return Err("told to refuse".into());
        }
        Ok(Self {
            mark: options.get("mark").map(str::to_owned),
            upper: options.flag("upper")?,
            input: options.flag("input")?,
            replace: options.get("replace").map(str::to_owned),
            answer: options.parse("answer")?,
            err: text("err"),
            panic: text("panic"),
            recover: options.flag("recover")?,
            hog: options.parse("hog")?.unwrap_or(0),
            sleep: options.flag("sleep")?,
            spin: options.flag("spin")?,
        })
    }

    fn before(&mut self, request: &mut Request) -> Result<Next> {
        self.fail("before");
        if self.err == "before" {
            return Err("told to fail".into());
        }
        let hoard: Vec<Vec<u8>> = (0..self.hog).map(|_| vec![1; 1 << 20]).collect();
        if self.spin {
            loop {
                std::hint::spin_loop();
            }
        }
        if self.sleep {
            thread::sleep(Duration::from_secs(3600));
        }
        if let Some(mark) = &self.mark {
            let marks = request.get("HTTP_X_MARKS").unwrap_or_default();
            request.set("HTTP_X_MARKS", format!("{}{mark}{}", marks.as_str(), hoard.len()));
            request.remove("HTTP_X_SECRET");
        }
        if self.input {
            request.change_input();
        }
        if let Some(body) = self.replace.take() {
            request.replace_input(body);
        }
        match self.answer {
            Some(status) => Ok(Next::Answer(Response::text("answered\n").with_status(status))),
            None => Ok(Next::Forward),
        }
    }

    fn read(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        chunk.to_ascii_uppercase()
    }

    fn read_end(&mut self) -> Vec<u8> {
        b"!".to_vec()
    }

    fn head(&mut self, head: &mut Head) -> Body {
        self.fail("head");
        if let Some(mark) = &self.mark {
            head.headers.push(("X-Layer".to_owned(), mark.clone().into()));
        }
        if self.upper { Body::Changed } else { Body::Same }
    }

    fn write(&mut self, chunk: &[u8], output: &mut Output) -> Result<(), WriteError> {
        self.fail("write");
        output.write(chunk.to_ascii_uppercase())
    }

    fn end(&mut self, output: &mut Output) -> Result<(), WriteError> {
        output.write(self.mark.as_deref().unwrap_or_default())
    }

    fn log(&mut self, line: Vec<u8>) -> Option<Vec<u8>> {
        match &self.mark {
            Some(mark) => Some([mark.as_bytes(), b": ", &line].concat()),
            None => Some(line),
        }
    }

    fn after(&mut self, outcome: &mut Outcome) {
        self.fail("after");
        if self.err == "after" {
            outcome.result = Err("told to fail afterwards".to_owned());
        }
        if let Err(text) = outcome.result.clone()
            && self.recover
        {
            // The head may have been sent.
            let _ = outcome.answer("503 Recovered", &[("Content-Type", "text/plain")], text);
        }
    }
}

impl AsTold {
    #[inline(never)]
    fn fail(&self, place: &str) {
        assert!(self.panic != place, "told to panic in {place}");
    }
}
