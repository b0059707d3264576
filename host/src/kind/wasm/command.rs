//! The world `wasi:cli/command`: a program that answers as a CGI program does, with the request in its environment and
//! on stdin, and the response on stdout (RFC 3875).

mod stdin;
mod stdout;

use std::{
    future::{Future as _, poll_fn},
    mem,
    pin::pin,
};

use wasmtime::{
    AsContextMut as _, Engine, Store,
    component::{Component, InstancePre, Linker},
};
use wasmtime_wasi::{I32Exit, p2::bindings::CommandPre};

use self::{stdin::Stdin, stdout::Stdout};
use super::{
    guest::Guest,
    wait,
    wasi::{Program, Wasi},
    world::World,
};

/// The interface that a program exports, without the last part of its version.
pub(super) const RUN: &str = "wasi:cli/run@0.2.";

/// How many bytes of a body without a length are read before the program starts, which expects `CONTENT_LENGTH`. A longer
/// body arrives on stdin without one.
const MEASURED: u64 = 1 << 20;

/// The world `wasi:cli/command`.
pub(super) enum Command {}

impl World for Command {
    type Pre = CommandPre<Guest>;

    /// Its imports are WASI's own.
    fn link(_: &mut Linker<Guest>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn missing_exports(component: &Component) -> Vec<String> {
        let (engine, world) = (component.engine(), component.component_type());
        let exports = world.exports(engine).any(|(name, _)| name.starts_with(RUN));
        if exports { Vec::new() } else { vec![format!("it does not export `{RUN}x`")] }
    }

    fn prepare(pre: InstancePre<Guest>) -> wasmtime::Result<Self::Pre> {
        CommandPre::new(pre)
    }

    fn engine(pre: &Self::Pre) -> &Engine {
        pre.engine()
    }

    async fn answer(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        if let Some(failed) = measure(store).await? {
            return Ok(Err(failed));
        }
        let guest = store.data_mut();
        let env = environment(guest);
        let args = [vec!["handler".to_owned()], words(guest)].concat();
        let limit = guest.call.allowance.limits.response_head().bytes;
        // The program has both while it runs.
        let stdin = Stdin::new(mem::take(&mut guest.call.input));
        let stdout = Stdout::new(mem::take(&mut guest.call.writer), limit);
        let program = Program { env, args, stdin: stdin.clone(), stdout: stdout.clone() };
        guest.wasi = Some(Box::new(Wasi::of_program(&guest.call.allowance, &guest.guest_log, program)));
        let returned = {
            let mut call = pin!(async {
                let command = pre.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(&mut *store).await
            });
            poll_fn(|cx| {
                let polled = call.as_mut().poll(cx);
                if polled.is_pending() {
                    // It waits or computes for long, so that the client gets what is there.
                    stdout.flush();
                }
                polled
            })
            .await
        };
        let call = &mut store.data_mut().call;
        call.input = stdin.take();
        // Without an error, the output that is left is the end of the response.
        let is_success = matches!(&returned, Ok(Ok(())))
            || returned.as_ref().is_err_and(|error| matches!(error.downcast_ref(), Some(I32Exit(0))));
        let (writer, error) = stdout.end(is_success);
        call.writer = writer;
        match (error, returned?) {
            (Some(error), _) => Ok(Err(format!("the program is not a CGI program: {error}"))),
            (None, Ok(())) => Ok(Ok(())),
            (None, Err(())) => Ok(Err("the program ended with a failure".to_owned())),
        }
    }
}

/// Reads the beginning of a body without a length. Returns what went wrong with the body, if anything.
async fn measure(store: &mut Store<Guest>) -> wasmtime::Result<Option<String>> {
    let call = &mut store.data_mut().call;
    if call.content_length.is_some() || !call.input.has_body() {
        return Ok(None);
    }
    let mut input = mem::take(&mut call.input);
    let measured = wait::wait(&mut store.as_context_mut(), "reading the body", input.measure(MEASURED)).await;
    let call = &mut store.data_mut().call;
    call.input = input;
    match measured? {
        Ok(length) => {
            call.content_length = length;
            Ok(None)
        }
        Err(error) => Ok(Some(format!("the body could not be read: {error:?}"))),
    }
}

/// The variables of the request (section 4.1). Names with a dot belong to WSGI. WASI's variables are text, so other bytes
/// are replaced.
fn environment(guest: &mut Guest) -> Vec<(String, String)> {
    let variables = guest.call.environ().iter().filter(|(name, _)| !name.contains('.'));
    variables.map(|(name, value)| (name.as_ref().to_owned(), String::from_utf8_lossy(value).into_owned())).collect()
}

/// The words of a query without `=`, which are arguments of the program (section 4.4). There are none if one of them could
/// be taken for an option.
fn words(guest: &Guest) -> Vec<String> {
    let head = &guest.call.exchange.head;
    let query = head.parts().query;
    if query.is_empty() || query.contains(&b'=') || !matches!(head.method(), b"GET" | b"HEAD") {
        return Vec::new();
    }
    let words: Vec<String> = query.split(|byte| *byte == b'+').map(decode).collect();
    if words.iter().any(|word| word.starts_with('-')) { Vec::new() } else { words }
}

/// Decodes `%XX`, and keeps what is not valid. NUL ends an argument in many programs, so it is left out.
fn decode(word: &[u8]) -> String {
    let digit = |at: usize| word.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut decoded = Vec::with_capacity(word.len());
    let mut at = 0;
    while at < word.len() {
        match (word[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded.retain(|byte| *byte != 0);
    String::from_utf8_lossy(&decoded).into_owned()
}
