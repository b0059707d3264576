//! The world `wasi:cli/command`: a program that answers as a CGI program does, with the request in its environment and
//! on stdin, and the response on stdout (RFC 3875).

mod stdin;
mod stdout;

use std::{
    future::{Future as _, poll_fn},
    mem,
    path::Path,
    pin::pin,
    sync::Arc,
};

use wasmserve_gateway::{
    cgi::{self, Form},
    environ::Var,
};
use wasmtime::{
    Engine, Store,
    component::{Component, InstancePre, Linker},
};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, p2::bindings::CommandPre};

use self::{stdin::Stdin, stdout::Stdout};
use super::{guest::Guest, settings::Abi, wasi::Wasi, world::World};
use crate::fault::Fault;

/// The interface that a program exports, without the last part of its version.
pub(super) const RUN: &str = "wasi:cli/run@0.2.";

/// The world `wasi:cli/command`.
pub(super) enum Command {}

/// A program, ready to be run.
pub(super) struct Program {
    pre: CommandPre<Guest>,
    /// The name of its file, which is its first argument.
    name: String,
}

impl World for Command {
    type Pre = Program;

    /// Programs read as many bytes of stdin as `CONTENT_LENGTH` says, so that they need one (rule G8).
    const MEASURES: u64 = 1 << 20;

    const ABI: Abi = Abi::Sync;

    /// Its imports are WASI's own.
    fn link(_: &mut Linker<Guest>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn missing_exports(component: &Component) -> Vec<String> {
        let (engine, world) = (component.engine(), component.component_type());
        let exports = world.exports(engine).any(|(name, _)| name.starts_with(RUN));
        if exports { Vec::new() } else { vec![format!("it does not export `{RUN}x`")] }
    }

    fn prepare(pre: InstancePre<Guest>, name: &Path) -> wasmtime::Result<Program> {
        let name = name.file_name().unwrap_or(name.as_os_str()).to_string_lossy().into_owned();
        Ok(Program { pre: CommandPre::new(pre)?, name })
    }

    fn engine(program: &Program) -> &Engine {
        program.pre.engine()
    }

    async fn answer(program: &Program, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        let guest = store.data_mut();
        let mut process = WasiCtx::builder();
        set_environment(&mut process, guest.call.environ())?;
        process.arg(&program.name).args(&guest.call.allowance.grants.args);
        process.args(&cgi::arguments(&guest.call.exchange.head));
        let limit = guest.call.allowance.limits.response_head().bytes;
        // The program has both while it runs.
        let stdin = Stdin::new(mem::take(&mut guest.call.input));
        let stdout = Stdout::new(mem::take(&mut guest.call.writer), Form::of(&program.name), limit);
        process.stdin(stdin.clone()).stdout(stdout.clone());
        guest.wasi = Some(Box::new(Wasi::of(process, &guest.call.allowance, &guest.guest_log)));
        let stats = Arc::clone(&guest.stats);
        let returned = {
            let mut call = pin!(async {
                let command = program.pre.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(&mut *store).await
            });
            poll_fn(|cx| {
                let polled = call.as_mut().poll(cx);
                if polled.is_pending() {
                    stdout.pass_on(stats.is_blocked());
                }
                polled
            })
            .await
        };
        let ended = match returned {
            Ok(Ok(())) => Ok(()),
            Ok(Err(())) => Err(I32Exit(1).into()),
            Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => Ok(()),
            Err(error) => Err(error),
        };
        let call = &mut store.data_mut().call;
        call.input = stdin.take();
        let (writer, head) = stdout.end(ended.is_ok());
        call.writer = writer;
        ended?;
        Ok(Ok(head.map_err(Fault::BadCgiHead)?))
    }
}

/// Sets the variables of the request and of `--env` (RFC 3875 section 4.1), without those that are for WSGI. WASI's
/// variables are UTF-8, so other bytes are replaced (rule G7).
///
/// # Errors
///
/// The path contains a NUL, which would end it for most programs.
fn set_environment(process: &mut WasiCtxBuilder, environ: &[Var]) -> Result<(), Fault> {
    let is_of_wsgi = |name: &str| ["wsgi.", "wasmserve."].iter().any(|own| name.starts_with(own));
    for (name, value) in environ.iter().filter(|(name, _)| !is_of_wsgi(name)) {
        if value.contains(&0) {
            let why = "the path contains a NUL, which this handler cannot read".into();
            return Err(Fault::Refused { status: 400, why });
        }
        process.env(name, String::from_utf8_lossy(value));
    }
    Ok(())
}
