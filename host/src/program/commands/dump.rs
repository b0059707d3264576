//! The raw server: prints exactly what clients send, reads nothing of it, and has no handler.
//!
//! Connections tell what comes in, one thread prints it. When nobody takes what it prints, connections wait: nothing is
//! dropped, and nothing piles up.

mod print;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{
        Semaphore,
        mpsc::{Sender, channel},
    },
    time::timeout,
};

use self::print::{Seen, print_all};
use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    lifecycle::signals::{Signal, Signals},
    program::task::Dump,
    server::socket::{bind, listen},
    transport::acceptor::{Pause, accept},
};

/// How many connections may be open at the same time. More wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// How much is read at once, and so how much of a connection waits to be printed.
const READ: usize = 16 << 10;

/// How many things may wait to be printed.
const QUEUE: usize = 64;

/// How long a client says nothing when it waits for its answer, as far as can be told without reading what it says.
const SILENCE: Duration = Duration::from_millis(200);

/// How long a client that has its answer may say nothing before its connection is closed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the end waits for those who read what is printed.
const FLUSH: Duration = Duration::from_secs(1);

/// The answer to everything.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What a client gets that says that it sends its body only after this (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Prints what clients send until it is told to stop, or until nobody reads it.
///
/// # Errors
///
/// The address cannot be used. Nothing has listened then.
pub(crate) fn run(dump: &Dump) -> Result<Exit, StartError> {
    let runtime = Runtime::new().context("no runtime").or_exit(Exit::Failed)?;
    let (seen, to_print) = channel(QUEUE);
    let (done, is_done) = mpsc::channel::<()>();
    let is_hex = dump.hex;
    let printer = thread::Builder::new().name("print".into()).spawn(move || {
        // Nobody reads it any more: then the channel is closed, which ends the rest.
        _ = print_all(to_print, is_hex);
        drop(done);
    });
    printer.context("no thread to print").or_exit(Exit::Failed)?;

    let listener = runtime.block_on(async {
        let socket = bind(&dump.addr, None).await?;
        listen(socket, &dump.addr)
    });
    let listener = listener.or_exit(Exit::Address)?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("no signals").or_exit(Exit::Failed)?;
        let addr = listener.local_addr().context("no address").or_exit(Exit::Failed)?;
        _ = seen.send(Seen::Note(format!("listening on http://{addr}"))).await;
        tokio::select! {
            () = accept_all(&listener, dump, &seen) => {}
            () = seen.closed() => {}
            () = async { while signals.recv().await == Signal::Report {} } => {}
        }
        Ok(())
    })?;
    drop(seen);
    runtime.shutdown_background();
    // It never says anything: that its end is dropped tells that all is printed.
    _ = is_done.recv_timeout(FLUSH);
    Ok(Exit::Done)
}

/// Watches all connections, or only the first.
async fn accept_all(listener: &TcpListener, dump: &Dump, seen: &Sender<Seen>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (mut id, mut pause) = (0, Pause::default());
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let failed = |error: &std::io::Error| {
            // A printer that is behind has other things to print.
            _ = seen.try_send(Seen::Note(format!("wasmserve: no connection: {error}")));
        };
        let (stream, peer) = accept(listener, &mut pause, failed).await;
        id += 1;
        _ = seen.send(Seen::Note(format!("[{id}] connected from {peer}"))).await;
        if dump.once {
            return watch(id, stream, dump.reply, seen).await;
        }
        let (is_answered, seen) = (dump.reply, seen.clone());
        tokio::spawn(async move {
            watch(id, stream, is_answered, &seen).await;
            drop(permit);
        });
    }
}

/// Tells what comes in on a connection, up to its end.
async fn watch(id: u64, mut stream: TcpStream, is_answered: bool, seen: &Sender<Seen>) {
    let mut buffer = vec![0; READ];
    let (mut at, mut is_held_back, mut is_replied) = (0, false, false);
    let end = loop {
        let patience = match (is_answered, is_replied) {
            (true, true) => PATIENCE,
            (true, false) if at > 0 => SILENCE,
            _ => Duration::MAX,
        };
        match timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => {
                if is_answered && !is_replied {
                    reply(&mut stream).await;
                }
                break "closed by the client".to_owned();
            }
            Ok(Ok(length)) => {
                if seen.send(Seen::Octets { id, at, octets: buffer[..length].to_vec() }).await.is_err() {
                    return;
                }
                at += length as u64;
                is_held_back = holds_back(&buffer[..length]);
            }
            Ok(Err(error)) => break format!("broken: {error}"),
            Err(_) if is_replied => break "closed, as nothing more has come".to_owned(),
            // Whether it can be written shows when the connection is read.
            Err(_) if is_held_back => {
                is_held_back = false;
                _ = stream.write_all(CONTINUE).await;
            }
            Err(_) => {
                reply(&mut stream).await;
                is_replied = true;
            }
        }
    };
    _ = seen.send(Seen::Note(format!("[{id}] {end}, after {at} octets"))).await;
}

/// Whether these may be the last octets before a body that is held back. More is not read of what clients send.
fn holds_back(octets: &[u8]) -> bool {
    let sign = b"100-continue";
    octets.ends_with(b"\r\n\r\n") && octets.windows(sign.len()).any(|part| part.eq_ignore_ascii_case(sign))
}

/// Answers, and says that this is all. A client that does not take it shows when the connection is read.
async fn reply(stream: &mut TcpStream) {
    _ = stream.write_all(REPLY).await;
    _ = stream.shutdown().await;
}
