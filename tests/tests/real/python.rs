//! Python's HTTP clients and its logging library.

use wasmserve_tests::{
    real::{python, stdout_of, system},
    server::{Launch, Server},
};

use super::{EXPECTED, transcript, url};

/// The beginning of all programs below.
const BEGIN: &str = r#"
import sys
hello, echo, environ, ticks, traps = sys.argv[1:]
parts = [b"one ", b"two ", b"three"]
def ports(texts):
    return len({line for text in texts for line in text.splitlines() if line.startswith("REMOTE_PORT")})
"#;

fn check(program: &str) {
    assert_eq!(transcript(python().arg("-c"), &format!("{BEGIN}{program}")), EXPECTED);
}

#[test]
fn pythons_http_client_passes_all_checks() {
    check(
        r#"
import http.client, urllib.parse, urllib.request
def connect(url):
    return http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
def ask(connection, *words, **more):
    connection.request(*words, **more)
    return connection.getresponse()

response = ask(connect(hello), "GET", "/")
print("get", response.status, response.reason, response.read())
response = ask(connect(echo), "POST", "/", body=b"abc=def", headers={"Content-Type": "text/x"})
print("post", response.status, response.headers["Content-Type"], response.read())
response = ask(connect(echo), "PUT", "/", body=iter(parts), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
print("upload", response.status, response.read())
connection = connect(environ)
print("keep", ports([ask(connection, "GET", "/").read().decode() for _ in range(5)]))
connection = connect(hello)
for method in "HEAD", "GET":
    response = ask(connection, method, "/")
    print(method, response.status, response.headers["Content-Length"], len(response.read()))
with urllib.request.urlopen(ticks + "?n=2") as response:
    for line in response:
        print("line", line)
for path in "", "length":
    response = ask(connect(traps), "GET", "/" + path)
    try:
        print("cut", response.read())
    except http.client.IncompleteRead as error:
        print("cut", response.status, "noticed")
"#,
    );
}

#[test]
fn requests_passes_all_checks() {
    check(
        r#"
import requests
response = requests.get(hello)
print("get", response.status_code, response.reason, response.content)
response = requests.post(echo, data=b"abc=def", headers={"Content-Type": "text/x"})
print("post", response.status_code, response.headers["Content-Type"], response.content)
response = requests.put(echo, data=iter(parts))
print("upload", response.status_code, response.content)
session = requests.Session()
print("keep", ports([session.get(environ).text for _ in range(5)]))
for method in "HEAD", "GET":
    response = session.request(method, hello)
    print(method, response.status_code, response.headers["Content-Length"], len(response.content))
with requests.get(ticks + "?n=2", stream=True) as response:
    for line in response.iter_lines():
        print("line", line + b"\n")
for path in "", "length":
    response = requests.get(traps + path, stream=True)
    try:
        print("cut", response.content)
    except requests.exceptions.ChunkedEncodingError:
        print("cut", response.status_code, "noticed")
"#,
    );
}

/// The program for httpx with either version of HTTP, which needs a `client`.
const HTTPX: &str = r#"
response = client.get(hello)
print("get", response.status_code, response.reason_phrase, response.content)
response = client.post(echo, content=b"abc=def", headers={"Content-Type": "text/x"})
print("post", response.status_code, response.headers["Content-Type"], response.content)
response = client.put(echo, content=iter(parts))
print("upload", response.status_code, response.content)
print("keep", ports([client.get(environ).text for _ in range(5)]))
for method in "HEAD", "GET":
    response = client.request(method, hello)
    print(method, response.status_code, response.headers["Content-Length"], len(response.content))
with client.stream("GET", ticks + "?n=2") as response:
    for line in response.iter_lines():
        print("line", line.encode() + b"\n")
for path in "", "length":
    with client.stream("GET", traps + path) as response:
        try:
            print("cut", response.read())
        except httpx.RemoteProtocolError as error:
            print("cut", response.status_code, "noticed")
"#;

#[test]
fn httpx_passes_all_checks() {
    check(&format!("import httpx\nclient = httpx.Client()\n{HTTPX}"));
}

#[test]
fn httpx_passes_all_checks_over_http2() {
    check(&format!("import httpx\nclient = httpx.Client(http1=False, http2=True)\n{HTTPX}"));
}

#[test]
fn aiohttp_passes_all_checks() {
    check(
        r#"
import aiohttp, asyncio
async def generate():
    for part in parts:
        yield part
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(hello) as response:
            print("get", response.status, response.reason, await response.read())
        async with session.post(echo, data=b"abc=def", headers={"Content-Type": "text/x"}) as response:
            print("post", response.status, response.headers["Content-Type"], await response.read())
        async with session.put(echo, data=generate()) as response:
            print("upload", response.status, await response.read())
        texts = []
        for _ in range(5):
            async with session.get(environ) as response:
                texts.append(await response.text())
        print("keep", ports(texts))
        for method in "HEAD", "GET":
            async with session.request(method, hello) as response:
                print(method, response.status, response.headers["Content-Length"], len(await response.read()))
        async with session.get(ticks + "?n=2") as response:
            async for line in response.content:
                print("line", line)
        for path in "", "length":
            async with session.get(traps + path) as response:
                try:
                    print("cut", await response.read())
                except aiohttp.ClientPayloadError:
                    print("cut", response.status, "noticed")
asyncio.run(main())
"#,
    );
}

#[test]
fn a_hundred_concurrent_aiohttp_requests_get_their_own_bodies_back() {
    let server = Server::start("echo");
    let text = stdout_of(
        python().args(["-", &url(&server)]),
        r#"
import aiohttp, asyncio, sys
async def ask(session, number):
    body = str(number).encode() * 10_000
    async with session.post(sys.argv[1], data=body) as response:
        return response.status == 200 and await response.read() == body
async def main():
    async with aiohttp.ClientSession() as session:
        print(sum(await asyncio.gather(*(ask(session, number) for number in range(100)))))
asyncio.run(main())
"#,
    );
    assert_eq!(text, "100\n");
}

#[test]
fn i9_aiohttp_waits_for_100_continue() {
    let server = Server::start("reads_input");
    let text = stdout_of(
        python().args(["-", &url(&server)]),
        r#"
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.post(sys.argv[1], data=b"hello", expect100=True) as response:
            print(response.status, await response.text(), end="")
asyncio.run(main())
"#,
    );
    assert_eq!(text, "200 5 octets, trailers []\n");
}

#[test]
fn k5_requests_reads_the_response_of_a_handler_that_ignores_its_upload() {
    let server = Server::start("ignores_input");
    let text = stdout_of(
        python().args(["-", &url(&server)]),
        r#"
import requests, sys
session = requests.Session()
for length in 1_000, 100_000, 3_000_000:
    for body in b"x" * length, iter([b"x" * 1_000] * (length // 1_000)):
        response = session.post(sys.argv[1], data=body)
        print(response.status_code, response.text)
"#,
    );
    assert_eq!(text, "200 ignored\n".repeat(6));
}

#[test]
fn i7_requests_gets_a_413_for_a_long_upload() {
    let server = Launch::program("reads_input").flags(["--max-body", "1KiB"]).start();
    let text = stdout_of(
        python().args(["-", &url(&server)]),
        r#"
import requests, sys
for body in b"x" * 300_000, iter([b"x" * 1_000] * 300):
    print(requests.post(sys.argv[1], data=body).status_code)
"#,
    );
    assert_eq!(text, "413\n413\n");
}

/// Runs a program that logs through an `HTTPHandler` with this method.
fn log(server: &Server, method: &str, program: &str) {
    let begin = r#"
import logging, logging.handlers, sys
handler = logging.handlers.HTTPHandler(sys.argv[1], "/", method=sys.argv[2])
logger = logging.getLogger("MR_HANDLER.HTTP")
logger.setLevel(logging.DEBUG)
logger.addHandler(handler)
"#;
    // `logging` reports its own failures on stderr, which must be empty.
    stdout_of(python().args(["-", &server.addr().to_string(), method]), format!("{begin}{program}"));
}

/// The end of the log line for a record.
fn line(level: &str, message: &str) -> String {
    format!("{:>42}  {level:>9}  {message}", "MR_HANDLER.HTTP")
}

#[test]
fn pythons_http_handler_logs_arguments_and_unicode() {
    let server = Server::start("logsink");
    for method in ["post", "GET"] {
        log(
            &server,
            method,
            r#"
logger.error("Received arguments: [%s] [%s]", "abc", "d\u00e9f")
logger.warning("\u00e9 \u65e5\u672c \U0001f980 & = + %% ; #")
logger.debug("")
"#,
        );
    }
    let log = server.stop();
    let records: Vec<&String> = log.iter().filter(|line| line.contains("] log: ")).collect();
    let expected = [
        line("ERROR", "Received arguments: [%s] [%s]  ('abc', 'd\u{e9}f')"),
        line("WARNING", "\u{e9} \u{65e5}\u{672c} \u{1f980} & = + %% ; #"),
        line("DEBUG", ""),
    ];
    assert_eq!(records.len(), 2 * expected.len(), "{log:#?}");
    for (line, expected) in records.iter().zip(expected.iter().cycle()) {
        assert!(line.ends_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn pythons_http_handler_logs_exceptions() {
    let server = Server::start("logsink");
    for method in ["POST", "GET"] {
        log(
            &server,
            method,
            r#"
def fail():
    try:
        {}["nothing"]
    except KeyError:
        logger.exception("It failed")
fail()
# If another handler formats the exception first, its text becomes part of the record.
other = logging.NullHandler()
other.handle = lambda record: logging.Formatter().format(record)
logger.handlers.insert(0, other)
fail()
"#,
        );
    }
    let log = server.stop();
    for exchange in 1..=4 {
        let mine: Vec<&str> = log.iter().filter_map(|line| line.strip_prefix(&format!("[{exchange}] log: "))).collect();
        assert!(mine[0].ends_with(&line("ERROR", "It failed")), "{mine:?}");
        if exchange % 2 == 1 {
            assert!(mine[1].starts_with("(<class 'KeyError'>, KeyError('nothing'), <traceback"), "{mine:?}");
        } else {
            assert_eq!(mine[1], "Traceback (most recent call last):");
            assert_eq!(mine.last(), Some(&"KeyError: 'nothing'"));
        }
    }
}

#[test]
fn pythons_http_handler_logs_two_hundred_records_in_order() {
    let server = Server::start("logsink");
    for method in ["POST", "GET"] {
        log(&server, method, "for number in range(100):\n    logger.info('record %d of a hundred' % number)\n");
    }
    let log = server.stop();
    let records: Vec<&String> = log.iter().filter(|line| line.contains("] log: ")).collect();
    assert_eq!(records.len(), 200);
    for (number, record) in records.iter().enumerate() {
        assert!(record.ends_with(&line("INFO", &format!("record {} of a hundred", number % 100))), "{record}");
    }
    // Only the records were sent, and each was accepted.
    assert_eq!(log.iter().filter(|line| line.ends_with("HTTP/1.1\" 204 -")).count(), 200);
}

#[test]
fn the_logs_command_prints_the_records_of_pythons_http_handler() {
    let server = Launch::bare().flags(["logs", "--addr", "127.0.0.1:0"]).start();
    let program = r#"
import logging.handlers, sys
logger = logging.getLogger("my.logger")
logger.addHandler(logging.handlers.HTTPHandler(sys.argv[1], "/", method="POST"))
logger.error("Received arguments: [%s] [%s]", "abc", "def")
"#;
    stdout_of(system("python3").args(["-c", program, &server.addr().to_string()]), "");
    let line = server.line_with("] log: ");
    assert!(line.ends_with("my.logger      ERROR  Received arguments: [%s] [%s]  ('abc', 'def')"), "{line}");
}
