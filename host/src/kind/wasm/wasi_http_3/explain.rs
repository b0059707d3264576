//! Links WASI 0.3 with the grants and notes of WASI 0.2, and records which asynchronous calls a handler waits for.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
};

use wasmtime::{
    AsContext as _, StoreContextMut,
    component::{Accessor, ComponentNamedList, Lift, Linker, LinkerInstance, Lower, Resource},
};
use wasmtime_wasi::{
    cli::WasiCliView as _,
    clocks::{WasiClocks, WasiClocksView as _},
    p3::bindings::{
        cli::environment,
        clocks::monotonic_clock,
        sockets::{
            ip_name_lookup,
            types::{self as sockets, HostTcpSocketWithStore as _},
        },
    },
    sockets::{TcpSocket, UdpSocket, WasiSockets, WasiSocketsView as _},
};
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpView as _,
    p3::{
        self,
        bindings::http::{client, types as http},
    },
};

use super::super::{explain::WASI_3, guest::Guest, outcome::stack};

/// The version of WASI's interfaces that `wasmtime_wasi` links, under which they can be shadowed.
pub(super) const WASI: &str = WASI_3;

/// Links all of WASI 0.3 and the outgoing side of wasi:http. Linking grants no access: the grants decide that.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)?;
    p3::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    watch_variables(&mut linker.instance(&format!("wasi:cli/environment@{WASI}"))?)?;
    record_clocks(&mut linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI}"))?)?;
    explain_lookups(&mut linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI}"))?)?;
    record_sockets(&mut linker.instance(&format!("wasi:sockets/types@{WASI}"))?)?;
    record_requests(&mut linker.instance(&format!("wasi:http/client@{WASI}"))?)?;
    linker.allow_shadowing(false);
    Ok(())
}

pub(super) type Call<'a, R> = Pin<Box<dyn Future<Output = wasmtime::Result<R>> + Send + 'a>>;

/// Notes for later that a guest has read its variables, as for WASI 0.2.
fn watch_variables(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    instance.func_wrap("get-environment", |mut store: StoreContextMut<'_, Guest>, (): ()| {
        let guest = store.data_mut();
        guest.wasi().has_read_variables = true;
        Ok((environment::Host::get_environment(&mut guest.cli())?,))
    })
}

/// Allows lookups only of names that the guest may connect to.
fn explain_lookups(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Looked = (Result<Vec<sockets::IpAddress>, ip_name_lookup::ErrorCode>,);

    record(
        instance,
        "resolve-addresses",
        "wasi:sockets/ip-name-lookup.resolve-addresses",
        |accessor, (name,): (String,)| -> Call<'_, Looked> {
            Box::pin(async move {
                let is_allowed = accessor.with(|mut access| access.data_mut().may_look_up(&name));
                if !is_allowed {
                    return Ok((Err(ip_name_lookup::ErrorCode::AccessDenied),));
                }
                let sockets = accessor.with_getter::<WasiSockets>(|guest| guest.sockets());
                Ok((ip_name_lookup::HostWithStore::resolve_addresses(&sockets, name).await?,))
            })
        },
    )
}

fn record_clocks(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    record(instance, "wait-for", "wasi:clocks/monotonic-clock.wait-for", |accessor, (time,): (u64,)| {
        Box::pin(async move {
            let clocks = accessor.with_getter::<WasiClocks>(|guest| guest.clocks());
            monotonic_clock::HostWithStore::wait_for(&clocks, time).await
        })
    })?;
    record(instance, "wait-until", "wasi:clocks/monotonic-clock.wait-until", |accessor, (mark,): (u64,)| {
        Box::pin(async move {
            let clocks = accessor.with_getter::<WasiClocks>(|guest| guest.clocks());
            monotonic_clock::HostWithStore::wait_until(&clocks, mark).await
        })
    })
}

