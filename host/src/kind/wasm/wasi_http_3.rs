//! The world `wasi:http/service` of WASI 0.3: the handler is an asynchronous function. It returns the response, and may
//! go on to write the body.
//!
//! wasmtime calls its implementation experimental.

mod explain;
mod files;
mod reading;
mod turns;

use std::{
    future::{Future as _, poll_fn},
    mem,
    path::Path,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Instant,
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{oneshot, watch};
use wasmtime::{
    AsContextMut as _, Engine, Store, StoreContextMut,
    component::{Component, InstancePre, Linker},
};
use wasmtime_wasi_http::{
    Error as HttpError, FieldMap, WasiHttpView as _,
    p3::{
        Request, Response,
        bindings::{ServicePre, http::types::ErrorCode},
    },
};

use self::{reading::Reading, turns::Next};
use super::{
    guest::Guest,
    guest_log::GuestLog,
    interface::SERVICE,
    outcome::Overdue,
    settings::Abi,
    wasi_http::{
        relay::{Relay, Waits, describe},
        request,
    },
    world::World,
};
use crate::{
    admission::call_stats::CallStats,
    base::{lock::lock, stack::Stack},
    fault::Limit,
};

/// How many entries in wasmtime's own table a guest may cause with each of its handles: a stream has both ends and what
/// they share, and a task has its threads and what they wait for.
const ENTRIES_PER_HANDLE: usize = 8;

/// The world `wasi:http/service`.
pub(super) enum Service {}

type HttpResponse = http::Response<UnsyncBoxBody<Bytes, HttpError>>;

impl World for Service {
    type Pre = ServicePre<Guest>;

    const ABI: Abi = Abi::Async;

    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        explain::link(linker)?;
        files::explain(linker)
    }

    fn missing_exports(component: &Component) -> Vec<String> {
        let (engine, world) = (component.engine(), component.component_type());
        let exports = world.exports(engine).any(|(name, _)| name.starts_with(SERVICE));
        if exports { Vec::new() } else { vec![format!("it does not export `{SERVICE}x`")] }
    }

    fn prepare(pre: InstancePre<Guest>, _: &Path) -> wasmtime::Result<Self::Pre> {
        ServicePre::new(pre)
    }

    fn engine(pre: &Self::Pre) -> &Engine {
        pre.engine()
    }

    async fn answer(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        let handles = store.data().call.allowance.limits.handles;
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(handles.saturating_mul(ENTRIES_PER_HANDLE));
        }
        let guest = store.data_mut();
        let (stats, guest_log, deadline) = (Arc::clone(&guest.stats), guest.guest_log.clone(), guest.deadline);
        let cpu_time = guest.call.allowance.limits.cpu_time;
        // Both are used while the instance runs and has the store, so they are taken out of it.
        let input = Arc::new(Mutex::new(mem::take(&mut guest.call.input)));
        let mut writer = mem::take(&mut guest.call.writer);
        let request = request::request(&guest.call, &input)?.map(|body| Reading::new(body, &stats));
        let (request, _) = Request::from_http(guest.http().hooks, request);
        let (set, response) = oneshot::channel();
        let mut relay = Relay::new(response, |_, error| {
            Err(format!("the body of the handler's response ended with the error {}", describe(&error)))
        });
        let (end, is_sent) = watch::channel(None);
        let (mut writing, has_waited) = (None, AtomicBool::new(false));
        let returned = {
            let mut call = pin!(handle(pre, &mut *store, &has_waited, request, set, is_sent));
            let mut asked = pin!(stats.asked());
            poll_fn(|cx| {
                let next = turns::take(call.as_mut(), cx);
                has_waited.store(matches!(next, Next::Wait), Ordering::Relaxed);
                // Asked before, because a client that has got everything counts as gone.
                let is_connected = end.borrow().is_none() && writer.is_connected();
                let waits = relay.poll(cx, &mut writer, false);
                if waits == Waits::ForClient {
                    writing.get_or_insert_with(|| {
                        stats.begin_wait("wasi:http/types.response.new", Some(Stack::default()))
                    });
                } else {
                    writing = None;
                }
                if waits == Waits::Nothing && end.borrow().is_none() {
                    end.send_replace(Some(is_connected));
                }
                if let Next::End(returned) = next {
                    return Poll::Ready(returned);
                }
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(overdue(&stats, &guest_log).into()));
                }
                // A handler may compute in so many short steps that no tick ever comes in the middle of one.
                if stats.cpu() >= cpu_time {
                    return Poll::Ready(Err(Overdue { limit: Limit::Cpu, wait: None, stack: None }.into()));
                }
                if stats.is_blocked() {
                    // That wait provides the stack. What it is notified of must not end here.
                    asked.set(stats.asked());
                    return Poll::Pending;
                }
                while asked.as_mut().poll(cx).is_ready() {
                    asked.set(stats.asked());
                    if stats.is_asked_for_stack() {
                        stats.set_stack(stats.longest_wait().and_then(|(_, stack)| stack).unwrap_or_default());
                    }
                }
                Poll::Pending
            })
            .await
        };
        // A trap leaves the store, and with it what was written before, so that the client gets all of it.
        let response = relay.end(&mut writer);
        let call = &mut store.data_mut().call;
        call.input = mem::take(&mut lock(&input));
        call.writer = writer;
        returned?;
        Ok(response)
    }
}

