//! Links WASI for guests, with notes that name the missing flag when access is denied.
//!
//! Waiting functions are shadowed too, so that a report can show what a handler waits for.

use std::{future::Future, mem};

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    WasiCtxView, WasiView,
    cli::WasiCliView as _,
    clocks::WasiClocksView as _,
    p2::bindings::{
        cli::environment,
        clocks::monotonic_clock,
        sockets::{
            ip_name_lookup::{self, ResolveAddressStream},
            network,
        },
    },
    sockets::WasiSocketsView as _,
};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_io::{bindings::wasi::io::poll, poll::DynPollable};

use super::{files, guest::Guest, repeat, streams, wait};
use crate::capture::{recording::Recording, script::Player};

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let wasi = self.wasi();
        WasiHttpCtxView { hooks: &mut wasi.outgoing, table: &mut wasi.table, ctx: &mut wasi.http }
    }
}

/// Links all of WASI 0.2 and the outgoing side of wasi:http, so that a guest built with any language's standard library
/// can start. Linking grants no access: the grants decide that.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    files::explain(linker, WASI)?;
    explain_lookups(linker)?;
    watch_variables(linker)?;
    record_waits(linker)?;
    skip_sleeps(linker)?;
    streams::record_waits(&mut linker.instance(&format!("wasi:io/streams@{WASI}"))?)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The version of WASI's interfaces that `wasmtime_wasi` links, under which they can be shadowed.
const WASI: &str = "0.2.12";

/// The same for WASI 0.3.
pub(super) const WASI_3: &str = "0.3.0";

/// The name under which an interface is linked that a component imports under this name: all versions 0.2.x are one, and
/// all versions 0.3.x.
pub(super) fn linked_name(import: &str) -> String {
    let linked = import.split_once('@').filter(|(name, version)| name.starts_with("wasi:") && !version.contains('-'));
    match linked {
        Some((name, version)) if version.starts_with("0.2.") => format!("{name}@{WASI}"),
        Some((name, version)) if version.starts_with("0.3.") => format!("{name}@{WASI_3}"),
        _ => import.to_owned(),
    }
}

type Call<'a, T> = Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>;

/// Allows lookups only of names that the guest may connect to.
fn explain_lookups(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Looked = (Result<Resource<ResolveAddressStream>, network::ErrorCode>,);

    linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI}"))?.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Guest>, (network, name): (Resource<network::Network>, String)| {
            let guest = store.data_mut();
            if !guest.may_look_up(&name) {
                return Ok::<Looked, _>((Err(network::ErrorCode::AccessDenied),));
            }
            match ip_name_lookup::Host::resolve_addresses(&mut guest.sockets(), network, name) {
                Ok(stream) => Ok((Ok(stream),)),
                Err(error) => Ok((Err(network::Host::convert_error_code(&mut guest.sockets(), error)?),)),
            }
        },
    )
}

/// Notes for later that a guest has read its variables. The host does not see which one it looks for: the guest's library
/// asks for all of them.
fn watch_variables(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:cli/environment@{WASI}"))?.func_wrap(
        "get-environment",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            let guest = store.data_mut();
            guest.wasi().has_read_variables = true;
            Ok((environment::Host::get_environment(&mut guest.cli())?,))
        },
    )
}

/// Whether this is a replay that still follows its original.
fn follows(guest: &Guest) -> bool {
    let player = guest.call.exchange.recording.as_ref().and_then(Recording::player);
    player.is_some_and(|player: &Player| player.left().is_none())
}

/// Has timers of a replay end at once: the clocks show how much time has passed.
fn skip_sleeps(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Timer = Resource<DynPollable>;

    let mut clock = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI}"))?;
    clock.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, Guest>, (duration,): (u64,)| {
        let guest = store.data_mut();
        let duration = if follows(guest) { 0 } else { duration };
        Ok((monotonic_clock::Host::subscribe_duration(&mut guest.clocks(), duration)?,) as (Timer,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, Guest>, (instant,): (u64,)| {
        let guest = store.data_mut();
        let timer = match follows(guest) {
            true => monotonic_clock::Host::subscribe_duration(&mut guest.clocks(), 0)?,
            false => monotonic_clock::Host::subscribe_instant(&mut guest.clocks(), instant)?,
        };
        Ok((timer,) as (Timer,))
    })
}

/// Records waits in the two functions through which every other wait in WASI goes, be it for a clock, a socket or a response.
fn record_waits(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&format!("wasi:io/poll@{WASI}"))?;
    instance.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, Guest>, (pollables,): (Vec<Resource<DynPollable>>,)| -> Call<'_, (Vec<u32>,)> {
            Box::new(async move {
                let mut table = mem::take(&mut store.data_mut().wasi().table);
                let recording = store.data().call.exchange.recording.clone();
                let polled = repeat::poll(&mut table, recording.as_ref(), pollables);
                let ready = wait::wait(&mut store, "wasi:io/poll.poll", polled).await;
                store.data_mut().wasi().table = table;
                Ok((ready??,))
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]pollable.block",
        |mut store: StoreContextMut<'_, Guest>, (pollable,): (Resource<DynPollable>,)| -> Call<'_, ()> {
            Box::new(async move {
                let mut table = mem::take(&mut store.data_mut().wasi().table);
                let block = poll::HostPollable::block(&mut table, pollable);
                let ready = wait::wait(&mut store, "wasi:io/poll.block", block).await;
                store.data_mut().wasi().table = table;
                ready?
            })
        },
    )
}
