//! A handler that is replaced again and again under load, half of the time by something that is no handler.

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

/// How many clients ask again and again.
const CLIENTS: usize = 4;

/// How many different handlers take turns.
const EDITIONS: usize = 10;

/// What the example says, and where it may say something else.
const GREETING: &[u8] = b"Hello, World!\n";

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Replaced under load",
        &["swaps", "of them corrupt", "requests", "failed or mixed", "the slowest swap", "grown by"],
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
                    // Half of them on connections of their own.
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
    report.count("requests that failed or got a mixture", 0, wrong as u64);
    report.measure("memory grown by since each was served once", "<= 32 MiB", format!("{grown:.1} MiB"), grown <= 32.0);
    report
}

/// Has another handler served, or something corrupt refused, and waits until that is told.
fn swap(server: &Server, place: &Place, file: &Path, number: usize) {
    let is_corrupt = number % 2 == 1;
    let octets = edition((number / 2 + 1) % EDITIONS);
    let octets = if is_corrupt { &octets[..octets.len() * (number % 7 + 1) / 9] } else { &octets[..] };
    if is_corrupt {
        // As a compiler writes it that is killed meanwhile.
        fs::write(file, octets).expect("a place is writable");
    } else {
        // As cargo and most editors do it.
        fs::rename(place.file("handler.wasm.new", octets), file).expect("a place is writable");
    }
    let part = if is_corrupt { "still serving the previous version" } else { "serving the new" };
    server.lines(number / 2 + 1, |line| line.contains(part));
}

/// The example, with another number in what it says.
fn edition(number: usize) -> Vec<u8> {
    let mut octets = fs::read(guest::program("hello")).expect("it was just built");
    let at = octets.windows(GREETING.len()).position(|window| window == GREETING).expect("it greets");
    octets[at + GREETING.len() - 2] = b'0' + u8::try_from(number).expect("it is a digit");
    octets
}

/// Whether one request is answered in full by one of the handlers.
fn is_right(client: &mut Client) -> bool {
    client.send("GET / HTTP/1.1\r\nHost: siege\r\n\r\n");
    let response = client.response();
    let (text, last) = response.body.split_at(response.body.len().saturating_sub(2));
    let is_one = text == &GREETING[..GREETING.len() - 2] && matches!(last, [b'0'..=b'9', b'\n']);
    response.status == 200 && response.end == End::Whole && is_one
}
