//! `--capture` writes every exchange to files, and `wasmserve convert` exports them.

use std::{fs, path::Path, time::Instant};

use rustix::process::Signal;
use wasmserve::capture::{record::Record, warc::read_path};
use wasmserve_tests::{
    TIMEOUT,
    place::Place,
    server::{Ended, Launch, Server, refuses},
};

/// Starts a guest whose exchanges are written to the directory `captures` in a place.
fn capture(place: &Place, program: &str, flags: &[&str]) -> Server {
    Launch::program(program).at(place).flags(["--capture", "captures"]).flags(flags).start()
}

/// What a directory contains, and what could not be read.
fn read(directory: &Path) -> (Vec<Record>, Vec<String>) {
    let mut files = read_path(directory).expect("there are captures");
    let mut records: Vec<Record> = files.by_ref().collect();
    // They are in the order in which they were completed.
    records.sort_by_key(|record| record.id);
    (records, files.problems())
}

fn convert(place: &Place, words: &[&str]) -> Ended {
    let ended = Launch::bare().at(place).flags(["convert", "captures"]).flags(words).run();
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    ended
}

const FORMATS: [&str; 8] = ["raw", "curl", "har", "rest", "hurl", "test", "pcapng", "warc"];

#[test]
fn o1_files_have_every_exchange_to_the_byte() {
    let place = Place::new();
    let server = capture(&place, "echo", &[]);
    let requests: [&[u8]; 4] = [
        b"POST /a?b HTTP/1.1\r\nHOST:x\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\x00\xff\r\n",
        b"POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nConnection: close\n\n1;e=1\r\na\r\n0\r\nT: u\r\n\r\n",
        b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
    ];
    let received: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| {
            let mut client = server.connect();
            client.send(request);
            client.rest().0
        })
        .collect();
    server.stop();
    let (records, problems) = read(&place.join("captures"));
    assert_eq!((records.len(), problems), (requests.len(), vec![]));
    for ((record, request), response) in records.iter().zip(requests).zip(&received) {
        assert_eq!(record.request.bytes.escape_ascii().to_string(), request.escape_ascii().to_string());
        assert_eq!(record.response.bytes.escape_ascii().to_string(), response.escape_ascii().to_string());
        let path = format!("{}.request", record.id);
        convert(&place, &["--as", "raw", "--only", &record.id.to_string(), "-o", &path]);
        assert_eq!(fs::read(place.join(&path)).expect("it is written"), request);
        assert_eq!(fs::read(place.join(format!("{}.response", record.id))).expect("it is beside it"), *response);
    }
}

#[test]
fn o12_what_was_complete_is_there_after_the_server_was_killed() {
    let place = Place::new();
    let server = capture(&place, "hello", &[]);
    let captures = place.join("captures");
    let begun = Instant::now();
    let mut sent = 0;
    while read_path(&captures).map_or(0, Iterator::count) < 100 {
        assert!(begun.elapsed() < TIMEOUT, "nothing is written");
        server.get("/");
        sent += 1;
    }
    server.signal(Signal::KILL);
    _ = server.wait();
    let (records, problems) = read(&captures);
    assert!(records.len() >= 100 && records.len() <= sent && problems.len() <= 1, "{problems:?}");
    assert!(records.is_sorted_by(|one, next| one.id < next.id), "each is there once");
    convert(&place, &["--as", "har", "-o", "all.har"]);
    let har = fs::read(place.join("all.har")).expect("it is written");
    let har: serde_json::Value = serde_json::from_slice(&har).expect("it is JSON");
    assert_eq!(har["log"]["entries"].as_array().map(Vec::len), Some(records.len()));
}

