//! Node's HTTP clients, and libraries that use them.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::Signal;
use serde_json::Value;
use wasmserve_tests::{
    place::Place,
    real::{node, spawn, stdout_of, system},
    server::{Launch, Server},
    source::handler,
};

use super::{EXPECTED, transcript, url};

/// The beginning of all programs below.
const BEGIN: &str = r#"
const [hello, echo, environ, ticks, traps] = process.argv.slice(1);
const shown = (text) => `b'${String(text).replaceAll("\n", "\\n")}'`;
const ports = (texts) => new Set(texts.map((text) => /REMOTE_PORT.*/.exec(text)[0])).size;
async function* parts() { yield* ["one ", "two ", "three"].map((part) => Buffer.from(part)); }
async function* lines(chunks) {
    let rest = "";
    for await (const chunk of chunks) {
        const parts = (rest + Buffer.from(chunk).toString()).split("\n");
        rest = parts.pop();
        for (const part of parts) yield part + "\n";
    }
}
"#;

fn check(program: &str) {
    assert_eq!(transcript(node().args(["--input-type=module", "-e"]), &format!("{BEGIN}{program}")), EXPECTED);
}

#[test]
fn nodes_http_passes_all_checks() {
    check(
        r#"
import http from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const ask = (url, options = {}, body = "") => new Promise((resolve, reject) => {
    const request = http.request(url, { agent, ...options }, resolve).on("error", reject);
    if (typeof body === "string") request.end(body);
    else Readable.from(body).pipe(request);
});

let response = await ask(hello);
console.log("get", response.statusCode, response.statusMessage, shown(await text(response)));
const headers = { "Content-Type": "text/x", "Content-Length": 7 };
response = await ask(echo, { method: "POST", headers }, "abc=def");
console.log("post", response.statusCode, response.headers["content-type"], shown(await text(response)));
response = await ask(echo, { method: "PUT" }, parts());
console.log("upload", response.statusCode, shown(await text(response)));
const texts = [];
for (let i = 0; i < 5; i++) texts.push(await text(await ask(environ)));
console.log("keep", ports(texts));
for (const method of ["HEAD", "GET"]) {
    response = await ask(hello, { method });
    console.log(method, response.statusCode, response.headers["content-length"], (await text(response)).length);
}
for await (const line of lines(await ask(ticks + "?n=2"))) console.log("line", shown(line));
for (const path of ["", "length"]) {
    response = await ask(traps + path);
    try { console.log("cut", await text(response)); }
    catch (error) { console.log("cut", response.statusCode, error.code === "ECONNRESET" ? "noticed" : error); }
}
agent.destroy();
"#,
    );
}

#[test]
fn nodes_fetch_passes_all_checks() {
    check(
        r#"
let response = await fetch(hello);
console.log("get", response.status, response.statusText, shown(await response.text()));
response = await fetch(echo, { method: "POST", body: "abc=def", headers: { "Content-Type": "text/x" } });
console.log("post", response.status, response.headers.get("content-type"), shown(await response.text()));
response = await fetch(echo, { method: "PUT", body: parts(), duplex: "half" });
console.log("upload", response.status, shown(await response.text()));
const texts = [];
for (let i = 0; i < 5; i++) texts.push(await (await fetch(environ)).text());
// It may open another connection while it still reads the last response.
console.log("keep", ports(texts) < texts.length ? 1 : "no connection");
for (const method of ["HEAD", "GET"]) {
    response = await fetch(hello, { method });
    console.log(method, response.status, response.headers.get("content-length"), (await response.text()).length);
}
for await (const line of lines((await fetch(ticks + "?n=2")).body)) console.log("line", shown(line));
for (const path of ["", "length"]) {
    response = await fetch(traps + path);
    try { console.log("cut", await response.text()); }
    catch (error) { console.log("cut", response.status, error instanceof TypeError ? "noticed" : error); }
}
"#,
    );
}

