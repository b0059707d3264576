//! The handler: what answers exchanges. A component that is loaded once and called once per exchange, each time in a fresh
//! instance; or a closure in this process, for embedding and for tests of all that is around a handler.
//!
//! Only this room and those below know wasmtime.

mod anatomy;
mod bindings;
mod cache;
mod compile;
mod component;
mod engine;
mod host;
mod journal;
mod lanes;
mod renewal;
mod sandbox;
mod ticker;
mod waiting;
mod world;

use std::{borrow::Cow, future::Future, path::Path, pin::Pin, sync::Arc};

pub(crate) use self::cache::{cache_directory, is_open_to};
use self::component::Component;
pub use self::{
    anatomy::{Anatomy, Module},
    compile::compile_only,
    component::{Inspected, inspect, read},
    engine::{Engine, INSTANCES_MAX, Pool},
    lanes::Ongoing,
    world::HANDLER,
};
use crate::{
    config::{Allowance, Gateway, Grants, Limits},
    fault::{Fault, Limit},
    gateway::{
        environ::{self, Facts, Peer, Var},
        forwarded::Forwarded,
        input::Input,
        mounts::Mount,
        request::RequestHead,
        response::Writer,
    },
    record::Record,
    roster::Running,
    stack::Stack,
};

/// What answers exchanges.
pub struct Handler {
    kind: Kind,
    allowance: Arc<Allowance>,
}

enum Kind {
    Component(Arc<Component>),
    Native(Arc<Native>),
}

/// A handler in this process: it answers one exchange, and gives an error for an exception that left it.
///
/// Unlike a component it is neither fresh for every request nor limited in anything but time, so it is for code that is
/// trusted.
pub type Native = dyn for<'a> Fn(&'a mut Call) -> Answering<'a> + Send + Sync;

/// A [`Native`] handler at work.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// One exchange, as the handler gets to see it.
pub struct Call {
    /// The exchange's id.
    pub id: u64,
    /// The request's head.
    pub request: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// Where the handler is mounted.
    pub mount: Mount,
    /// What a trusted proxy said of the connection.
    pub forwarded: Forwarded,
    /// The length of the request's body, if it is known.
    pub content_length: Option<u64>,
    /// What the gateway does with requests.
    pub gateway: Arc<Gateway>,
    /// What the handler may use and touch.
    pub allowance: Arc<Allowance>,
    /// The request's body.
    pub input: Input,
    /// Where the response goes.
    pub writer: Writer,
    /// Who is told what happens.
    pub record: Record,
    /// The environ, once somebody has asked for it.
    pub environ: Option<Vec<Var>>,
}

impl Call {
    /// The environ, made when it is first asked for.
    pub fn environ(&mut self) -> &[Var] {
        self.environ.get_or_insert_with(|| {
            let facts = Facts {
                peer: self.peer,
                server_name: self.gateway.server_name.as_deref(),
                mount: &self.mount,
                forwarded: self.forwarded,
                content_length: self.content_length,
                is_buffered: self.gateway.buffer_body > 0,
                id: self.id,
                timeout: self.allowance.limits.timeout,
                env: &self.allowance.grants.env,
            };
            environ::build(&self.request, &facts)
        })
    }

    /// Says how a handler ended that returned, in the gateway's words.
    ///
    /// # Errors
    ///
    /// The exception that left it, or what it still owes.
    fn conclude(&mut self, returned: Result<(), String>) -> Result<(), Fault> {
        match returned {
            Ok(()) => self.writer.end(),
            Err(exception) => Err(self.blame(Fault::Exception(exception))),
        }
    }

    /// The fault, unless the handler has given up on a body which is broken: then it is not to blame (rule I6).
    fn blame(&self, fault: Fault) -> Fault {
        self.input.failure().map_or(fault, Fault::from)
    }
}

impl Handler {
    /// Reads, compiles and links a component. Takes seconds for a large one that is not in the compile cache.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than `size` octets, is not a component, or is one of another world: all that is missing is named.
    pub fn load(
        engine: &Arc<Engine>,
        path: &Path,
        size: u64,
        limits: &Limits,
        grants: &Grants,
    ) -> anyhow::Result<Self> {
        Self::compile(engine, path, read(path, size)?.into(), limits, grants)
    }

    /// The same for a component that is in memory already, of that name.
    ///
    /// # Errors
    ///
    /// It is not a component, or one of another world.
    pub fn compile(
        engine: &Arc<Engine>,
        name: &Path,
        octets: Cow<'static, [u8]>,
        limits: &Limits,
        grants: &Grants,
    ) -> anyhow::Result<Self> {
        Ok(Self::new(Kind::Component(Component::compile(engine, name, octets, limits)?), limits, grants))
    }

    /// A handler in this process.
    #[must_use]
    pub fn native(
        answer: impl for<'a> Fn(&'a mut Call) -> Answering<'a> + Send + Sync + 'static,
        limits: &Limits,
        grants: &Grants,
    ) -> Self {
        Self::new(Kind::Native(Arc::new(answer)), limits, grants)
    }

    fn new(kind: Kind, limits: &Limits, grants: &Grants) -> Self {
        let allowance = Allowance { limits: limits.clone(), grants: grants.clone() };
        Self { kind, allowance: Arc::new(allowance) }
    }

    /// What each exchange may use and touch.
    #[must_use]
    pub fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    /// Has an exchange answered: makes an instance, has it handle the exchange, and throws it away.
    ///
    /// The response has ended when the call has, one way or the other. Must be called from within a tokio runtime.
    pub fn call(&self, call: Call, running: Running) -> Ongoing {
        let deadline = running.watch().began + call.allowance.limits.timeout;
        match &self.kind {
            Kind::Component(component) => component.call(call, deadline, running),
            Kind::Native(answer) => {
                let answer = Arc::clone(answer);
                Ongoing::new(None, running, async move {
                    let mut call = call;
                    let answered = tokio::time::timeout_at(deadline.into(), answer(&mut call)).await;
                    let overdue = Fault::TimedOut { limit: Limit::Wall, wait: None, stack: Stack::default() };
                    answered.map_or(Err(overdue), |returned| call.conclude(returned))
                })
            }
        }
    }
}
