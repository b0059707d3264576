//! What an instance may use: memory within its limit, and of the world only what was granted.

use std::{
    future::Future,
    mem,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::BodyExt as _;
use wasmtime::{
    ResourceLimiter, StoreContextMut,
    component::{Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxView, WasiView,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::bindings::{
        filesystem::{
            preopens,
            types::{self as files, HostDescriptor as _},
        },
        sockets::{
            ip_name_lookup::{self, ResolveAddressStream},
            network,
        },
    },
    sockets::{SocketAddrUse, WasiSocketsView as _},
};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};
use wasmtime_wasi_io::{bindings::wasi::io::poll, poll::DynPollable};

use super::{host::Guest, journal::Journal, waiting};
use crate::{
    config::{Allowance, Dir, Net},
    fault::MemoryLimit,
    roster::Watch,
};

/// What all instances of a process may use together, in octets.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// At most `limit` octets.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: AtomicUsize::new(0) }
    }

    /// Takes so much, if it is there. Those that only begin may have the last of it: however many want more and more, others can
    /// be served beside them.
    fn take(&self, octets: usize, is_beginning: bool) -> bool {
        let limit = if is_beginning { self.limit } else { self.limit - self.limit / 8 };
        let more = |used: usize| used.checked_add(octets).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, octets: usize) {
        self.used.fetch_sub(octets, Ordering::Relaxed);
    }
}

/// The sum of an instance's memories and tables.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    refusal: Option<MemoryLimit>,
    budget: Arc<Budget>,
    watch: Arc<Watch>,
}

impl Memory {
    /// At most `limit` octets, as long as the budget lasts.
    #[must_use]
    pub(super) fn new(limit: u64, budget: &Arc<Budget>, watch: &Arc<Watch>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, used: 0, refusal: None, budget: Arc::clone(budget), watch: Arc::clone(watch) }
    }

    /// The limit that the instance has met. What it did then may well be due to it.
    #[must_use]
    pub(super) fn refusal(&self) -> Option<MemoryLimit> {
        self.refusal
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.refusal = Some(MemoryLimit::Instance);
        } else if !self.budget.take(more, current == 0) {
            self.refusal = Some(MemoryLimit::Process);
        } else {
            self.used = used;
            self.watch.set_memory(used as u64);
            return true;
        }
        false
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(self.used);
    }
}

/// Not trapping lets a guest deal with it: Python raises `MemoryError`, for one.
impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let octets = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(octets(current), octets(desired)))
    }
}

/// WASI for one instance, made when the guest first touches it: most handlers never do.
pub(super) struct Wasi {
    ctx: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
}

impl Wasi {
    /// Everything is there, and nothing is granted but what the user granted.
    #[must_use]
    pub(super) fn new(allowance: &Arc<Allowance>, journal: &Journal) -> Self {
        let grants = &allowance.grants;
        let mut ctx = WasiCtx::builder();
        ctx.stdout(journal.stream("stdout")).stderr(journal.stream("stderr"));
        for variable in &grants.env {
            ctx.env(&variable.name, &variable.value);
        }
        for Dir { host, guest, read_only } in &grants.dirs {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            if let Err(error) = ctx.preopened_dir(Path::new(host), guest, perms) {
                journal.say("note", format!("--dir {}: {error}", host.display()).as_bytes());
            }
        }
        ctx.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(!grants.net.is_empty());
        ctx.socket_addr_check({
            let (allowance, journal) = (Arc::clone(allowance), journal.clone());
            move |addr, purpose| {
                let is_allowed = may_use(&allowance.grants.net, addr, purpose);
                if !is_allowed {
                    journal.say("note", refusal(addr, purpose).as_bytes());
                }
                Box::pin(std::future::ready(is_allowed))
            }
        });
        let mut table = ResourceTable::new();
        table.set_max_capacity(allowance.limits.handles);
        let outgoing = Outgoing { allowance: Arc::clone(allowance), journal: journal.clone() };
        Self { ctx: ctx.build(), http: WasiHttpCtx::new(), table, outgoing }
    }
}

