//! Checks what an instance leaves behind for the next one, and whether any data crosses between exchanges (fault F28).

mod absent;
mod connections;
mod findings;
mod places;
mod trial;

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use self::findings::Findings;
use super::{Report, Scale, crowd, random::Random, wire};
use crate::{
    client::{Client, End},
    server::Launch,
};

/// The timeout of short exchanges.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The ways to end: name, target, and whether the client leaves.
const ENDINGS: [(&str, &str, bool); 5] = [
    ("returns", "/remembers", false),
    ("traps", "/remembers/traps", false),
    ("is stopped by a limit", "/remembers/spins", false),
    ("is left while it waits", "/remembers/waits", true),
    ("is left while it computes", "/remembers/spins", true),
];

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Isolation",
        &["how the previous instance ended", "instances", "foreign data found (16 MiB, a table and globals each)"],
    );
    // CPU time, not wall time: a busy machine must not change how far instances get before they end.
    let server = Launch::mounted(&["remembers", "hello"]).flags(["--cpu-time", "300ms"]).start();
    let reuses = scale.of(1000, 16);
    for (name, target, leaves) in ENDINGS {
        let found = crowd::each(reuses, 8, |_| {
            // While handlers of clients that have left still compute, newcomers may be refused with 503, and try again.
            let looks = std::iter::repeat_with(|| look(server.addr(), target, leaves));
            let mut looks = looks.map(|look| look.map_err(|seen| seen.starts_with(b"HTTP/1.1 503")));
            looks.by_ref().take(10_000).find(|look| *look != Err(true))?.ok()
        });
        let unknown = found.iter().filter(|found| found.is_none()).count();
        let found: u64 = found.into_iter().flatten().sum();
        report.row(vec![name.into(), reuses.to_string(), found.to_string()]);
        report.count(&format!("foreign words and entries after an instance that {name}"), 0, found);
        report.count(&format!("instances without a report after an instance that {name}"), 0, unknown as u64);
    }
    let mut findings = Findings::default();
    places::lay(scale, &mut findings, &mut report);
    connections::lay(scale, &mut findings, &mut report);
    findings.report(&mut report);
    match scale {
        Scale::Full => absent::lay(&mut report),
        Scale::Short => report.note("Only the full siege tests pages that are swapped out or moved.".into()),
    }
    echoes(scale.of(100_000, 500), &mut report);
    report
}

/// Has an instance report how much foreign data it finds, fill everything that it has, and end in this way.
///
/// # Errors
///
/// What it sent instead of a report.
fn look(addr: SocketAddr, target: &str, leaves: bool) -> Result<u64, Vec<u8>> {
    let mut seen = Vec::new();
    let Ok(mut stream) = wire::connect(addr, TIMEOUT) else { return Err(seen) };
    let head = format!("POST {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nContent-Length: 1\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return Err(seen);
    }
    let mut part = [0; 4096];
    let number = loop {
        if let Some(number) = number_in(&seen) {
            break number;
        }
        match stream.read(&mut part) {
            Ok(read) if read > 0 => seen.extend_from_slice(&part[..read]),
            _ => return Err(seen),
        }
    };
    if !leaves {
        // Some responses are cut, which does not matter here.
        _ = stream.read_to_end(&mut seen);
    }
    Ok(number)
}

/// The only chunk of a response: ten digits.
fn number_in(seen: &[u8]) -> Option<u64> {
    const CHUNK: &[u8] = b"\r\n\r\nA\r\n";
    let at = seen.windows(CHUNK.len()).position(|bytes| bytes == CHUNK)? + CHUNK.len();
    str::from_utf8(seen.get(at..at + 10)?).ok()?.parse().ok()
}

/// Echoes that must return unchanged while other handlers fail.
fn echoes(count: usize, report: &mut Report) {
    const CLIENTS: usize = 8;
    let server = Launch::mounted(&["echo", "traps", "panics", "returns_an_error"]).start();
    let wrong = crowd::each(CLIENTS, CLIENTS, |client| {
        let mut random = Random::of(client);
        let mut connection = server.connect();
        let mut wrong = 0_u64;
        for _ in 0..count / CLIENTS {
            if random.next().is_multiple_of(100) {
                let fault = ["/traps", "/panics", "/returns_an_error"][(random.next() % 3) as usize];
                wrong += u64::from(server.get(fault).status != 500);
            }
            wrong += u64::from(!comes_back(&mut connection, &mut random));
        }
        wrong
    });
    let wrong: u64 = wrong.into_iter().sum();
    report.row(vec![format!("{count} echoes, 1 % faults"), String::new(), wrong.to_string()]);
    report.count("echoes with a wrong byte", 0, wrong);
}

/// Sends up to 64 KiB of random bytes on a kept-alive connection, and checks that they come back.
fn comes_back(connection: &mut Client, random: &mut Random) -> bool {
    let length = (random.next() % (64 << 10)) as usize;
    let body: Vec<u8> = std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(length).collect();
    let head = format!("PUT /echo HTTP/1.1\r\nHost: siege\r\nContent-Length: {length}\r\n\r\n");
    connection.send([head.into_bytes(), body.clone()].concat());
    let response = connection.response();
    response.status == 200 && response.end == End::Whole && response.body == body
}
