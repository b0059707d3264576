//! The WASI context of an instance, limited to what the user granted.

use std::{fmt::Display, future::Future, net::SocketAddr, path::Path, sync::Arc};

use http_body_util::BodyExt as _;
use tokio::net::lookup_host;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, sockets::SocketAddrUse};
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::{
    guest_log::GuestLog,
    outbound::{self, Sent},
    repeat,
};
use crate::{
    base::grants::{Allowance, Dir, Grants},
    event::Stream,
};

/// WASI for one instance. Created on first use, because most handlers never use it.
pub(super) struct Wasi {
    pub(super) ctx: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) table: ResourceTable,
    pub(super) outgoing: Outgoing,
    /// Whether the guest has read its environment variables.
    pub(super) has_read_variables: bool,
}

impl Wasi {
    /// Creates a context in which every interface works, but grants only what the user granted.
    #[must_use]
    pub(super) fn new(allowance: &Arc<Allowance>, guest_log: &GuestLog) -> Self {
        let mut ctx = WasiCtx::builder();
        ctx.stdout(guest_log.stream(Stream::Stdout));
        if !allowance.grants.args.is_empty() {
            ctx.arg("handler").args(&allowance.grants.args);
        }
        for variable in &allowance.grants.env {
            ctx.env(&variable.name, &variable.value);
        }
        Self::of(ctx, allowance, guest_log)
    }

    /// Adds to a context the log for stderr and what the user granted, except variables.
    #[must_use]
    pub(super) fn of(mut ctx: WasiCtxBuilder, allowance: &Arc<Allowance>, guest_log: &GuestLog) -> Self {
        let grants = &allowance.grants;
        if let Some(recording) = guest_log.recording() {
            repeat::vary(&mut ctx, recording);
            if !grants.dirs.is_empty() {
                recording.missing("files below --dir");
            }
        }
        ctx.stderr(guest_log.stream(Stream::Stderr));
        for Dir { host, guest, read_only } in &grants.dirs {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            if let Err(error) = ctx.preopened_dir(Path::new(host), guest, perms) {
                guest_log.note(&format!("--dir {}: {error}", host.display()));
            }
        }
        ctx.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(!grants.net.is_empty());
        ctx.socket_addr_check({
            let (allowance, guest_log) = (Arc::clone(allowance), guest_log.clone());
            move |addr, purpose| {
                let grants = &allowance.grants;
                let is_allowed = may_use(grants, addr, purpose);
                if !is_allowed {
                    guest_log.note(&if grants.closes(addr) { closed(addr) } else { refusal(addr, purpose) });
                } else if let Some(recording) = guest_log.recording() {
                    recording.missing("what came through sockets");
                }
                Box::pin(std::future::ready(is_allowed))
            }
        });
        let mut table = ResourceTable::new();
        table.set_max_capacity(allowance.limits.handles);
        let outgoing = Outgoing { allowance: Arc::clone(allowance), guest_log: guest_log.clone() };
        Self { ctx: ctx.build(), http: WasiHttpCtx::new(), table, outgoing, has_read_variables: false }
    }
}

fn may_use(grants: &Grants, addr: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            grants.net.iter().any(|net| net.covers(addr)) && !grants.closes(addr)
        }
        // Connecting binds implicitly, to a port of this machine that the system chooses.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => addr.ip().is_unspecified() && addr.port() == 0,
        // An instance lives for one request, so listening makes no sense.
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

/// Why nothing can be granted at this address.
fn closed(addr: impl Display) -> String {
    format!("connection to {addr} denied: it is wasmserve's own, which no handler may use")
}

fn refusal(addr: SocketAddr, purpose: SocketAddrUse) -> String {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            format!("connection to {addr} denied; allow it with --allow-net {addr}")
        }
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => {
            format!("binding to {addr} denied; a handler cannot listen, only connect with --allow-net HOST:PORT")
        }
    }
}

/// The outgoing side of wasi:http, subject to the same grants as sockets.
pub(super) struct Outgoing {
    allowance: Arc<Allowance>,
    guest_log: GuestLog,
}

/// How much of a body the host takes from a guest at once, in bytes. It is not counted as the guest's memory, and with
/// wasmtime's default of 1 MiB a thousand handlers whose clients do not read would make the host keep gigabytes.
const CHUNK: usize = 64 << 10;

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    #[cfg(feature = "wasip3")]
    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 });
        // A replay that follows its original sends nothing.
        let is_sent = self.guest_log.recording().is_none_or(|recording| recording.player().is_none());
        let is_denied = is_sent && !self.allowance.grants.net.iter().any(|net| net.port == port && net.names(host));
        if is_denied {
            let note = format!("request to {host}:{port} denied; allow it with --allow-net {host}:{port}");
            self.guest_log.note(&note);
        }
        let (allowance, guest_log) = (Arc::clone(&self.allowance), self.guest_log.clone());
        let host = host.trim_matches(['[', ']']).to_owned();
        let send = move |request| async move {
            if is_denied {
                return Err(HttpError::HttpRequestDenied);
            }
            let grants = &allowance.grants;
            // A name may lead anywhere.
            if grants.closed.contains(&port)
                && let Ok(mut addrs) = lookup_host((&*host, port)).await
                && addrs.any(|addr| grants.closes(addr))
            {
                guest_log.note(&closed(format_args!("{host}:{port}")));
                return Err(HttpError::HttpRequestDenied);
            }
            let (response, io) = wasmtime_wasi_http::default_send_request(request, options).await?;
            Ok((response.map(|body| body.boxed_unsync()), Box::new(io) as Box<dyn Future<Output = _> + Send>))
        };
        match self.guest_log.recording() {
            None => Box::new(send(request)),
            Some(recording) => Box::new(outbound::exchange(recording.clone(), request, send)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::base::grants::Net;

    #[test]
    fn sockets_connect_only_to_granted_addresses_and_never_listen() {
        let granted: Net = "127.0.0.1:5432".parse().expect("the address is valid");
        let grants = Grants { net: vec![granted], ..Grants::default() };
        let any: SocketAddr = ([0, 0, 0, 0], 0).into();
        assert!(may_use(&grants, ([127, 0, 0, 1], 5432).into(), SocketAddrUse::TcpConnect));
        assert!(!may_use(&grants, ([127, 0, 0, 1], 5433).into(), SocketAddrUse::TcpConnect));
        assert!(may_use(&grants, any, SocketAddrUse::TcpBind));
        assert!(!may_use(&grants, ([127, 0, 0, 1], 5432).into(), SocketAddrUse::TcpBind));
        assert!(!may_use(&grants, any, SocketAddrUse::TcpListen));
        assert!(!may_use(&Grants::default(), ([127, 0, 0, 1], 5432).into(), SocketAddrUse::UdpSend));
        let closed = Grants { closed: vec![5432], ..grants };
        assert!(!may_use(&closed, ([127, 0, 0, 1], 5432).into(), SocketAddrUse::TcpConnect));
    }
}
