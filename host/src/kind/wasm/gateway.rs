//! The world `wasmserve:gateway`: links its imports to the gateway and calls its export.

use std::{future::Future, mem, path::Path};

use bytes::Bytes;
use wasmserve_gateway::{environ, field::Field, head::StartError, input::ReadError, response::WriteError};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{
        Component, HasSelf, InstancePre, Linker, Type,
        types::{ComponentFunc, ComponentItem},
    },
};

use super::{
    bindings::{
        ApplicationPre,
        wasmserve::gateway::{environ as wit_environ, errors, input as wit_input, response as wit_response},
    },
    guest::Guest,
    repeat,
    settings::Abi,
    wait,
    world::World,
};
use crate::event::Stream;

/// The interface that a handler exports.
pub(crate) const HANDLER: &str = "wasmserve:gateway/handler@0.1.0";

/// The gateway's world.
pub(super) enum Gateway {}

impl World for Gateway {
    type Pre = ApplicationPre<Guest>;

    const ABI: Abi = Abi::Sync;

    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        wit_environ::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
        errors::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
        link_input(linker)?;
        link_response(linker)
    }

    fn missing_exports(component: &Component) -> Vec<String> {
        let (engine, world) = (component.engine(), component.component_type());
        let handler = world.get_export(engine, HANDLER).map(|export| export.ty);
        if let Some(ComponentItem::ComponentInstance(handler)) = handler
            && let Some(ComponentItem::ComponentFunc(handle)) =
                handler.get_export(engine, "handle").map(|export| export.ty)
            && is_handle(&handle)
        {
            return Vec::new();
        }
        vec![format!("it does not export `{HANDLER}` with `handle: func() -> result<_, string>`")]
    }

    fn prepare(pre: InstancePre<Guest>, _: &Path) -> wasmtime::Result<Self::Pre> {
        ApplicationPre::new(pre)
    }

    fn engine(pre: &Self::Pre) -> &Engine {
        pre.engine()
    }

    async fn answer(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        let instance = pre.instantiate_async(&mut *store).await?;
        instance.wasmserve_gateway_handler().call_handle(store).await
    }
}

fn is_handle(function: &ComponentFunc) -> bool {
    let mut results = function.results();
    let answers = matches!(results.next(), Some(Type::Result(result))
        if result.ok().is_none() && matches!(result.err(), Some(Type::String)));
    answers && results.next().is_none() && function.params().next().is_none()
}

impl wit_environ::Host for Guest {
    fn get(&mut self, name: String) -> Option<Vec<u8>> {
        let value = environ::get(self.call.environ(), &name).map(|value| value.to_vec());
        if value.is_none() {
            self.note_missing_variable(&name);
        }
        value
    }

    fn copy_all(&mut self) -> Vec<Field> {
        environ::copy_all(self.call.environ())
    }

    fn headers(&mut self) -> Vec<Field> {
        self.call.exchange.head.headers()
    }

    fn raw_head(&mut self) -> Vec<u8> {
        self.call.exchange.head.raw().to_vec()
    }
}

impl errors::Host for Guest {
    fn log(&mut self, line: Vec<u8>) {
        self.guest_log.write(Stream::Log, &line);
    }
}

type Caller<'a> = StoreContextMut<'a, Guest>;
type Waiting<'a, T> = Box<dyn Future<Output = wasmtime::Result<(T,)>> + Send + 'a>;

/// This interface and the response are linked by hand, because a waiting function needs access to its store.
fn link_input(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Read = Result<Vec<u8>, wit_input::ReadError>;

    let mut input = linker.instance("wasmserve:gateway/input@0.1.0")?;
    input.func_wrap_async("read", |mut store: Caller<'_>, (max,): (u32,)| -> Waiting<'_, Read> {
        Box::new(async move {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            // Others must be able to look into the store during the wait, so the input is taken out of it.
            let mut input = mem::take(&mut store.data_mut().call.input);
            let recording = store.data().call.exchange.recording.clone();
            let reading = repeat::read(&mut input, recording.as_ref(), max);
            let read = wait::wait(&mut store, "wasmserve:gateway/input.read", reading).await;
            store.data_mut().call.input = input;
            Ok((read?.map(Vec::from).map_err(read_error),))
        })
    })?;
    input.func_wrap("trailers", |store: Caller<'_>, (): ()| Ok((store.data().call.input.trailers().to_vec(),)))
}

fn link_response(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Started = Result<(), wit_response::StartError>;
    type Written = Result<(), wit_response::WriteError>;

    let mut response = linker.instance("wasmserve:gateway/response@0.1.0")?;
    response.func_wrap(
        "start-response",
        |mut store: Caller<'_>, (status, headers, exc_info): (String, Vec<Field>, Option<Vec<u8>>)| {
            let started: Started = store.data_mut().call.writer.start(&status, headers, exc_info).map_err(start_error);
            Ok((started,))
        },
    )?;
    response.func_wrap_async("write", |mut store: Caller<'_>, (chunk,): (Vec<u8>,)| -> Waiting<'_, Written> {
        Box::new(async move {
            let writer = &mut store.data_mut().call.writer;
            if let Err(error) = writer.push(Bytes::from(chunk)) {
                return Ok((Err(write_error(error)),));
            }
            let space = writer.space();
            let written = wait::wait(&mut store, "wasmserve:gateway/response.write", space).await;
            Ok((written?.map_err(write_error),))
        })
    })?;
    response.func_wrap("finish", |mut store: Caller<'_>, (last,): (Vec<u8>,)| {
        let finished: Written = store.data_mut().call.writer.finish(Bytes::from(last)).map_err(write_error);
        Ok((finished,))
    })?;
    response.func_wrap(
        "respond",
        |mut store: Caller<'_>, (status, headers, body): (String, Vec<Field>, Vec<u8>)| {
            let writer = &mut store.data_mut().call.writer;
            let responded: Started = writer.respond(&status, headers, body.into()).map_err(start_error);
            Ok((responded,))
        },
    )?;
    response.func_wrap("connected", |store: Caller<'_>, (): ()| Ok((store.data().call.writer.is_connected(),)))
}

fn read_error(error: ReadError) -> wit_input::ReadError {
    match error {
        ReadError::Disconnected => wit_input::ReadError::Disconnected,
        ReadError::Malformed => wit_input::ReadError::Malformed,
        ReadError::TooLarge => wit_input::ReadError::TooLarge,
        ReadError::TimedOut => wit_input::ReadError::TimedOut,
    }
}

fn start_error(error: StartError) -> wit_response::StartError {
    match error {
        StartError::AlreadyStarted => wit_response::StartError::AlreadyStarted,
        StartError::HeadersSent => wit_response::StartError::HeadersSent,
        StartError::BadStatus => wit_response::StartError::BadStatus,
        StartError::BadHeader(what) => wit_response::StartError::BadHeader(what),
        StartError::HopByHop(name) => wit_response::StartError::HopByHop(name),
    }
}

fn write_error(error: WriteError) -> wit_response::WriteError {
    match error {
        WriteError::NotStarted => wit_response::WriteError::NotStarted,
        WriteError::Disconnected => wit_response::WriteError::Disconnected,
        WriteError::PastContentLength => wit_response::WriteError::PastContentLength,
        WriteError::TimedOut => wit_response::WriteError::TimedOut,
    }
}