#[test]
fn o11_exports_contain_no_secrets_unless_they_are_asked_for() {
    let place = Place::new();
    let server = capture(&place, "hello", &[]);
    server.ask(
        "GET /?token=s3cret&page=2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\nCookie: id=s3cret\r\n\
         X-Own: s3cret\r\nConnection: close\r\n\r\n",
    );
    server.stop();
    let exported = || String::from_utf8_lossy(&fs::read(place.join("out")).expect("it is written")).into_owned();
    for format in FORMATS {
        let ended = convert(&place, &["--as", format, "-o", "out", "--redact", "x-own"]);
        assert!(!exported().contains("s3cret"), "{format}: {}", exported());
        let replaced =
            "replaced the secrets ?token, Authorization, Cookie, X-Own; bodies and log lines were not searched";
        assert!(ended.stderr.contains(replaced), "{format}: {}", ended.stderr);
        let ended = convert(&place, &["--as", format, "-o", "out", "--with-secrets"]);
        assert!(exported().contains("s3cret") && !ended.stderr.contains("replaced"), "{format}: {}", exported());
    }
}

#[test]
fn o2_every_export_says_what_was_cut() {
    let place = Place::new();
    let server = capture(&place, "echo", &["--capture-body", "10"]);
    server.ask(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{:1000}", ""));
    server.stop();
    for format in ["raw", "curl", "har", "rest", "hurl", "test", "pcapng"] {
        let ended = convert(&place, &["--as", format, "-o", "out"]);
        assert!(ended.stderr.contains("[1] the request is cut: "), "{format}: {}", ended.stderr);
    }
    let (records, _) = read(&place.join("captures"));
    let request = &records[0].request;
    assert_eq!((request.bytes.len() as u64 - request.head, request.total - request.head), (10, 1000));
    let segments = fs::read_dir(place.join("captures")).expect("it is readable");
    let segment = segments.map(|entry| entry.expect("it is readable").path()).next().expect("there is one");
    let text = fs::read(segment).expect("it is readable");
    assert!(String::from_utf8_lossy(&text).contains("WARC-Truncated: length\r\n"));
}

#[test]
fn captures_are_never_where_handlers_or_clients_can_read_them() {
    let place = Place::new();
    place.file("index.html", "hello");
    let files = Launch::file(&place).at(&place).flags(["--capture", "sub/captures"]);
    refuses(files, 2, &["is served, and with it `sub/captures`", "give --capture another directory"]);
    let granted = Launch::program("hello").at(&place).flags(["--dir", ".::/data:ro", "--capture", "captures"]);
    refuses(granted, 2, &["--dir .::/data:ro would let a handler read `captures`"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_reported_before_anything_listens() {
    let place = Place::new();
    place.file("file", "");
    let launch = Launch::program("hello").at(&place).flags(["--capture", "file"]);
    refuses(launch, 1, &["`file` cannot be used for --capture"]);
}

#[test]
fn what_cannot_be_converted_is_explained() {
    let place = Place::new();
    let server = capture(&place, "hello", &[]);
    server.get("/");
    server.stop();
    place.file("gzipped.warc", b"\x1f\x8b\x08\x00");
    fs::create_dir(place.join("empty")).expect("a place is writable");
    for (words, code, parts) in [
        (&["captures"][..], 2, &["--as"][..]),
        (
            &["captures", "--as", "burl"],
            2,
            &["--as cannot be `burl`", "curl, har, raw, rest, hurl, test, pcapng, warc"],
        ),
        (&["captures", "--as", "curl", "--only", "7"], 1, &["there is no exchange 7"]),
        (&["nothing", "--as", "curl"], 1, &["`nothing` cannot be read: No such file"]),
        (&["empty", "--as", "curl"], 1, &["`empty` contains no captures"]),
        (&["captures", "--as", "curl", "-o", "empty"], 1, &["`empty` cannot be written: it is a directory"]),
    ] {
        refuses(Launch::bare().at(&place).flags(["convert"]).flags(words), code, parts);
    }
    let ended = Launch::bare().at(&place).flags(["convert", "gzipped.warc", "--as", "curl"]).run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("it is compressed; decompress it with gunzip first"), "{}", ended.stderr);
}
