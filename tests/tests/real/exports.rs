//! What `wasmserve convert` exports, used by the programs that it is for.

use std::{
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
use rustix::process::Signal;
use wasmserve_tests::{
    dumped, guest,
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
        client.send(request);
        client.end();
        client.rest();
    }
    server.stop();
}

/// Converts the captures, and returns what is reported.
fn convert(place: &Place, format: &str, output: &str) -> String {
    let words = ["convert", "captures", "--with-secrets", "--as", format, "-o", output];
    let ended = Launch::bare().at(place).flags(words).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
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

/// A request that our server accepts, as curl would write it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = || prop::sample::select(&HOSTILE[..]).prop_map(|piece| piece.as_bytes().to_vec());
    let text = || vec(piece(), 0..5).prop_map(|pieces| pieces.concat());
    // The server refuses a target with white space or angle brackets.
    let target = text().prop_map(|text| text.into_iter().filter(|byte| !b" <>".contains(byte)).collect::<Vec<u8>>());
    let value = vec(prop_oneof![piece(), vec(0x80_u8.., 1..3), Just(b"a\tb".to_vec())], 0..4)
        .prop_map(|pieces| pieces.concat());
    let name = "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}";
    let method = prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), "[A-Z!#$%&'*+.^_`|~-]{1,8}"];
    let body = prop_oneof![
        Just(None),
        text().prop_map(Some),
        vec(any::<u8>(), 1..100).prop_map(Some),
        Just(Some(b"-n\na\n\n".to_vec())),
        Just(Some(b"\0".to_vec())),
    ];
    (method, target, vec((name, value), 0..4), body, any::<bool>()).prop_map(
        |(method, target, fields, body, is_chunked)| {
            let mut request = [method.as_bytes(), b" /", &target, b" HTTP/1.1\r\nHost: x\r\n"].concat();
            for (name, value) in fields {
                let is_special =
                    ["host", "content-length", "transfer-encoding", "expect", "te", "connection", "upgrade"]
                        .iter()
                        .any(|special| name.eq_ignore_ascii_case(special));
                let value = value.trim_ascii();
                if !is_special && !value.is_empty() {
                    request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
                }
            }
            match body {
                None => request.extend_from_slice(b"\r\n"),
                Some(body) if is_chunked && !body.is_empty() => {
                    let size = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
                    request.extend_from_slice(&[size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat());
                }
                Some(body) => {
                    let length = format!("Content-Length: {}\r\n\r\n", body.len());
                    request.extend_from_slice(&[length.as_bytes(), &body].concat());
                }
            }
            request
        },
    )
}

#[test]
fn o8_curl_sends_hostile_requests_again_to_the_byte_from_every_shell() {
    const COUNT: usize = 100;
    let mut runner = TestRunner::new(Config::default());
    let random = || hostile().new_tree(&mut runner).expect("there are such requests").current();
    let mut requests: Vec<Vec<u8>> = iter::repeat_with(random).take(COUNT).collect();
    requests.push(b"HEAD / HTTP/1.1\r\nHost: x\r\nEmpty:\r\nAccept: a\r\n\r\n".to_vec());
    requests
        .push([b"PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n", &[b'\''; 200_000][..]].concat());
    requests.push(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    requests.push(b"GET http://other:81/a?b HTTP/1.1\r\nHost: other:81\r\n\r\n".to_vec());
    let place = Place::new();
    let server = capture(&place, "hello");
    let captured_at = server.addr().to_string();
    send(server, &requests);
    convert(&place, "curl", "all.sh");
    let commands = fs::read_to_string(place.join("all.sh")).expect("it is written");
    thread::scope(|scope| {
        for shell in ["bash", "dash", "zsh"] {
            let (place, commands, captured_at, requests) = (&place, &commands, &captured_at, &requests);
            scope.spawn(move || {
                let dump = Launch::bare().flags(["dump", "--reply", "--addr", "127.0.0.1:0"]).start();
                let script = format!("all.{shell}");
                place.file(&script, commands.replace(captured_at, &dump.addr().to_string()));
                let ended = run(system(shell).arg(script).current_dir(&**place), "");
                assert_eq!(ended.code, Some(0), "{shell}: {}", ended.stderr);
                dump.signal(Signal::INT);
                let seen = dump.end().stdout;
                // Captures are in the order in which they were completed.
                let sorted = |requests: Vec<Vec<u8>>| {
                    let mut lines: Vec<String> =
                        requests.iter().map(|request| request.escape_ascii().to_string()).collect();
                    lines.sort();
                    lines
                };
                let seen = (1..=requests.len() as u64).map(|id| dumped::bytes(&seen, id)).collect();
                for (seen, sent) in sorted(seen).iter().zip(sorted(requests.clone())) {
                    assert_eq!(*seen, sent, "in {shell}");
                }
            });
        }
    });
    assert!(!place.join("canary").exists(), "a shell has run what was captured");
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
