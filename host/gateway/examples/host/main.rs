//! A small server of handlers, with a thread for each connection and an instance for each request:
//!
//! ```sh
//! cargo run --workspace --example host -- hello.wasm
//! ```
//!
//! It has none of the limits that wasmserve has, and gives handlers nothing but the gateway.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it has no other log")]

mod connection;
mod world;

use std::{env, net::TcpListener, sync::Arc, thread, time::Duration};

use wasmserve_gateway::{
    environ::{self, Facts, Peer},
    head::HeadLimits,
    input::Input,
    request::{RequestLimits, Version},
    response::{EndError, ResponseRules, Takes, Writer},
    stream::{Framing, Start},
};
use wasmtime::{
    Engine, Result, Store,
    component::{Component, HasSelf, Linker},
};

use self::{
    connection::{Arriving, Connection, Outgoing},
    world::{Application, ApplicationPre, Exchange},
};

/// How long a handler is told that it may run. Nothing here ends it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest request body, in bytes.
const BODY: u64 = 32 << 20;

fn main() -> Result<()> {
    let file = env::args_os().nth(1).expect("the argument is a component");
    let engine = Engine::default();
    let component = Component::from_file(&engine, file)?;
    let mut linker = Linker::new(&engine);
    Application::add_to_linker::<_, HasSelf<_>>(&mut linker, |exchange| exchange)?;
    // A host that gives handlers more than the gateway links WASI here.
    linker.define_unknown_imports_as_traps(&component)?;
    let handler = ApplicationPre::new(linker.instantiate_pre(&component)?)?;

    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("listening on http://{}", listener.local_addr()?);
    for client in listener.incoming() {
        let (client, handler) = (client?, handler.clone());
        thread::spawn(move || {
            let peer = Peer { remote: client.peer_addr()?, local: client.local_addr()? };
            let connection = Arc::new(Connection::new(client));
            while let Some(start) = connection.next_request() {
                if !serve(&handler, &connection, peer, start) {
                    break;
                }
            }
            std::io::Result::Ok(())
        });
    }
    Ok(())
}

/// Answers a request. Returns whether another one may follow.
fn serve(handler: &ApplicationPre<Exchange>, connection: &Arc<Connection>, peer: Peer, start: Start) -> bool {
    let refusal = start.refusal.clone().or_else(|| start.head.check(RequestLimits::DEFAULT).err());
    let is_head = start.head.method() == b"HEAD";
    let rules = ResponseRules { is_head, trailers: Takes::Nothing, limits: HeadLimits::DEFAULT };
    let has_chunks = start.head.version() == Version::Http11;
    let (mut writer, outgoing) = Outgoing::new(connection, rules, has_chunks, start.is_last || refusal.is_some());
    if let Some(refusal) = refusal {
        fail(&mut writer, refusal.status());
        return outgoing.end();
    }

    let has_body = start.framing != Framing::Length(0);
    let content_length = match start.framing {
        Framing::Length(length) => start.head.values("content-length").next().map(|_| length),
        Framing::Chunked => None,
    };
    let body = has_body.then(|| Box::pin(Arriving::new(connection, start.expects_continue)) as _);
    let facts = Facts { content_length, ..Facts::new(peer, TIMEOUT) };
    let environ = environ::build(&start.head, &facts);
    let exchange = Exchange { head: start.head, environ, input: Input::new(body, BODY), writer, outgoing };

    let mut store = Store::new(handler.engine(), exchange);
    let outcome = handler
        .instantiate(&mut store)
        .and_then(|instance| instance.wasmserve_gateway_handler().call_handle(&mut store));
    let Exchange { mut writer, mut outgoing, .. } = store.into_data();
    let fault = match outcome {
        Ok(Ok(())) => writer.end().err().map(|error| match error {
            EndError::NoStartResponse => "there is no response".to_owned(),
            EndError::BadHead(error) => error.to_string(),
            EndError::ShortBody { missing } => format!("the body lacks {missing} bytes"),
            EndError::Exception(text) => text,
        }),
        Ok(Err(exception)) => Some(exception),
        Err(trap) => Some(format!("{trap:#}")),
    };
    if let Some(fault) = fault {
        eprintln!("fault: {fault}");
        if !outgoing.has_begun() {
            // The handler has no response, or one of which nothing was sent.
            (writer, outgoing) = outgoing.anew();
            fail(&mut writer, 500);
        }
    }
    // Without its end, the client sees that the response is incomplete.
    drop(writer);
    outgoing.end()
}

/// Answers instead of a handler.
fn fail(writer: &mut Writer, status: u16) {
    let text = format!("{status} Error");
    writer.respond(&text, Vec::new(), text.clone().into()).expect("the status is valid, and nothing was started");
}
