//! Injects one fault, and checks what the client sees.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::kinds::{Client, End, Kind, TIMEOUT};
use crate::siege::wire::{self, Seen};

/// Anything that takes longer is a hang.
pub(super) const HANG: Duration = Duration::from_secs(120);

/// The result of an injection.
pub(super) struct Injected {
    pub(super) is_status_right: bool,
    pub(super) is_kind_right: bool,
    pub(super) taken: Duration,
    /// What the client saw, for the report.
    pub(super) outcome: String,
}

/// Has a guest cause one fault.
pub(super) fn inject(addr: SocketAddr, kind: &Kind) -> Injected {
    let target = format!("/{}{}", kind.program, kind.target);
    let begun = Instant::now();
    let seen = match kind.client {
        Client::Gets => wire::ask(addr, &wire::get(&target), HANG),
        Client::Posts => wire::ask(addr, &wire::post(&target, 1 << 20), HANG),
        Client::Stalls => stall(addr, &target),
        Client::Leaves => leave(addr, &target),
    };
    judge(kind.end, seen, begun.elapsed())
}

/// Reads nothing for longer than the handler may run.
fn stall(addr: SocketAddr, target: &str) -> io::Result<Seen> {
    let mut stream = wire::connect(addr, HANG)?;
    stream.write_all(&wire::get(target))?;
    thread::sleep(TIMEOUT + Duration::from_millis(500));
    wire::receive(&mut stream)
}

/// Sends a request, and waits for the start of the response. Returns the connection and the status.
pub(super) fn begin(addr: SocketAddr, target: &str) -> io::Result<(TcpStream, u16)> {
    let mut stream = wire::connect(addr, HANG)?;
    stream.write_all(&wire::get(target))?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let status = str::from_utf8(&line[9..]).ok().and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((stream, status))
}

/// Leaves after the start of the response.
fn leave(addr: SocketAddr, target: &str) -> io::Result<Seen> {
    let (_, status) = begin(addr, target)?;
    Ok(Seen { status, fault: None, says_when: false, body: Vec::new(), is_whole: false })
}

fn judge(end: End, seen: io::Result<Seen>, taken: Duration) -> Injected {
    let outcome = match &seen {
        Ok(seen) => {
            let how = if seen.is_whole { "whole" } else { "cut" };
            format!("{} {how}, Wasmserve-Fault {:?}, {} bytes", seen.status, seen.fault, seen.body.len())
        }
        Err(error) => error.to_string(),
    };
    let (is_status_right, is_kind_right) = seen.map_or((false, false), |seen| {
        let (status, is_whole, kind) = match end {
            End::Answer(status) => (status, true, None),
            End::Fault(status, kind) => (status, true, Some(kind)),
            // The client has received the start of a response, and the connection ends.
            End::Cut(_) | End::Left => (200, false, None),
        };
        (seen.status == status && seen.is_whole == is_whole, seen.fault.as_deref() == kind)
    });
    Injected { is_status_right, is_kind_right, taken, outcome }
}