#[test]
fn undici_passes_all_checks() {
    check(
        r#"
import { Agent, errors, request, setGlobalDispatcher } from "undici";
setGlobalDispatcher(new Agent({ connections: 1 }));
let { statusCode, headers, body } = await request(hello);
// undici does not show reason phrases.
console.log("get", statusCode, "OK", shown(await body.text()));
({ statusCode, headers, body } = await request(echo, {
    method: "POST", body: "abc=def", headers: { "Content-Type": "text/x" },
}));
console.log("post", statusCode, headers["content-type"], shown(await body.text()));
({ statusCode, body } = await request(echo, { method: "PUT", body: parts() }));
console.log("upload", statusCode, shown(await body.text()));
const texts = [];
for (let i = 0; i < 5; i++) texts.push(await (await request(environ)).body.text());
console.log("keep", ports(texts));
for (const method of ["HEAD", "GET"]) {
    ({ statusCode, headers, body } = await request(hello, { method }));
    console.log(method, statusCode, headers["content-length"], (await body.text()).length);
}
for await (const line of lines((await request(ticks + "?n=2")).body)) console.log("line", shown(line));
for (const path of ["", "length"]) {
    ({ statusCode, body } = await request(traps + path));
    try { console.log("cut", await body.text()); }
    catch (error) { console.log("cut", statusCode, error instanceof errors.SocketError ? "noticed" : error); }
}
"#,
    );
}

/// The output of a program that gets one URL.
fn script(url: &str, program: &str) -> String {
    stdout_of(node().args(["--input-type=module", "-e", program, url]), "")
}

#[test]
fn k3_undicis_pipelined_requests_are_answered_in_order() {
    let server = Server::start("environ");
    let text = script(
        &url(&server),
        r#"
import { Client } from "undici";
const client = new Client(process.argv[1], { pipelining: 10 });
const ask = async (number) => {
    const { body } = await client.request({ path: `/${number}`, method: "GET", blocking: false });
    return (await body.text()).includes(`\nPATH_INFO = "/${number}"\n`);
};
const asked = Array.from({ length: 50 }, (_, number) => ask(number));
console.log((await Promise.all(asked)).filter(Boolean).length);
await client.close();
"#,
    );
    assert_eq!(text, "50\n");
}

#[test]
fn i9_nodes_http_waits_for_100_continue() {
    let server = Server::start("reads_input");
    let text = script(
        &url(&server),
        r#"
import http from "node:http";
import { text } from "node:stream/consumers";
const request = http.request(process.argv[1], { method: "POST", headers: { Expect: "100-continue" } });
request.on("continue", () => { console.log("continue"); request.end("hello"); });
request.on("response", async (response) => console.log(response.statusCode, await text(response)));
request.flushHeaders();
"#,
    );
    assert_eq!(text, "continue\n200 5 octets, trailers []\n\n");
}

#[test]
fn i4_nodes_trailers_arrive() {
    let server = Server::start("reads_input");
    let text = script(
        &url(&server),
        r#"
import http from "node:http";
import { text } from "node:stream/consumers";
const request = http.request(process.argv[1], { method: "POST", headers: { Trailer: "X-Sum" } });
request.on("response", async (response) => console.log(await text(response)));
request.write("hello");
request.addTrailers({ "X-Sum": "5" });
request.end();
"#,
    );
    assert!(text.starts_with("5 octets, trailers [") && text.contains("5\""), "{text}");
}

#[test]
fn k5_fetch_reads_the_response_of_a_handler_that_ignores_its_upload() {
    let server = Server::start("ignores_input");
    let text = script(
        &url(&server),
        r#"
for (const length of [1_000, 100_000, 3_000_000]) {
    const response = await fetch(process.argv[1], { method: "POST", body: "x".repeat(length) });
    console.log(response.status, await response.text());
}
"#,
    );
    assert_eq!(text, "200 ignored\n".repeat(3));
}