fn record_sockets(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Address = sockets::IpSocketAddress;
    type Outcome<T> = (Result<T, sockets::ErrorCode>,);

    fn outcome<T>(
        accessor: &Accessor<Guest>,
        result: Result<T, wasmtime_wasi::p3::sockets::SocketError>,
    ) -> wasmtime::Result<Outcome<T>> {
        let convert = |error| {
            accessor.with(|mut access| sockets::Host::convert_error_code(&mut access.data_mut().sockets(), error))
        };
        Ok((match result {
            Ok(value) => Ok(value),
            Err(error) => Err(convert(error)?),
        },))
    }

    record(
        instance,
        "[method]tcp-socket.connect",
        "wasi:sockets/types.tcp-socket.connect",
        |accessor, (socket, address): (Resource<TcpSocket>, Address)| -> Call<'_, Outcome<()>> {
            Box::pin(async move {
                let sockets = accessor.with_getter::<WasiSockets>(|guest| guest.sockets());
                outcome(accessor, WasiSockets::connect(&sockets, socket, address).await)
            })
        },
    )?;
    record(
        instance,
        "[method]udp-socket.send",
        "wasi:sockets/types.udp-socket.send",
        |accessor, (socket, data, to): (Resource<UdpSocket>, Vec<u8>, Option<Address>)| -> Call<'_, Outcome<()>> {
            Box::pin(async move {
                let sockets = accessor.with_getter::<WasiSockets>(|guest| guest.sockets());
                outcome(
                    accessor,
                    <WasiSockets as sockets::HostUdpSocketWithStore<_>>::send(&sockets, socket, data, to).await,
                )
            })
        },
    )?;
    record(
        instance,
        "[method]udp-socket.receive",
        "wasi:sockets/types.udp-socket.receive",
        |accessor, (socket,): (Resource<UdpSocket>,)| -> Call<'_, Outcome<(Vec<u8>, Address)>> {
            Box::pin(async move {
                let sockets = accessor.with_getter::<WasiSockets>(|guest| guest.sockets());
                outcome(accessor, <WasiSockets as sockets::HostUdpSocketWithStore<_>>::receive(&sockets, socket).await)
            })
        },
    )
}

fn record_requests(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    type Answered = (Result<Resource<p3::Response>, http::ErrorCode>,);

    record(
        instance,
        "send",
        "wasi:http/client.send",
        |accessor, (request,): (Resource<p3::Request>,)| -> Call<'_, Answered> {
            Box::pin(async move {
                let http = accessor.with_getter::<WasiHttp>(|guest| guest.http());
                Ok((match client::HostWithStore::send(&http, request).await {
                    Ok(response) => Ok(response),
                    Err(error) => {
                        let convert = |guest: &mut Guest| http::Host::convert_error_code(&mut guest.http(), error);
                        Err(accessor.with(|mut access| convert(access.data_mut()))?)
                    }
                },))
            })
        },
    )
}

/// Shadows a function with `call`, which does the same. If it has to wait, it also records that, and where the guest
/// called it: the guest goes on, and later nothing shows who waits.
fn record<P, R>(
    instance: &mut LinkerInstance<'_, Guest>,
    name: &str,
    import: &'static str,
    call: for<'a> fn(&'a Accessor<Guest>, P) -> Call<'a, R>,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + Send + Sync + 'static,
    R: ComponentNamedList + Lower + Send + Sync + 'static,
{
    instance.func_wrap_concurrent(name, move |accessor, params: P| {
        let mut call = call(accessor, params);
        Box::pin(async move {
            let mut waiting = None;
            poll_fn(|cx| {
                let polled = pin!(&mut call).poll(cx);
                if polled.is_pending() && waiting.is_none() {
                    waiting = Some(accessor.with(|access| {
                        let stack = stack(access.as_context());
                        access.as_context().data().stats.begin_wait(import, Some(stack))
                    }));
                }
                polled
            })
            .await
        })
    })
}