/// Calls the handler, passes what it returns to `set`, and lets it go on until its tasks and the response have ended.
/// `has_waited` is whether it has waited since it last ran, and `is_sent` whether its client took the response, once it
/// has ended.
async fn handle(
    pre: &ServicePre<Guest>,
    store: &mut Store<Guest>,
    has_waited: &AtomicBool,
    request: Request,
    set: oneshot::Sender<Result<HttpResponse, ErrorCode>>,
    mut is_sent: watch::Receiver<Option<bool>>,
) -> wasmtime::Result<()> {
    let service = pre.instantiate_async(&mut *store).await?;
    let run = store.run_concurrent(async move |accessor| {
        let mut call = pin!(async {
            let response = match service.handle(accessor, request).await? {
                Ok(response) => response,
                Err(code) => {
                    _ = set.send(Err(code));
                    return Ok(());
                }
            };
            let response = accessor.with(|mut access| to_http(access.as_context_mut(), response, is_sent.clone()))?;
            _ = set.send(Ok(response));
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            // The response may come from the host itself, such as a file.
            _ = is_sent.wait_for(Option::is_some).await;
            Ok(())
        });
        poll_fn(|cx| {
            // Ticks that passed while the handler waited must not count as computing.
            if has_waited.swap(false, Ordering::Relaxed) {
                accessor.with(|mut access| access.as_context_mut().set_epoch_deadline(1));
            }
            call.as_mut().poll(cx)
        })
        .await
    });
    run.await?
}

/// The response in the form in which it is relayed. The handler learns from `is_sent` what becomes of it.
fn to_http(
    store: StoreContextMut<'_, Guest>,
    mut response: Response,
    mut is_sent: watch::Receiver<Option<bool>>,
) -> wasmtime::Result<HttpResponse> {
    // Without Content-Length, because wasmtime would drop what is beyond it, and report less than the writer does.
    let fields = mem::replace(&mut response.headers, FieldMap::new_mutable(0));
    let sent = async move {
        match is_sent.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(true)) => Ok(()),
            _ => Err(HttpError::ConnectionTerminated),
        }
    };
    let mut response = response.into_http(store, sent)?;
    *response.headers_mut() = fields.into();
    Ok(response)
}

/// The error of a handler whose time is up, with the place where it began what it waits for.
fn overdue(stats: &CallStats, guest_log: &GuestLog) -> Overdue {
    let (wait, stack) = stats.longest_wait().unzip();
    if wait.is_none() {
        guest_log.note("the handler waits for no host call, but for a stream, future or task of its own");
    }
    Overdue { limit: Limit::Wall, wait, stack: Some(stack.flatten().unwrap_or_default()) }
}
