//! `wasmserve dump`: prints exactly what clients send, without parsing it.
//!
//! One thread prints what all connections receive. If its output is not read, connections wait: nothing is dropped, and
//! memory stays bounded.

mod print;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
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
    transport::acceptor::{Listeners, Pause, accept},
};

/// How many connections may be open at the same time. Further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// How many bytes are read at once.
const READ: usize = 16 << 10;

/// How many items may wait to be printed.
const QUEUE: usize = 64;

/// How long a client must pause until we assume that it waits for an answer, as we do not parse what it sends.
const REPLY_AFTER: Duration = Duration::from_millis(200);

/// How long a client may pause after its answer before its connection is closed.
const CLOSE_AFTER: Duration = Duration::from_secs(2);

/// How long exiting waits until everything is printed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to every request.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The answer to a client that waits for permission to send its body (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Prints what clients send, until a signal arrives or the output is closed.
///
/// # Errors
///
/// The address cannot be used. Nothing has listened then.
pub(crate) fn run(dump: &Dump) -> Result<Exit, StartError> {
    let runtime = Runtime::new().context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let (seen, to_print) = channel(QUEUE);
    let (done, is_done) = mpsc::channel::<()>();
    let is_hex = dump.hex;
    let printer = thread::Builder::new().name("print".into()).spawn(move || {
        // Fails when the output is closed. Dropping the receiver then stops the server.
        _ = print_all(to_print, is_hex);
        drop(done);
    });
    printer.context("cannot create the printing thread").or_exit(Exit::Failed)?;

    let listeners = runtime.block_on(async {
        let sockets = bind(&dump.addr, None).await?;
        listen(sockets, &dump.addr)
    });
    let listeners = listeners.or_exit(Exit::Address)?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        for listener in &listeners {
            let addr = listener.local_addr().context("cannot get the listening address").or_exit(Exit::Failed)?;
            _ = seen.send(Seen::Note(format!("listening on http://{addr}"))).await;
        }
        tokio::select! {
            () = accept_all(listeners.into(), dump, &seen) => {}
            () = seen.closed() => {}
            () = async { while matches!(signals.recv().await, Signal::Report | Signal::Continue) {} } => {}
        }
        Ok(())
    })?;
    drop(seen);
    runtime.shutdown_background();
    // Nothing is ever sent: the channel closes when everything is printed.
    _ = is_done.recv_timeout(FLUSH_TIMEOUT);
    Ok(Exit::Done)
}

/// Accepts and prints all connections, or only the first one with `--once`.
async fn accept_all(mut listeners: Listeners, dump: &Dump, seen: &Sender<Seen>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (mut id, mut pause) = (0, Pause::default());
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let failed = |error: &std::io::Error| {
            // Dropped if the printer is behind.
            _ = seen.try_send(Seen::Note(format!("wasmserve: cannot accept a connection: {error}")));
        };
        let (stream, peer) = accept(&mut listeners, &mut pause, failed).await;
        id += 1;
        _ = seen.send(Seen::Note(format!("[{id}] connected from {peer}"))).await;
        if dump.once {
            return print_connection(id, stream, dump.reply, seen).await;
        }
        let (is_answered, seen) = (dump.reply, seen.clone());
        tokio::spawn(async move {
            print_connection(id, stream, is_answered, &seen).await;
            drop(permit);
        });
    }
}

/// Passes on what a client sends until its connection ends.
async fn print_connection(id: u64, mut stream: TcpStream, is_answered: bool, seen: &Sender<Seen>) {
    let mut buffer = vec![0; READ];
    let (mut at, mut is_held_back, mut is_replied) = (0, false, false);
    let end = loop {
        let limit = match (is_answered, is_replied) {
            (true, true) => CLOSE_AFTER,
            (true, false) if at > 0 => REPLY_AFTER,
            _ => Duration::MAX,
        };
        match timeout(limit, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => {
                if is_answered && !is_replied {
                    reply(&mut stream).await;
                }
                break "closed by the client".to_owned();
            }
            Ok(Ok(length)) => {
                if seen.send(Seen::Bytes { id, at, bytes: buffer[..length].to_vec() }).await.is_err() {
                    return;
                }
                at += length as u64;
                is_held_back = holds_back(&buffer[..length]);
            }
            Ok(Err(error)) => break format!("broken: {error}"),
            Err(_) if is_replied => break "closed after no more data arrived".to_owned(),
            // If writing fails, the next read fails as well.
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
    _ = seen.send(Seen::Note(format!("[{id}] {end}, after {at} bytes"))).await;
}

/// Whether the bytes may end before a body that the client holds back. This is all that is parsed of what clients send.
fn holds_back(bytes: &[u8]) -> bool {
    let sign = b"100-continue";
    bytes.ends_with(b"\r\n\r\n") && bytes.windows(sign.len()).any(|part| part.eq_ignore_ascii_case(sign))
}

/// Answers and closes the sending side. If that fails, the next read fails as well.
async fn reply(stream: &mut TcpStream) {
    _ = stream.write_all(REPLY).await;
    _ = stream.shutdown().await;
}
