//! Replaces a handler again and again under load, every other time with an invalid file.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, Scale,
    report::{growth, in_ms},
};
use crate::{
    client::{Client, End},
    guest,
    place::Place,
    server::{Launch, Server},
};

/// How many clients send requests in a loop.
const CLIENTS: usize = 4;

/// How many different handlers alternate.
const EDITIONS: usize = 10;

/// The text of the example, which each edition changes.
const GREETING: &[u8] = b"Hello, World!\n";

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Replaced under load",
        &["swaps", "corrupt", "requests", "failed or mixed", "slowest swap", "memory growth"],
    );
    let place = Place::new();
    let file = place.file("handler.wasm", edition(0));
    let server = Launch::file(&file).flags(["--access-log-format", "none"]).start();
    let swaps = scale.of(1000, 24);
    let (is_over, asked, wrong) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (mut slowest, mut before) = (Duration::ZERO, 0);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, is_over, asked, wrong) = (&server, &is_over, &asked, &wrong);
            scope.spawn(move || {
                let mut kept = server.connect();
                while !is_over.load(Ordering::Relaxed) {
                    // Half of the clients use a new connection for each request.
                    let is_right = match client % 2 {
                        0 => is_right(&mut kept),
                        _ => is_right(&mut server.connect()),
                    };
                    asked.fetch_add(1, Ordering::Relaxed);
                    wrong.fetch_add(usize::from(!is_right), Ordering::Relaxed);
                }
            });
        }
        for number in 0..swaps {
            let begun = Instant::now();
            swap(&server, &place, &file, number);
            slowest = slowest.max(begun.elapsed());
            if number == 2 * EDITIONS {
                before = server.resident();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let (asked, wrong, grown) = (asked.into_inner(), wrong.into_inner(), growth(before, server.resident()));
    report.row(vec![
        swaps.to_string(),
        (swaps / 2).to_string(),
        asked.to_string(),
        wrong.to_string(),
        in_ms(slowest),
        format!("{grown:.1} MiB"),
    ]);
    report.count("requests that failed or got a mixed response", 0, wrong as u64);
    report.measure(
        "memory growth since each edition was served once",
        "<= 32 MiB",
        format!("{grown:.1} MiB"),
        grown <= 32.0,
    );
    report
}

/// Replaces the handler with another one or with something corrupt, and waits until the server reports that.
fn swap(server: &Server, place: &Place, file: &Path, number: usize) {
    let is_corrupt = number % 2 == 1;
    let bytes = edition((number / 2 + 1) % EDITIONS);
    let bytes = if is_corrupt { &bytes[..bytes.len() * (number % 7 + 1) / 9] } else { &bytes[..] };
    if is_corrupt {
        // Truncated, as a killed compiler leaves it.
        fs::write(file, bytes).expect("a place is writable");
    } else {
        // Renamed, as cargo and most editors do it.
        fs::rename(place.file("handler.wasm.new", bytes), file).expect("a place is writable");
    }
    let part = if is_corrupt { "still serving the previous version" } else { "serving the new" };
    server.lines(number / 2 + 1, |line| line.contains(part));
}

/// The example, with another number in its text.
fn edition(number: usize) -> Vec<u8> {
    let mut bytes = fs::read(guest::program("hello")).expect("the guest was just built");
    let at =
        bytes.windows(GREETING.len()).position(|window| window == GREETING).expect("the guest contains its greeting");
    bytes[at + GREETING.len() - 2] = b'0' + u8::try_from(number).expect("the number is a digit");
    bytes
}

/// Whether one request gets the complete response of one of the handlers.
fn is_right(client: &mut Client) -> bool {
    client.send("GET / HTTP/1.1\r\nHost: siege\r\n\r\n");
    let response = client.response();
    let (text, last) = response.body.split_at(response.body.len().saturating_sub(2));
    let is_one = text == &GREETING[..GREETING.len() - 2] && matches!(last, [b'0'..=b'9', b'\n']);
    response.status == 200 && response.end == End::Whole && is_one
}
