//! The interface between an exchange and the handler that answers it.

pub(crate) mod lanes;

use std::sync::Arc;

use wasmserve_gateway::{
    environ::{self, Facts, Var},
    forwarded::Forwarded,
    input::Input,
    mounts::Mount,
    response::Writer,
};

use self::lanes::CallFuture;
use crate::{
    admission::Slot,
    base::{grants::Allowance, options::GatewayOptions},
    event::{Event, Events, Stream, exchange::Exchange},
    fault::Fault,
};

/// Answers exchanges. Each kind of handler in `kind/` implements it.
pub trait Handler: Send + Sync {
    /// What each exchange may use and access.
    fn allowance(&self) -> &Arc<Allowance>;

    /// How many bytes of a body without a declared length to read before the handler starts: if that is all of the body,
    /// the handler gets its length (rule G8).
    fn measures(&self) -> u64 {
        0
    }

    /// Answers one exchange with a fresh instance, which is dropped afterwards.
    ///
    /// Nothing runs before the future is polled. When the future is ready or dropped, the response has ended too. Must
    /// be called from within a tokio runtime.
    fn call(&self, call: Call, slot: Slot) -> CallFuture;

    /// Ends what only waits for news, because the server is about to stop.
    fn drain(&self) {}
}

/// One exchange, as seen by the handler.
pub struct Call {
    /// The exchange.
    pub exchange: Exchange,
    /// Where the handler is mounted.
    pub mount: Mount,
    /// What a trusted proxy reported about the connection.
    pub forwarded: Forwarded,
    /// The length of the request body, if known.
    pub content_length: Option<u64>,
    /// How the gateway treats requests.
    pub gateway: Arc<GatewayOptions>,
    /// What the handler may use and access.
    pub allowance: Arc<Allowance>,
    /// The request body.
    pub input: Input,
    /// Writes the response.
    pub writer: Writer,
    /// Receives log lines and notes.
    pub events: Arc<Events>,
    /// The environ, once it has been built.
    pub environ: Option<Vec<Var>>,
}

impl Call {
    /// The environ, built on first use.
    pub fn environ(&mut self) -> &[Var] {
        self.environ.get_or_insert_with(|| {
            let facts = Facts {
                peer: self.exchange.peer,
                server_name: self.gateway.server_name.as_deref(),
                mount: &self.mount,
                forwarded: self.forwarded,
                content_length: self.content_length,
                id: self.exchange.shown_id(),
                timeout: self.allowance.limits.timeout,
                env: &self.allowance.grants.env,
            };
            environ::build(&self.exchange.head, &facts)
        })
    }

    /// Writes a line of arbitrary bytes, without a line end, to the log of the exchange.
    pub fn log(&self, stream: Stream, line: &[u8]) {
        if let Some(recording) = &self.exchange.recording {
            recording.line(stream.label(), line);
        }
        self.events.emit(&Event::Line { id: self.exchange.id, stream, line });
    }

    /// Checks the result of a handler that returned.
    ///
    /// # Errors
    ///
    /// The uncaught exception, or the part of the response that is missing.
    pub(crate) fn conclude(&mut self, returned: Result<(), String>) -> Result<(), Fault> {
        match returned {
            Ok(()) => Ok(self.writer.end()?),
            Err(exception) => Err(self.blame(Fault::Exception(exception))),
        }
    }

    /// Returns `fault`, or the failure of the request body if the handler ran into one: then it is not to blame (rule
    /// I6).
    pub(crate) fn blame(&self, fault: Fault) -> Fault {
        self.input.failure().map_or(fault, Fault::from)
    }
}