/// Acts as a browser that shows the page of a failed build: it runs the script of the page, which polls until the page
/// has to be reloaded.
const BROWSER: &str = r#"
import vm from "node:vm";
const href = process.argv[1];
const load = () => fetch(href, { headers: { Accept: "text/html" } }).then((response) => response.text());
const find = (page) => [...page.matchAll(/<script>(.*?)<\/script>/gs)];
let page = await load();
for (let scripts = find(page); scripts.length > 0; scripts = find(page)) {
    await new Promise((replace) => vm.runInNewContext(scripts[0][1], {
        setTimeout,
        location: { href, replace },
        fetch: (...request) => {
            console.log("asks", scripts.length);
            return fetch(...request);
        },
    }));
    page = await load();
}
console.log("loads", page);
"#;

#[test]
fn the_page_of_a_failed_build_reloads_after_a_successful_one() {
    let place = Place::new();
    place.file("hello.rs", handler("old"));
    let server = Launch::file(&place.join("hello.rs")).flags(["--debug"]).start();
    place.file("hello.rs", handler("old").replace("'static str", "'static u8"));
    server.line_with("still serving the previous version");
    let mut browser = spawn(node().args(["--input-type=module", "-e", BROWSER, &url(&server)]).stdout(Stdio::piped()));
    let mut lines = BufReader::new(browser.stdout.take().expect("stdout is piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("asks 1"));
    place.file("hello.rs", handler("new"));
    // It polls again if the build takes long, or if the failing build ran twice.
    assert_eq!(lines.find(|line| line != "asks 1").as_deref(), Some("loads new"));
    assert!(browser.wait().expect("a child process").success());
}

/// Sends a message and an exception with Sentry's client, and prints all envelopes and responses as JSON.
const SENTRY: &str = r#"
import http from "node:http";
import * as Sentry from "@sentry/node";
import { serializeEnvelope } from "@sentry/utils";
const envelopes = [], answers = [];
const httpModule = {
    request: (options, then) => http.request(options, (response) => {
        answers.push(new Promise((resolve, reject) => {
            const parts = [];
            // Sentry has the stream decoded, so the parts are strings.
            response.on("data", (part) => parts.push(part));
            response.on("end", () => resolve(parts.join("")));
            response.on("error", reject);
        }));
        then(response);
    }),
};
const dsn = `http://public@${new URL(process.argv[1]).host}/1`;
Sentry.init({ dsn, transportOptions: { httpModule } });
Sentry.getClient().on("beforeEnvelope", (envelope) => envelopes.push(serializeEnvelope(envelope)));
Sentry.captureMessage("caf\u00e9 \u{1f980}");
Sentry.captureException(new Error("it failed"));
const isFlushed = await Sentry.flush(30_000);
console.log(JSON.stringify({ isFlushed, envelopes, answers: await Promise.all(answers) }));
"#;

/// The envelopes that Sentry sent, and the responses, which may be in another order.
fn sentry(server: &Server) -> (Vec<String>, Vec<String>) {
    let printed: Value = serde_json::from_str(&script(&url(server), SENTRY)).expect("valid JSON");
    assert_eq!(printed["isFlushed"], true, "{printed}");
    let texts = |name: &str| {
        let texts = printed[name].as_array().expect("a list").iter();
        texts.map(|text| text.as_str().expect("a string").to_owned()).collect()
    };
    (texts("envelopes"), texts("answers"))
}

#[test]
fn sentrys_envelopes_arrive_completely() {
    let server = Server::start("dump");
    let (envelopes, answers) = sentry(&server);
    assert_eq!((envelopes.len(), answers.len()), (2, 2));
    for (envelope, what) in envelopes.iter().zip(["\"caf\u{e9} \u{1f980}\"", "\"it failed\""]) {
        assert!(envelope.contains(what), "{envelope}");
        let is_it = |answer: &&String| answer.ends_with(&format!("\r\n\r\n{envelope}"));
        let answer = answers.iter().find(is_it).unwrap_or_else(|| panic!("{envelope} is not in {answers:?}"));
        let (head, _) = answer.split_once("\r\n\r\n").expect("the head has an end");
        assert!(head.starts_with("POST /api/1/envelope/?sentry_key=public&sentry_version=7"), "{head}");
        assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
        assert!(!head.contains("\r\nContent-"), "{head}");
    }
}

#[test]
fn dump_prints_all_bytes_of_sentrys_requests() {
    let server = Launch::bare().flags(["dump", "--reply", "--addr", "127.0.0.1:0"]).start();
    let (envelopes, answers) = sentry(&server);
    assert_eq!((envelopes.len(), answers), (2, vec![String::new(); 2]));
    server.signal(Signal::INT);
    let ended = server.end();
    assert_eq!(ended.code, Some(0));
    for id in 1..=2 {
        let of_it = |line: &str| line.strip_prefix(&format!("[{id}] ")).map(str::to_owned);
        let text: Vec<String> = ended.stdout.lines().filter_map(of_it).collect();
        assert!(text[0].starts_with("POST /api/1/envelope/?sentry_key=public&sentry_version=7"), "{text:#?}");
        assert!(text.contains(&"Transfer-Encoding: chunked\\r\\n".to_owned()), "{text:#?}");
        assert_eq!(text[text.len() - 2..], ["0\\r\\n", "\\r\\n"], "the last chunk");
    }
    for part in ["\"caf\\xc3\\xa9 \\xf0\\x9f\\xa6\\x80\"", "\"it failed\""] {
        assert!(ended.stdout.contains(part), "{part} is not in {}", ended.stdout);
    }
}

#[test]
fn e4_sentrys_chunks_have_no_length_and_no_type() {
    let (_, answers) = sentry(&Server::start("environ"));
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(answer.contains("\nHTTP_TRANSFER_ENCODING = \"chunked\"\n"), "{answer}");
        assert!(answer.contains("\nwsgi.input_terminated = \"1\"\n"), "{answer}");
        assert!(!answer.contains("CONTENT_LENGTH") && !answer.contains("CONTENT_TYPE"), "{answer}");
    }
}

#[test]
fn i8_sentrys_chunks_have_a_length_if_they_are_buffered() {
    let server = Launch::program("environ").flags(["--buffer-body", "1MiB"]).start();
    let (envelopes, answers) = sentry(&server);
    assert_eq!(answers.len(), 2);
    for envelope in envelopes {
        let length = format!("\nCONTENT_LENGTH = \"{}\"\n", envelope.len());
        // CONTENT_LENGTH is the first variable.
        assert!(answers.iter().any(|answer| format!("\n{answer}").contains(&length)), "{length} {answers:?}");
    }
    assert!(!answers.iter().any(|answer| answer.contains("TRANSFER_ENCODING")), "{answers:?}");
}

#[test]
fn node_works_over_http2() {
    let server = Server::start("echo");
    let program = r#"
        const session = require("node:http2").connect(process.argv[1]);
        const ask = (text) => new Promise((resolve, reject) => {
            const stream = session.request({ ":method": "POST", "content-type": "text/x" });
            let answer = "";
            stream.on("response", (fields) => (answer = `${fields[":status"]} ${fields["content-type"]} `));
            stream.on("data", (data) => (answer += data));
            stream.on("end", () => resolve(answer));
            stream.on("error", reject);
            stream.end(text);
        });
        Promise.all(["one", "two", "three"].map(ask)).then((all) => console.log(all.join("\n"))).then(() => session.close());
    "#;
    let text = stdout_of(system("node").args(["-e", program, &url(&server)]), "");
    assert_eq!(text, "200 text/x one\n200 text/x two\n200 text/x three\n");
}
