//! The seam between an exchange and what answers it.

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
    event::{Events, exchange::Exchange},
    fault::Fault,
};

/// What answers exchanges: a kind of handler implements it in `kind/`.
pub trait Handler: Send + Sync {
    /// What each exchange may use and touch.
    fn allowance(&self) -> &Arc<Allowance>;

    /// Has an exchange answered by what is fresh for it, and thrown away after it.
    ///
    /// Nothing runs before the future is polled. The response has ended when the call has, one way or the other. Must be called
    /// from within a tokio runtime.
    fn call(&self, call: Call, slot: Slot) -> CallFuture;
}

/// One exchange, as the handler gets to see it.
pub struct Call {
    /// The exchange.
    pub exchange: Exchange,
    /// Where the handler is mounted.
    pub mount: Mount,
    /// What a trusted proxy said of the connection.
    pub forwarded: Forwarded,
    /// The length of the request's body, if it is known.
    pub content_length: Option<u64>,
    /// What the gateway does with requests.
    pub gateway: Arc<GatewayOptions>,
    /// What the handler may use and touch.
    pub allowance: Arc<Allowance>,
    /// The request's body.
    pub input: Input,
    /// Where the response goes.
    pub writer: Writer,
    /// Where lines and notes go.
    pub events: Arc<Events>,
    /// The environ, once it was asked for.
    pub environ: Option<Vec<Var>>,
}

impl Call {
    /// The environ, made when it is first asked for.
    pub fn environ(&mut self) -> &[Var] {
        self.environ.get_or_insert_with(|| {
            let facts = Facts {
                peer: self.exchange.peer,
                server_name: self.gateway.server_name.as_deref(),
                mount: &self.mount,
                forwarded: self.forwarded,
                content_length: self.content_length,
                is_buffered: self.gateway.buffer_body > 0,
                id: self.exchange.id,
                timeout: self.allowance.limits.timeout,
                env: &self.allowance.grants.env,
            };
            environ::build(&self.exchange.head, &facts)
        })
    }

    /// How a handler ended that returned.
    ///
    /// # Errors
    ///
    /// The exception that left it, or what it still owes.
    pub(crate) fn conclude(&mut self, returned: Result<(), String>) -> Result<(), Fault> {
        match returned {
            Ok(()) => Ok(self.writer.end()?),
            Err(exception) => Err(self.blame(Fault::Exception(exception))),
        }
    }

    /// The fault, unless the handler has given up on a body which is broken: then it is not to blame (rule I6).
    pub(crate) fn blame(&self, fault: Fault) -> Fault {
        self.input.failure().map_or(fault, Fault::from)
    }
}
