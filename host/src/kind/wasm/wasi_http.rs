//! The world `wasi:http/proxy` of WASI 0.2: the request is a resource, and so is the response that the handler sets.

pub(super) mod relay;
pub(super) mod request;

use std::{
    future::{Future as _, poll_fn},
    mem,
    path::Path,
    pin::pin,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;
use wasmserve_gateway::response::Writer;
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, InstancePre, Linker, Resource},
};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::{
    WasiHttpView as _,
    p2::bindings::{
        ProxyPre,
        http::types::{Host as _, Scheme},
    },
};

use self::relay::Relay;
use super::{explain::linked_name, guest::Guest, settings::Abi, world::World};
use crate::base::lock::lock;

/// The interface that a handler of this world exports, without the last part of its version.
pub(super) const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// The world `wasi:http/proxy`.
pub(super) enum Proxy {}

impl World for Proxy {
    type Pre = ProxyPre<Guest>;

    const ABI: Abi = Abi::Sync;

    /// Its imports are WASI's own.
    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        linker.allow_shadowing(true);
        linker.instance(&linked_name("wasi:http/types@0.2.0"))?.func_wrap(
            "http-error-code",
            |mut store: StoreContextMut<'_, Guest>, (error,): (Resource<wasmtime::Error>,)| {
                let mut http = store.data_mut().http();
                let code = request::code(http.table.get(&error)?);
                Ok((code.map_or_else(|| http.http_error_code(error), |code| Ok(Some(code)))?,))
            },
        )?;
        linker.allow_shadowing(false);
        Ok(())
    }

    fn missing_exports(component: &Component) -> Vec<String> {
        let (engine, world) = (component.engine(), component.component_type());
        let exports = world.exports(engine).any(|(name, _)| name.starts_with(HANDLER));
        if exports { Vec::new() } else { vec![format!("it does not export `{HANDLER}x`")] }
    }

    fn prepare(pre: InstancePre<Guest>, _: &Path) -> wasmtime::Result<Self::Pre> {
        ProxyPre::new(pre)
    }

    fn engine(pre: &Self::Pre) -> &Engine {
        pre.engine()
    }

    async fn answer(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        let guest = store.data_mut();
        let stats = Arc::clone(&guest.stats);
        // Both are used while the instance runs and has the store, so they are taken out of it.
        let input = Arc::new(Mutex::new(mem::take(&mut guest.call.input)));
        let mut writer = mem::take(&mut guest.call.writer);
        let request = request::request(&guest.call, &input)?;
        let is_https = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
        let scheme = if is_https { Scheme::Https } else { Scheme::Http };
        let (set, response) = oneshot::channel();
        let mut http = guest.http();
        let request = http.new_incoming_request(scheme, request)?;
        let outparam = http.new_response_outparam(set)?;
        let mut relay = Relay::new(response, |writer, _| dropped(writer));
        let returned = {
            let mut call = pin!(async {
                let proxy = pre.instantiate_async(&mut *store).await?;
                proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, outparam).await
            });
            poll_fn(|cx| {
                let polled = call.as_mut().poll(cx);
                _ = relay.poll(cx, &mut writer, !stats.is_blocked());
                polled
            })
            .await
        };
        let guest = store.data_mut();
        if relay.is_dropped() {
            guest.guest_log.note("the handler dropped its response-outparam without setting a response");
        }
        // A trap leaves the store, and with it what was written before, so that the client gets all of it.
        let response = relay.end(&mut writer);
        guest.call.input = mem::take(&mut lock(&input));
        guest.call.writer = writer;
        match returned {
            // A program that exits has returned, but has not finished a body that it left open.
            Err(error) if !matches!(error.downcast_ref(), Some(I32Exit(0))) => Err(error),
            Ok(()) | Err(_) => Ok(response),
        }
    }
}

/// The handler dropped the body instead of finishing it, or finished it with another length than it declared.
fn dropped(writer: &Writer) -> Result<(), String> {
    if writer.has_declared_length() {
        // The writer knows how much is missing, if anything is.
        return Ok(());
    }
    Err("the handler dropped the body of its response before it was finished".to_owned())
}