fn may_use(grants: &[Net], addr: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            grants.iter().any(|net| net.covers(addr))
        }
        // What connecting does on the side: any port of this machine, as the system picks it.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => addr.ip().is_unspecified() && addr.port() == 0,
        // An instance lives for one request: it has nothing to listen for.
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

fn refusal(addr: SocketAddr, purpose: SocketAddrUse) -> String {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            format!("no traffic with {addr}: not granted; --allow-net {addr} would")
        }
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
            format!(
                "no socket at {addr}: not granted; a handler may connect with --allow-net HOST:PORT, and never listen"
            )
        }
    }
}

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

/// The outgoing side of wasi:http, behind the same grants as sockets.
struct Outgoing {
    allowance: Arc<Allowance>,
    journal: Journal,
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 });
        if !self.allowance.grants.net.iter().any(|net| net.port == port && net.names(host)) {
            let note = format!("no request to {host}:{port}: not granted; --allow-net {host}:{port} would");
            self.journal.say("note", note.as_bytes());
            return Box::new(std::future::ready(Err(HttpError::HttpRequestDenied)));
        }
        Box::new(async move {
            let (response, io) = wasmtime_wasi_http::default_send_request(request, options).await?;
            Ok((response.map(|body| body.boxed_unsync()), Box::new(io) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// Links all of WASI 0.2 and wasi:http's outgoing side. With it, any std guest in any language starts; what it may do is
/// another matter.
///
/// # Errors
///
/// None in practice: it depends on nothing that the user gives.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    explain_missing_dirs(linker)?;
    explain_read_only_dirs(linker)?;
    explain_lookups(linker)?;
    watch_waits(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The version of WASI's interfaces that `wasmtime_wasi` links, under which they can be shadowed.
const WASI: &str = "0.2.12";

type Call<'a, T> = Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>;

/// `wasi:filesystem/preopens.get-directories` is all that the host sees when a guest looks for a file that it has no
/// directory for: what it wanted is known to the guest's own library only.
fn explain_missing_dirs(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:filesystem/preopens@{WASI}"))?.func_wrap(
        "get-directories",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            let guest = store.data_mut();
            guest.note_missing_dirs();
            let dirs: Vec<(Resource<Descriptor>, String)> = preopens::Host::get_directories(&mut guest.filesystem())?;
            Ok((dirs,))
        },
    )
}

/// A guest that opens a file for writing in a directory that it may only read.
fn explain_read_only_dirs(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Params = (Resource<Descriptor>, files::PathFlags, String, files::OpenFlags, files::DescriptorFlags);
    type Opened = (Result<Resource<Descriptor>, files::ErrorCode>,);

    linker.instance(&format!("wasi:filesystem/types@{WASI}"))?.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, Guest>,
         (dir, path_flags, path, open_flags, flags): Params|
         -> Call<'_, Opened> {
            Box::new(async move {
                let guest = store.data_mut();
                let opened = guest.filesystem().open_at(dir, path_flags, path.clone(), open_flags, flags).await;
                let error = match opened {
                    Ok(file) => return Ok((Ok(file),)),
                    Err(error) => files::Host::convert_error_code(&mut guest.filesystem(), error)?,
                };
                if matches!(error, files::ErrorCode::NotPermitted | files::ErrorCode::ReadOnly) {
                    let note = format!("no access to `{path}`: not granted; --dir HOST::GUEST (without :ro) may");
                    guest.journal.say("note", note.as_bytes());
                }
                Ok((Err(error),))
            })
        },
    )
}

/// A guest may look up the names that it may connect to, and no others: a look-up is a message too.
fn explain_lookups(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Looked = (Result<Resource<ResolveAddressStream>, network::ErrorCode>,);

    linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI}"))?.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Guest>, (network, name): (Resource<network::Network>, String)| {
            let guest = store.data_mut();
            if !guest.call.allowance.grants.net.iter().any(|net| net.names(&name)) {
                let note = format!("no look-up of {name}: not granted; --allow-net {name}:PORT would");
                guest.journal.say("note", note.as_bytes());
                return Ok::<Looked, _>((Err(network::ErrorCode::AccessDenied),));
            }
            match ip_name_lookup::Host::resolve_addresses(&mut guest.sockets(), network, name) {
                Ok(stream) => Ok((Ok(stream),)),
                Err(error) => Ok((Err(network::Host::convert_error_code(&mut guest.sockets(), error)?),)),
            }
        },
    )
}

