//! The world `wasmserve:gateway/application`: what a handler imports, as methods of its exchange.

use self::wasmserve::gateway::{
    environ, errors,
    input::{self, ReadError},
    response::{self, StartError, WriteError},
    types,
};
use super::Outgoing;
use wasmserve_gateway as gateway;

wasmtime::component::bindgen!({ path: "../wit", world: "application" });

type Fields = Vec<(String, Vec<u8>)>;

pub(super) struct Exchange {
    pub(super) head: gateway::request::RequestHead,
    pub(super) environ: Vec<gateway::environ::Var>,
    pub(super) input: gateway::input::Input,
    pub(super) writer: gateway::response::Writer,
    pub(super) outgoing: Outgoing,
}

impl environ::Host for Exchange {
    fn get(&mut self, name: String) -> Option<Vec<u8>> {
        gateway::environ::get(&self.environ, &name).map(|value| value.to_vec())
    }

    fn copy_all(&mut self) -> Fields {
        gateway::environ::copy_all(&self.environ)
    }

    fn headers(&mut self) -> Fields {
        self.head.headers()
    }

    fn raw_head(&mut self) -> Vec<u8> {
        self.head.raw().to_vec()
    }
}

impl input::Host for Exchange {
    fn read(&mut self, max: u32) -> Result<Vec<u8>, ReadError> {
        Ok(self.input.read_blocking(max as usize)?.into())
    }

    fn trailers(&mut self) -> Fields {
        self.input.trailers().to_vec()
    }
}

impl errors::Host for Exchange {
    fn log(&mut self, line: Vec<u8>) {
        eprintln!("{}", gateway::escape::escape(&line));
    }
}

impl response::Host for Exchange {
    fn start_response(&mut self, status: String, headers: Fields, exc_info: Option<Vec<u8>>) -> Result<(), StartError> {
        Ok(self.writer.start(&status, headers, exc_info)?)
    }

    fn write(&mut self, chunk: Vec<u8>) -> Result<(), WriteError> {
        self.writer.push(chunk.into())?;
        self.outgoing.send();
        Ok(())
    }

    fn finish(&mut self, last: Vec<u8>) -> Result<(), WriteError> {
        let finished = self.writer.finish(last.into());
        self.outgoing.send();
        Ok(finished?)
    }

    fn respond(&mut self, status: String, headers: Fields, body: Vec<u8>) -> Result<(), StartError> {
        self.writer.respond(&status, headers, body.into())?;
        self.outgoing.send();
        Ok(())
    }

    fn connected(&mut self) -> bool {
        self.writer.is_connected()
    }
}

impl types::Host for Exchange {}

/// Each error of the gateway is one of the contract with the same name.
macro_rules! same {
    ($($error:ident from $module:ident { $($name:ident $(($text:ident))?),* })*) => {$(
        impl From<gateway::$module::$error> for $error {
            fn from(error: gateway::$module::$error) -> Self {
                match error { $(gateway::$module::$error::$name $(($text))? => Self::$name $(($text))?),* }
            }
        }
    )*};
}

same! {
    ReadError from input { Disconnected, Malformed, TooLarge, TimedOut }
    StartError from head { AlreadyStarted, HeadersSent, BadStatus, BadHeader(text), HopByHop(text) }
    WriteError from response { NotStarted, Disconnected, PastContentLength, TimedOut }
}
