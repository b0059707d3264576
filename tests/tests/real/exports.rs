//! What `wasmserve convert` exports, used by the programs that it is for.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    iter,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use wasmserve::capture::{record::Record, warc};
use wasmserve_tests::{
    guest,
    place::Place,
    real::{self, run, stdout_of, system},
    server::{Launch, Server},
};

/// Starts a guest whose exchanges are written to the directory `captures` in a place.
fn capture(place: &Place, program: &str) -> Server {
    Launch::program(program).at(place).flags(["--capture", "captures"]).start()
}

/// Sends requests, each on a connection of its own, and stops the server.
fn send(server: Server, requests: &[Vec<u8>]) {
    for request in requests {
        let mut client = server.connect();
        // A request that is refused need not be read to its end.
        _ = client.try_send(request);
        client.end();
        client.rest();
    }
    server.stop();
}

/// Converts the captures, and returns what is reported.
fn convert(place: &Place, format: &str, output: &str) -> String {
    convert_with(place, format, output, &[])
}

/// The same for the exchanges with these ids.
fn convert_only(place: &Place, format: &str, output: &str, ids: &str) -> String {
    convert_with(place, format, output, &["--only", ids])
}

fn convert_with(place: &Place, format: &str, output: &str, flags: &[&str]) -> String {
    let words = ["convert", "captures", "--with-secrets", "--as", format, "-o", output];
    let ended = Launch::bare().at(place).flags(words).flags(flags).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

/// The records of the captures by the number in each.
fn records(place: &Place) -> BTreeMap<usize, Record> {
    let mut files = warc::read_path(&place.join("captures")).expect("there are captures");
    let mut records = BTreeMap::new();
    for record in files.by_ref() {
        let before = records.insert(marked(&record.request.bytes), record);
        assert!(before.is_none(), "sent twice: {before:?}");
    }
    assert_eq!(files.problems(), Vec::<String>::new());
    records
}

/// What a shell, a terminal or curl could take for something else.
const HOSTILE: [&str; 34] = [
    "'",
    "\"",
    "`touch canary`",
    "$(touch canary)",
    ";touch canary;",
    "\\",
    "!",
    "!!",
    "@/etc/passwd",
    "%s",
    "%00",
    "{a,b}",
    "[1-3]",
    "*",
    "~",
    "&",
    "|",
    "<",
    ">",
    "'\\''",
    "$HOME",
    "${IFS}",
    "-d",
    "--",
    "^",
    "(",
    ")",
    "{{x}}",
    "=",
    ",",
    "\u{202e}",
    "\u{1f600}",
    "é",
    "a",
];

/// The line of a request by which it is found again.
fn marker(number: usize) -> String {
    format!("Host: n{number}.test\r\n")
}

/// The number in that line.
fn marked(request: &[u8]) -> usize {
    let text = String::from_utf8_lossy(request);
    let number = text.split_once("Host: n").and_then(|(_, rest)| rest.split_once(".test"));
    number
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_else(|| panic!("no number: {}", request.escape_ascii()))
}

/// A request as curl would write it, except that any byte may be anywhere; the number is missing in it.
fn hostile() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let piece = || prop::sample::select(&HOSTILE[..]).prop_map(|piece| piece.as_bytes().to_vec());
    let text = || vec(piece(), 0..5).prop_map(|pieces| pieces.concat());
    // What no program can send is rare, so that most requests can be compared.
    let any_bytes = || {
        prop_oneof![
            30 => Just(Vec::new()),
            30 => vec(0x80_u8.., 1..4),
            1 => prop::sample::select(&b"\0\x01\x07\x1b\x7f \t\"<>"[..]).prop_map(|byte| vec![byte]),
        ]
    };
    let mixed = move || {
        vec(prop_oneof![3 => piece(), 2 => any_bytes(), 1 => Just(b"a\tb".to_vec())], 0..5)
            .prop_map(|pieces| pieces.concat())
    };
    // The server refuses a target with white space or angle brackets.
    let target = mixed().prop_map(|text| text.into_iter().filter(|byte| !b" \t<>".contains(byte)).collect::<Vec<u8>>());
    let token = || prop_oneof![60 => "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}".prop_map(String::into_bytes), 1 => mixed()];
    let method = prop_oneof![Just(b"GET".to_vec()), Just(b"POST".to_vec()), token()];
    let body = prop_oneof![
        Just(None),
        text().prop_map(Some),
        mixed().prop_map(Some),
        vec(any::<u8>(), 1..100).prop_map(Some),
        Just(Some(b"-n\na\n\n".to_vec())),
        Just(Some(b"\0".to_vec())),
    ];
    (method, target, vec((token(), mixed()), 0..4), body, any::<bool>()).prop_map(
        |(method, target, fields, body, is_chunked)| {
            // curl would wait for a body of the response.
            let body = body.filter(|_| method != b"HEAD");
            let line = [&method[..], b" /", &target, b" HTTP/1.1\r\n"].concat();
            let mut rest = Vec::new();
            for (name, value) in fields {
                let is_special =
                    ["host", "content-length", "transfer-encoding", "expect", "te", "connection", "upgrade"]
                        .iter()
                        .any(|special| name.eq_ignore_ascii_case(special.as_bytes()));
                let value = value.trim_ascii();
                if !is_special {
                    let colon: &[u8] = if value.is_empty() { b":" } else { b": " };
                    rest.extend_from_slice(&[&name[..], colon, value, b"\r\n"].concat());
                }
            }
            match body {
                None => rest.extend_from_slice(b"\r\n"),
                Some(body) if is_chunked && !body.is_empty() => {
                    let size = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
                    rest.extend_from_slice(&[size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat());
                }
                Some(body) => {
                    let length = format!("Content-Length: {}\r\n\r\n", body.len());
                    rest.extend_from_slice(&[length.as_bytes(), &body].concat());
                }
            }
            (line, rest)
        },
    )
}

/// What is said of a request that curl sends as it was, all the same.
const CHOOSES_CHUNKS: &str = "curl chooses the sizes of chunks";

#[test]
fn o8_curl_sends_hostile_requests_again_to_the_byte_from_every_shell() {
    const COUNT: usize = 2000;
    let mut runner = TestRunner::new(Config::default());
    let random = || hostile().new_tree(&mut runner).expect("there are such requests").current();
    let large = [b"Content-Length: 200000\r\n\r\n", &[b'\''; 200_000][..]].concat();
    let fixed: [(&[u8], &[u8]); 4] = [
        (b"HEAD / HTTP/1.1\r\n", b"Empty:\r\nAccept: a\r\n\r\n"),
        (b"PUT /large HTTP/1.1\r\n", &large),
        (b"OPTIONS * HTTP/1.1\r\n", b"\r\n"),
        (b"GET http://n.test:81/a?b HTTP/1.1\r\n", b"\r\n"),
    ];
    let fixed = fixed.map(|(line, rest)| (line.to_vec(), rest.to_vec()));
    let requests = fixed.into_iter().chain(iter::repeat_with(random).take(COUNT)).enumerate();
    let requests: Vec<Vec<u8>> =
        requests.map(|(number, (line, rest))| [&line, marker(number).as_bytes(), &rest].concat()).collect();
    let place = Place::new();
    let server = capture(&place, "hello");
    let captured_at = server.addr().to_string();
    send(server, &requests);
    let captured = records(&place);
    assert_eq!(captured.len(), requests.len());
    // The numbers of the requests that curl does not send as they were, which is said.
    let mut noted = BTreeMap::<usize, String>::new();
    let ids: Vec<u64> = captured.values().map(|record| record.id).collect();
    let scripts: Vec<String> = ids
        .chunks(100)
        .map(|ids| {
            let only: Vec<String> = ids.iter().map(u64::to_string).collect();
            let notes = convert_only(&place, "curl", "some.sh", &only.join(","));
            for note in notes.lines().filter(|note| !note.contains(CHOOSES_CHUNKS)) {
                let id = note.split_once('[').and_then(|(_, rest)| rest.split_once(']')?.0.parse().ok());
                let number = captured.iter().find(|(_, record)| Some(record.id) == id).map(|(number, _)| *number);
                noted.insert(number.unwrap_or_else(|| panic!("of which exchange? {note}")), note.to_owned());
            }
            fs::read_to_string(place.join("some.sh")).expect("it is written")
        })
        .collect();
    thread::scope(|scope| {
        for shell in ["bash", "dash", "zsh"] {
            let (place, scripts, captured_at, requests, noted) = (&place, &scripts, &captured_at, &requests, &noted);
            scope.spawn(move || {
                let directory = Place::new();
                let server = capture(&directory, "hello");
                let name = format!("all.{shell}");
                for script in scripts {
                    place.file(&name, script.replace(captured_at, &server.addr().to_string()));
                    let ended = run(system(shell).arg(&name).current_dir(&**place), "");
                    assert!(ended.code.is_some(), "{shell}: {}", ended.stderr);
                }
                server.stop();
                let seen = records(&directory);
                for (number, sent) in requests.iter().enumerate().filter(|(number, _)| !noted.contains_key(number)) {
                    let seen = seen.get(&number).map(|record| record.request.bytes.escape_ascii().to_string());
                    assert_eq!(seen, Some(sent.escape_ascii().to_string()), "in {shell}");
                }
            });
        }
    });
    assert!(!place.join("canary").exists(), "a shell has run what was captured");
    assert!(noted.len() < COUNT / 3, "{} of {COUNT} were not compared: {noted:#?}", noted.len());
}

/// Requests of every kind, with one that is no HTTP at all.
fn various() -> Vec<Vec<u8>> {
    [
        &b"POST /hook?a=1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: a\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na\\`\n"[..],
        b"PUT /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\x00\xff\x01\x02",
        b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n",
        b"PROPFIND /caf\xc3\xa9?{{x}} HTTP/1.1\r\nHost: x\r\nX-A: a # b {{c}} \\\r\n\r\n",
        b"get /lower HTTP/1.1\nHost: x\n\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        b"\r\n\r\nGET /after-empty-lines HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

#[test]
fn warcio_reads_captures_and_finds_their_digests_right() {
    let place = Place::new();
    let server = capture(&place, "echo");
    send(server, &various());
    convert(&place, "warc", "again.warc");
    let python = || real::python();
    for path in place.files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "warc")) {
        let checked = stdout_of(python().args(["-m", "warcio.cli", "check", "-v"]).arg(path), "");
        assert!(checked.matches("digest pass").count() > 2 * various().len(), "{checked}");
        assert!(!checked.contains("fail") && !checked.contains("no digest"), "{checked}");
        let index = stdout_of(python().args(["-m", "warcio.cli", "index", "-f", "warc-type"]).arg(path), "");
        assert_eq!(index.matches("\"request\"").count(), various().len(), "{index}");
        assert_eq!(index.matches("\"metadata\"").count(), various().len(), "{index}");
    }
}

#[test]
fn a_har_obeys_its_schema() {
    let place = Place::new();
    let server = capture(&place, "echo");
    send(server, &various());
    convert(&place, "har", "all.har");
    let program = "
        const Ajv = require('ajv'), schemas = require('har-schema'), fs = require('fs');
        const ajv = new Ajv({ allErrors: true });
        for (const schema of Object.values(schemas)) ajv.addSchema(JSON.parse(JSON.stringify(schema, (key, value) => key === '$schema' ? undefined : value)));
        const validate = ajv.getSchema('har.json#'), har = JSON.parse(fs.readFileSync(0));
        console.log(validate(har) ? har.log.entries.length : JSON.stringify(validate.errors));
    ";
    let har = fs::read(place.join("all.har")).expect("it is written");
    assert_eq!(stdout_of(real::node().args(["-e", program]), har), format!("{}\n", various().len()));
}

#[test]
fn tshark_sees_http_in_packets_with_right_checksums() {
    let place = Place::new();
    let server = capture(&place, "echo");
    let port = server.addr().port();
    send(server, &various()[..3]);
    convert(&place, "pcapng", "all.pcapng");
    let fields = |words: &[&str]| {
        let mut command = system("tshark");
        let checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
        command.arg("-r").arg(place.join("all.pcapng")).args(["-d", &format!("tcp.port=={port},http")]).args(checks);
        let ended = run(command.args(words), "");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let requests =
        fields(&["-Y", "http.request", "-T", "fields", "-e", "http.request.method", "-e", "http.request.uri"]);
    assert_eq!(requests, "POST\t/hook?a=1\nPUT\t/bytes\nPOST\t/chunks\n");
    assert_eq!(fields(&["-Y", "http.response", "-T", "fields", "-e", "http.response.code"]), "200\n200\n200\n");
    assert_eq!(
        fields(&["-Y", "tcp.analysis.flags || _ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"]),
        ""
    );
}

/// Runs Hurl against a server at this address.
fn hurl(place: &Path) -> real::Ended {
    run(real::hurl().args(["--no-color", "--test", "all.hurl"]).current_dir(place), "")
}

#[test]
fn hurl_sends_requests_again_and_notices_another_response() {
    let place = Place::new();
    let server = capture(&place, "echo");
    let addr = server.addr();
    send(server, &various()[..4]);
    convert(&place, "hurl", "all.hurl");
    let again = |name: &str| Launch::bare().flags([guest::program(name)]).flags(["--addr", &addr.to_string()]).start();
    let server = again("echo");
    let ended = hurl(&place);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    server.stop();
    let server = again("hello");
    let ended = hurl(&place);
    assert_eq!(ended.code, Some(4), "an assertion has failed: {}", ended.stderr);
    server.stop();
}

const HANDLER: &str = "
use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result<(u16, String)> {
    if environ.path() == \"/panics\" {
        panic!(\"as it was\");
    }
    let body = environ.input().read_all(1 << 20)?;
    Ok((201, format!(\"{} {} {}\\n\", environ.method(), environ.path(), body.len())))
}
";

#[test]
fn an_exported_test_passes_until_the_handler_answers_otherwise() {
    let place = Place::new();
    place.file("app.rs", HANDLER);
    let server = Launch::file(&place.join("app.rs")).at(&place).flags(["--capture", "captures", "--no-watch"]).start();
    let large = [b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", &[b'x'; 5000][..]].concat();
    let mut requests = various()[..3].to_vec();
    requests.push(large);
    requests.push(b"GET /panics HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    send(server, &requests);
    convert(&place, "test", "captured.rs");
    let exported = fs::read_to_string(place.join("captured.rs")).expect("it is written");
    let test = |handler: &str, part: &str| {
        place.file("app.rs", format!("{handler}\n{exported}"));
        Launch::bare().at(&place).flags(["test", "app.rs", "--", part]).run()
    };
    let ended = test(&HANDLER.replace("panic!", "println!"), "captured_");
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("5 passed"), "{}", ended.stdout);
    let ended = test(&HANDLER.replace("201", "202"), "captured_");
    assert_ne!(ended.code, Some(0));
    assert!(ended.stdout.contains("0 passed; 5 failed"), "{}", ended.stdout);
}

#[test]
fn playwright_serves_a_page_from_a_har() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255).collect();
    place.file("index.html", "<!doctype html><title>From a file</title>");
    place.file("bytes.bin", &bytes);
    place.file("packed.txt", "packed");
    // What `gzip` makes of "unpacked".
    let packed = stdout_bytes(system("gzip").arg("-c"), "unpacked");
    place.file("packed.txt.gz", packed);
    let captures = Place::new();
    let server = Launch::file(&place).at(&captures).flags(["--capture", "captures"]).start();
    let addr = server.addr();
    let get = |target: &str, field: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\n{field}Connection: close\r\n\r\n").into_bytes()
    };
    let requests =
        [get("/", ""), get("/bytes.bin", ""), get("/packed.txt", "Accept-Encoding: gzip\r\n"), get("/none", "")];
    send(server, &requests);
    convert(&captures, "har", "all.har");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/exports/har.mjs");
    let mut command = real::node();
    command.arg(program).arg(captures.join("all.har"));
    command.args(["/", "/bytes.bin", "/packed.txt", "/none"].map(|target| format!("http://{addr}{target}")));
    let seen = stdout_of(&mut command, "");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], format!("200 {}", hex(b"<!doctype html><title>From a file</title>")));
    assert_eq!(lines[1], format!("200 {}", hex(&bytes)));
    assert_eq!(lines[2], format!("200 {}", hex(b"unpacked")));
    assert!(lines[3].starts_with("404 "), "{}", lines[3]);
}

/// The output of a program that must succeed.
fn stdout_bytes(command: &mut Command, input: &str) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}