/// Whatever a guest waits for by way of WASI (a clock, a socket, an answer), it waits for in one of these two.
fn watch_waits(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&format!("wasi:io/poll@{WASI}"))?;
    instance.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, Guest>, (pollables,): (Vec<Resource<DynPollable>>,)| -> Call<'_, (Vec<u32>,)> {
            Box::new(async move {
                let mut table = mem::take(&mut store.data_mut().wasi().table);
                let ready =
                    waiting::wait(&mut store, "wasi:io/poll.poll", poll::Host::poll(&mut table, pollables)).await;
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
                let ready = waiting::wait(&mut store, "wasi:io/poll.block", block).await;
                store.data_mut().wasi().table = table;
                ready?
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::gateway::{environ::Peer, request::RequestHead};

    fn memory(budget: &Arc<Budget>) -> Memory {
        let peer = Peer { remote: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 2).into() };
        Memory::new(100, budget, &Arc::new(Watch::new(1, RequestHead::new(Bytes::new()), peer)))
    }

    #[test]
    fn h4_the_limit_is_on_the_sum_of_all_memories_and_tables() {
        let budget = Arc::new(Budget::new(150));
        let mut memory = memory(&budget);
        assert!(memory.memory_growing(0, 60, None).expect("never fails"));
        assert!(!memory.memory_growing(0, 60, None).expect("never fails"));
        assert_eq!(memory.refusal(), Some(MemoryLimit::Instance));
        assert!(memory.memory_growing(60, 90, None).expect("never fails"));
        assert!(!memory.table_growing(0, 2, None).expect("never fails"));
        assert!(memory.table_growing(0, 1, None).expect("never fails"));
    }

    #[test]
    fn h5_all_instances_share_a_budget_and_give_back_what_they_had() {
        let budget = Arc::new(Budget::new(150));
        let (mut first, mut second) = (memory(&budget), memory(&budget));
        assert!(first.memory_growing(0, 90, None).expect("never fails"));
        assert!(!second.memory_growing(0, 90, None).expect("never fails"));
        assert_eq!(second.refusal(), Some(MemoryLimit::Process));
        drop(first);
        assert!(second.memory_growing(0, 90, None).expect("never fails"));
    }

    #[test]
    fn h5_those_that_want_more_leave_room_for_those_that_begin() {
        let budget = Arc::new(Budget::new(160));
        let (mut hog, mut other) = (memory(&budget), memory(&budget));
        assert!(hog.memory_growing(0, 80, None).expect("never fails"));
        let mut second = memory(&budget);
        assert!(second.memory_growing(0, 50, None).expect("never fails"));
        assert!(!second.memory_growing(50, 70, None).expect("never fails"), "it would leave too little");
        assert!(other.memory_growing(0, 30, None).expect("never fails"));
    }

    #[test]
    fn sockets_connect_where_they_may_and_never_listen() {
        let granted: Net = "127.0.0.1:5432".parse().expect("it is an address");
        let grants = [granted];
        let any: SocketAddr = ([0, 0, 0, 0], 0).into();
        assert!(may_use(&grants, ([127, 0, 0, 1], 5432).into(), SocketAddrUse::TcpConnect));
        assert!(!may_use(&grants, ([127, 0, 0, 1], 5433).into(), SocketAddrUse::TcpConnect));
        assert!(may_use(&grants, any, SocketAddrUse::TcpBind));
        assert!(!may_use(&grants, ([127, 0, 0, 1], 5432).into(), SocketAddrUse::TcpBind));
        assert!(!may_use(&grants, any, SocketAddrUse::TcpListen));
        assert!(!may_use(&[], ([127, 0, 0, 1], 5432).into(), SocketAddrUse::UdpSend));
    }
}
