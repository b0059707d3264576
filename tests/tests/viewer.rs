//! The viewer (`--ui`, `wasmserve ui`): who may use it, its API, the request bin, and captures in files.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use wasmserve_tests::{
    client::{Client, End, Response},
    place::Place,
    server::{Launch, Server, refuses},
};

const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODw";

/// A server with a viewer.
struct Viewed {
    server: Server,
    addr: SocketAddr,
}

impl Viewed {
    fn start(launch: Launch) -> Self {
        Self::of(launch.flags(["--ui=127.0.0.1:0"]).env("WASMSERVE_UI_TOKEN", TOKEN).start())
    }

    /// Captures in files of a place.
    fn files(place: &Place, words: &[&str]) -> Self {
        let launch = Launch::bare().at(place).flags(["ui", "--addr", "0"]).flags(words);
        Self::of(launch.env("WASMSERVE_UI_TOKEN", TOKEN).spawn())
    }

    fn of(server: Server) -> Self {
        let line = server.line(|line| line.starts_with("viewer on http://"));
        let addr = line["viewer on http://".len()..].strip_suffix(&format!("/#k={TOKEN}"));
        let addr = addr.and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("no address: {line}"));
        Self { server, addr }
    }

    /// A request bin.
    fn bin() -> Self {
        Self::start(Launch::bare().flags(["--addr", "127.0.0.1:0"]))
    }

    fn program(name: &str, flags: &[&str]) -> Self {
        Self::start(Launch::program(name).flags(flags))
    }

    /// Sends bytes on a connection of their own.
    fn send(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = Client::connect(self.addr);
        client.send(request);
        client.response()
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (addr, length) = (self.addr, body.len());
        self.send(format!(
            "{method} /api/{path} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn get(&self, path: &str) -> Value {
        json_of(&self.ask("GET", path, None))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        json_of(&self.ask("POST", path, Some(body)))
    }

    /// Waits until this many exchanges were captured, and lists them, newest first.
    fn listed(&self, number: u64) -> Vec<Value> {
        loop {
            let list = self.get("exchanges");
            if list["total"] == number {
                return list["exchanges"].as_array().expect("a list").clone();
            }
            assert!(list["total"].as_u64() < Some(number), "{list}");
            std::thread::yield_now();
        }
    }

    /// The only handler that runs, once it does.
    fn running(&self) -> Value {
        loop {
            let running = self.get("running");
            match running.as_array().map(Vec::as_slice) {
                Some([one]) => return one.clone(),
                _ => std::thread::yield_now(),
            }
        }
    }
}

fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_slice(&response.body).expect("JSON")
}

/// Part of what is captured, which must not be in the answer to a request that is refused.
const SECRET: &str = "open-sesame";

#[test]
fn o9_each_check_of_the_door_refuses_by_itself_and_gives_nothing_away() {
    let viewed = Viewed::bin();
    viewed.server.ask(format!("GET /{SECRET} HTTP/1.1\r\nHost: x\r\nAuthorization: {SECRET}\r\n\r\n"));
    viewed.listed(1);
    let port = viewed.addr.port();
    let host = format!("Host: 127.0.0.1:{port}");
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let json = "Content-Type: application/json";
    let mut sent = 0;
    let mut check = |line: &str, fields: &[&str], expected: u16| {
        let head = [&[line], fields].concat().join("\r\n");
        let response = viewed.send(format!("{head}\r\nConnection: close\r\n\r\n"));
        assert_eq!(response.status, expected, "{head}: {response:?}");
        let text = String::from_utf8_lossy(&response.body).into_owned();
        if expected != 200 {
            assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{head}: {text}");
            assert!(expected == 400 || text.starts_with("{\"error\":\""), "{head}: {text}");
        }
        for name in ["access-control-allow-origin", "access-control-allow-headers", "set-cookie", "location"] {
            assert_eq!(response.field(name), None, "{head}");
        }
        sent += 1;
    };
    let state = "GET /api/state HTTP/1.1";
    let wire = "GET /api/exchanges/1/request/wire HTTP/1.1";
    let page = "GET / HTTP/1.1";
    let clear = "POST /api/clear HTTP/1.1";

    check(state, &[&host, &authorization], 200);
    check(wire, &[&host, &authorization], 200);
    check(page, &[&host], 200);
    check("GET /index.html HTTP/1.1", &[&host], 200);
    for name in ["localhost", "LocalHost", "[::1]"] {
        check(state, &[&format!("Host: {name}:{port}"), &authorization], 200);
    }
    // Names that lead here (DNS rebinding).
    for name in [
        "evil.test".to_owned(),
        format!("evil.test:{port}"),
        format!("127.0.0.1.evil.test:{port}"),
        format!("localhost.:{port}"),
        format!("localhost.evil.test:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.2:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("2130706433:{port}"),
        "127.0.0.1".to_owned(),
        "localhost:1".to_owned(),
        String::new(),
    ] {
        check(state, &[&format!("Host: {name}"), &authorization], 421);
        check(page, &[&format!("Host: {name}")], 421);
    }
    check("GET /api/state HTTP/1.0", &[&authorization], 421);
    check(state, &[&host, "Host: evil.test", &authorization], 421);
    check("GET http://evil.test/api/state HTTP/1.1", &[&host, &authorization], 421);
    // Pages of others.
    let own = format!("Origin: http://127.0.0.1:{port}");
    check(state, &[&host, &authorization, &own, "Sec-Fetch-Site: same-origin"], 200);
    for origin in
        ["null", "http://evil.test", "http://127.0.0.1:8000", "http://localhost", "https://127.0.0.1", "file://"]
    {
        check(wire, &[&host, &authorization, &format!("Origin: {origin}")], 403);
    }
    check(state, &[&host, &authorization, &own, "Origin: http://evil.test"], 403);
    for site in ["same-site", "cross-site", "anything"] {
        check(wire, &[&host, &authorization, &format!("Sec-Fetch-Site: {site}")], 403);
        check(page, &[&host, &format!("Sec-Fetch-Site: {site}")], 403);
    }
    check(state, &[&host, &authorization, "Sec-Fetch-Site: none"], 200);
    // Methods.
    let preflight = ["Origin: http://evil.test", "Access-Control-Request-Method: GET"];
    check("OPTIONS /api/state HTTP/1.1", &[&host, &authorization], 405);
    check("OPTIONS /api/state HTTP/1.1", &[&host, preflight[0], preflight[1]], 405);
    check("OPTIONS * HTTP/1.1", &[&host], 405);
    for method in ["DELETE", "PATCH", "TRACE", "SEARCH"] {
        check(&format!("{method} /api/exchanges/1 HTTP/1.1"), &[&host, &authorization, json], 405);
    }
    check("POST /api/state HTTP/1.1", &[&host, &authorization, json, "Content-Length: 0"], 405);
    check("GET /api/clear HTTP/1.1", &[&host, &authorization], 405);
    check("POST / HTTP/1.1", &[&host, json, "Content-Length: 0"], 405);
    // The token.
    for fields in [
        vec![],
        vec!["Authorization: Bearer"],
        vec!["Authorization: Bearer AAECAwQFBgcICQoLDA0ODx"],
        vec!["Authorization: Bearer AAECAwQFBgcICQoLDA0OD"],
        vec!["Authorization: Bearer aaecawqfbgcicqoldA0odw"],
        vec!["Authorization: Basic AAECAwQFBgcICQoLDA0ODw"],
        vec!["Authorization: AAECAwQFBgcICQoLDA0ODw"],
        vec!["Cookie: k=AAECAwQFBgcICQoLDA0ODw; token=AAECAwQFBgcICQoLDA0ODw"],
        vec![&authorization, "Authorization: Bearer x"],
    ] {
        let fields = [vec![&*host], fields].concat();
        check(wire, &fields, 401);
        check("GET /api/nothing HTTP/1.1", &fields, 401);
    }
    check(&format!("GET /api/state?k={TOKEN}&token={TOKEN} HTTP/1.1"), &[&host], 401);
    check("POST /api/clear HTTP/1.1", &[&host, json, "Content-Length: 2"], 401);
    // What forms can send.
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let fields = [&*host, &authorization, &format!("Content-Type: {media_type}"), "Content-Length: 0"];
        check(clear, &fields, 415);
    }
    check(clear, &[&host, &authorization, "Content-Length: 0"], 415);
    check(clear, &[&host, &authorization, json, "Content-Length: 2097153"], 413);
    // Paths.
    for path in
        ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/.git/config", "/api/../api/state", "/%61pi/state"]
    {
        check(&format!("GET {path} HTTP/1.1"), &[&host, &authorization], 404);
    }
    assert!(sent >= 60, "{sent}");
    assert_eq!(
        viewed.listed(1)[0]["target"],
        format!("/{SECRET}"),
        "nothing was cleared, and none of these is an exchange"
    );
}

#[test]
fn o10_every_answer_of_the_viewer_forbids_to_run_or_to_keep_it() {
    let viewed = Viewed::bin();
    let host = format!("Host: {}", viewed.addr);
    let authorization = format!("Authorization: Bearer {TOKEN}");
    for head in [
        format!("GET / HTTP/1.1\r\n{host}"),
        format!("GET /nothing HTTP/1.1\r\n{host}"),
        format!("GET /api/state HTTP/1.1\r\n{host}\r\n{authorization}"),
        format!("GET /api/state HTTP/1.1\r\n{host}"),
        "GET / HTTP/1.1\r\nHost: evil.test".to_owned(),
        format!("OPTIONS / HTTP/1.1\r\n{host}"),
    ] {
        let response = viewed.send(format!("{head}\r\n\r\n"));
        let policy = response.field("content-security-policy").expect("a policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(policy.contains(part), "{head}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(response.field(name), Some(value), "{head}");
        }
    }
}

#[test]
fn o10_captured_bytes_leave_as_they_were_and_as_files_to_save() {
    let viewed = Viewed::start(Launch::bare().flags(["echo", "--addr", "127.0.0.1:0"]));
    let script = "<script>alert(1)</script>\u{202e}\0\\";
    let request = format!(
        "POST /%7Bx%7D?b HTTP/1.1\r\nHost: test\r\nX-A: {{{{x}}}}<b>\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{script}\r\n0\r\nX-T: 1\r\n\r\n",
        script.len()
    );
    let answer = viewed.server.ask(&request);
    assert_eq!((answer.field("content-type"), answer.text()), (Some("text/html"), script));
    viewed.listed(1);
    let wire = viewed.ask("GET", "exchanges/1/request/wire", None);
    assert_eq!(wire.body, request.as_bytes());
    for part in ["request/wire", "request/body", "response/wire", "response/body"] {
        let response = viewed.ask("GET", &format!("exchanges/1/{part}"), None);
        assert_eq!(response.field("content-type"), Some("application/octet-stream"), "{part}");
        assert!(response.field("content-disposition").is_some_and(|value| value.starts_with("attachment")), "{part}");
        assert!(part.ends_with("wire") || response.body == script.as_bytes(), "{part}: {response:?}");
    }
    let detail = viewed.get("exchanges/1");
    assert_eq!(detail["request"]["line"], "POST /%7Bx%7D?b HTTP/1.1");
    assert!(detail["request"]["fields"].as_array().is_some_and(|fields| fields.contains(&json!(["X-A", "{{x}}<b>"]))));
    assert_eq!(detail["request"]["trailers"], json!([["X-T", "1"]]));
    assert_eq!((&detail["request"]["isChunked"], &detail["request"]["isWhole"]), (&json!(true), &json!(true)));
    assert_eq!(detail["request"]["bodyLength"], script.len());
    let environ = detail["environ"].as_array().expect("a handler saw it");
    assert!(environ.contains(&json!(["REQUEST_METHOD", "POST"])), "{detail}");
    for missing in
        ["exchanges/2", "exchanges/0", "exchanges/x", "exchanges/1/request/x", "exchanges/1/x/wire", "nothing"]
    {
        assert_eq!(viewed.ask("GET", missing, None).status, 404, "{missing}");
    }
}

#[test]
fn the_list_is_newest_first_and_can_be_filtered() {
    let viewed = Viewed::program("misbehaves", &[]);
    // Each is complete before the next one begins, so that they are in order.
    let mut all = Vec::new();
    for (request, number) in [
        ("GET /well HTTP/1.1\r\nHost: test\r\n\r\n", 1),
        ("GET /traps HTTP/1.1\r\nHost: test\r\n\r\n", 2),
        ("POST /well?needle=1 HTTP/1.1\r\nHost: elsewhere\r\nX-Token: abc\r\nContent-Length: 5\r\n\r\nhello", 3),
        ("nonsense\r\n\r\n", 4),
    ] {
        viewed.server.ask(request);
        all = viewed.listed(number);
    }
    assert_eq!(all.iter().map(|one| one["seq"].as_u64()).collect::<Vec<_>>(), [Some(4), Some(3), Some(2), Some(1)]);
    let seqs = |query: &str| {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let list = viewed.get(&format!("exchanges?q={query}"));
        list["exchanges"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["seq"].as_u64().unwrap_or(0))
            .collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", &[4, 3, 2, 1][..]),
        ("POST", &[3]),
        ("post well", &[3]),
        ("needle", &[3]),
        ("status:500", &[2]),
        ("status:5xx", &[2]),
        ("status:>=400", &[4, 2]),
        ("-status:2xx", &[4, 2]),
        ("path:/well", &[3, 1]),
        ("path:/well -method:GET", &[3]),
        ("fault:trap", &[2]),
        ("fault:*", &[4, 2]),
        ("is:fault fault:refused", &[4]),
        ("host:else", &[3]),
        ("remote:127.0.0.1", &[4, 3, 2, 1]),
        ("body:\"hell\"", &[3]),
        ("body:\"he ll\"", &[]),
        ("field:\"x-token: ab\"", &[3]),
        ("took:<60s", &[4, 3, 2, 1]),
        ("received:>10GiB", &[]),
        ("id:1", &[1]),
        ("is:kept", &[]),
        ("is:cut", &[]),
        ("is:replay", &[]),
    ] {
        assert_eq!(seqs(query), expected, "{query}");
    }
    assert_eq!(viewed.get("exchanges?limit=1&before=3")["exchanges"][0]["seq"], 2);
    for (wrong, part) in
        [("status:x", "status:404"), ("foo:bar", "method, status"), ("took:%3e1", "100ms"), ("is:lost", "kept")]
    {
        let response = viewed.ask("GET", &format!("exchanges?q={wrong}"), None);
        assert!(response.status == 400 && response.text().contains(part), "{wrong}: {response:?}");
    }
    let failed = viewed.get("exchanges/2");
    assert_eq!(failed["summary"]["fault"], "trap");
    assert!(failed["record"]["fault"]["stack"].as_array().is_some_and(|stack| !stack.is_empty()), "{failed}");
}

#[test]
fn kept_exchanges_stay_when_the_others_are_cleared() {
    let viewed = Viewed::bin();
    for _ in 0..3 {
        viewed.server.get("/");
    }
    viewed.listed(3);
    assert_eq!(viewed.post("exchanges/2/keep", &json!({ "note": "look at this" }))["kept"], "look at this");
    viewed.post("clear", &json!({}));
    let left = viewed.listed(1);
    assert_eq!((&left[0]["seq"], &left[0]["kept"]), (&json!(2), &json!("look at this")));
    assert_eq!(viewed.post("exchanges/2/keep", &json!({ "note": null }))["kept"], Value::Null);
    viewed.post("clear", &json!({}));
    viewed.listed(0);
    assert_eq!(viewed.ask("POST", "exchanges/2/keep", Some(&json!({ "note": "" }))).status, 404);
    for wrong in [json!({ "note": 1 }), json!({ "nota": "" }), json!([]), json!({ "note": "x".repeat(5000) })] {
        viewed.server.get("/");
        let seq = viewed.get("exchanges?limit=1")["exchanges"][0]["seq"].clone();
        assert_eq!(viewed.ask("POST", &format!("exchanges/{seq}/keep"), Some(&wrong)).status, 400, "{wrong}");
    }
}

#[test]
fn while_capturing_is_paused_exchanges_are_served_and_not_captured() {
    let viewed = Viewed::bin();
    viewed.post("pause", &json!({ "paused": true }));
    assert_eq!(viewed.server.get("/unseen").status, 200);
    assert_eq!(viewed.get("state")["paused"], true);
    viewed.post("pause", &json!({ "paused": false }));
    viewed.server.get("/seen");
    assert_eq!(viewed.listed(1)[0]["target"], "/seen");
}

/// A page that follows: its connection, after the head of the answer.
struct Follower {
    client: Client,
    head: wasmserve_tests::client::Head,
}

impl Follower {
    fn new(viewed: &Viewed, after: &str) -> Self {
        let mut client = Client::connect(viewed.addr);
        let addr = viewed.addr;
        client
            .send(format!("GET /api/events{after} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
        let head = client.head().expect("a response");
        assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
        Self { client, head }
    }

    /// Reads events up to the first one that is wanted, and returns its data.
    fn wait_for(&mut self, is_wanted: impl Fn(&str, &Value) -> bool) -> Value {
        let mut text = String::new();
        for piece in self.client.body(&self.head) {
            text += str::from_utf8(&piece).expect("events are text");
            while let Some((event, rest)) = text.split_once("\n\n") {
                let of = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let data = serde_json::from_str(of("data: ")).unwrap_or(Value::Null);
                if is_wanted(of("event: "), &data) {
                    return data;
                }
                text = rest.to_owned();
            }
        }
        panic!("the events end before");
    }
}

#[test]
fn pages_follow_what_happens_until_the_server_ends() {
    let viewed = Viewed::program("sleeps", &[]);
    viewed.server.get("/fine?1");
    viewed.listed(1);
    let mut page = Follower::new(&viewed, "?after=0");
    let first = page.wait_for(|event, _| event == "exchanges");
    assert_eq!(first[0]["target"], "/fine?1");
    viewed.server.get("/fine?2");
    let second = page.wait_for(|event, _| event == "exchanges");
    assert_eq!((&second[0]["target"], second.as_array().map(Vec::len)), (&json!("/fine?2"), Some(1)), "each once");
    viewed.post("exchanges/1/keep", &json!({ "note": "" }));
    assert_eq!(page.wait_for(|event, _| event == "kept")["seq"], 1);
    let mut waiting = viewed.server.connect();
    waiting.send("GET /for-ever HTTP/1.1\r\nHost: x\r\n\r\n");
    let running = page.wait_for(|event, data| event == "running" && !data[0].is_null());
    assert_eq!(running[0]["target"], "/for-ever");
    drop(waiting);
    page.wait_for(|event, data| event == "running" && data[0].is_null());
    viewed.server.signal(Signal::TERM);
    page.wait_for(|event, _| event == "bye");
    let (code, _) = viewed.server.wait();
    assert_eq!(code, Some(0));
}

#[test]
fn a_page_that_is_far_behind_learns_how_far() {
    let viewed = Viewed::bin();
    let mut client = viewed.server.connect();
    for _ in 0..250 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    viewed.listed(250);
    let mut page = Follower::new(&viewed, "?after=10");
    assert_eq!(page.wait_for(|event, _| event == "gap")["n"], 40);
    let newest = page.wait_for(|event, _| event == "exchanges");
    assert_eq!((newest.as_array().map(Vec::len), &newest[0]["seq"]), (Some(200), &json!(51)));
    // One of a server that ran before.
    assert_eq!(Follower::new(&viewed, "?after=100000").wait_for(|event, _| event == "gap")["n"], 50);
}

#[test]
fn only_eight_pages_follow_and_the_others_are_still_answered() {
    let viewed = Viewed::bin();
    let pages: Vec<Follower> = (0..8).map(|_| Follower::new(&viewed, "")).collect();
    assert_eq!(viewed.ask("GET", "events", None).status, 503);
    assert_eq!(viewed.get("state")["paused"], false);
    drop(pages);
    loop {
        let mut client = Client::connect(viewed.addr);
        let addr = viewed.addr;
        client.send(format!("GET /api/events HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
        match client.head().map(|head| head.status) {
            Some(503) => std::thread::yield_now(),
            status => break assert_eq!(status, Some(200), "there is room again"),
        }
    }
}

#[test]
fn f38_a_handler_is_ended_from_the_viewer_wherever_it_is() {
    for (program, place, part) in [("sleeps", "sleeps::app", "in `wasi:io/poll.block`"), ("spins", "spins::app", "")] {
        let viewed = Viewed::program(program, &["--cpu-time", "1h", "--timeout", "1h"]);
        let mut client = viewed.server.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let id = viewed.running()["id"].clone();
        let stack = loop {
            // Until it is where it stays.
            let stack = viewed.post(&format!("running/{id}/stack"), &json!({}))["stack"].to_string();
            if stack.contains(place) {
                break stack;
            }
        };
        assert!(!stack.contains("backtrace"), "{stack}");
        assert_eq!(viewed.post(&format!("running/{id}/end"), &json!({})), json!({}));
        let ended = client.response();
        assert_eq!((ended.status, ended.field("wasmserve-fault")), (500, Some("ended")), "{program}");
        let line = viewed.server.line_with("500 ended: the handler was ended from the viewer");
        assert!(line.contains(part), "{line}");
        viewed.server.line_with(place);

        // One that has begun to answer is cut.
        client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = client.head().expect("it has begun");
        assert_eq!(head.status, 200);
        let id = viewed.running()["id"].clone();
        viewed.post(&format!("running/{id}/end"), &json!({}));
        let mut body = client.body(&head);
        assert_eq!(body.by_ref().flatten().collect::<Vec<u8>>(), b"first");
        assert_eq!(body.end(), End::Cut, "{program}");

        // Nothing of them is left, and the next one is fine.
        while viewed.get("running") != json!([]) {
            std::thread::yield_now();
        }
        assert_eq!(viewed.server.get("/fine").text(), "fine");
        assert_eq!(viewed.ask("POST", &format!("running/{id}/end"), Some(&json!({}))).status, 404);
        assert_eq!(viewed.ask("POST", "running/x/stack", Some(&json!({}))).status, 404);
        let fault = &viewed.get("exchanges?q=fault:ended")["exchanges"];
        assert_eq!(fault.as_array().map(Vec::len), Some(2), "{fault}");
    }
}

#[test]
fn a_request_bin_answers_everything_with_what_was_chosen() {
    let viewed = Viewed::bin();
    let first = viewed.server.ask("DELETE /any/thing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((first.status, first.text()), (200, "ok\n"));
    let chosen = json!({ "status": 418, "fields": [["X-A", "1"], ["x-a", "2"]], "body": "te\u{e9}\n" });
    assert_eq!(json_of(&viewed.ask("PUT", "bin", Some(&chosen))), chosen);
    assert_eq!((viewed.get("bin"), &viewed.get("state")["bin"]), (chosen.clone(), &chosen));
    let second = viewed.server.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((second.status, second.values("x-a"), second.text()), (418, vec!["1", "2"], "te\u{e9}\n"));
    // All of a body is seen, although the answer does not depend on it.
    let body = "x".repeat(300_000);
    let mut client = viewed.server.connect();
    client.send(format!(
        "PUT /large HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.head().map(|head| head.status), Some(100));
    client.send(&body);
    assert_eq!(client.response().status, 418);
    let list = viewed.listed(3);
    let large = list.iter().find(|one| one["target"] == "/large").expect("it was captured");
    let path = format!("exchanges/{}/request/body", large["seq"]);
    assert_eq!(viewed.ask("GET", &path, None).body, body.as_bytes());
    for wrong in [
        json!({ "status": 99, "fields": [], "body": "" }),
        json!({ "status": 200, "fields": [["Content-Length", "7"]], "body": "" }),
        json!({ "status": 200, "fields": [["Connection", "close"]], "body": "" }),
        json!({ "status": 200, "fields": [["A", "b\r\nC: d"]], "body": "" }),
        json!({ "status": 200, "fields": [["A B", ""]], "body": "" }),
        json!({ "status": 200, "fields": [] , "body": "", "more": 1 }),
    ] {
        assert_eq!(viewed.ask("PUT", "bin", Some(&wrong)).status, 400, "{wrong}");
    }
    assert_eq!(viewed.get("bin"), chosen, "what is wrong changes nothing");
    let plain = Viewed::program("counts", &[]);
    assert_eq!((plain.ask("GET", "bin", None).status, &plain.get("state")["bin"]), (404, &Value::Null));
}

#[test]
fn no_handler_reaches_the_viewer_or_the_statistics_whatever_is_granted() {
    // A port that is free now, so that it can be granted before the viewer has it.
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let (viewer, stats) = (free(), free());
    let grants: Vec<String> = [viewer, stats]
        .iter()
        .flat_map(|port| {
            ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].map(|host| format!("--allow-net={host}:{port}"))
        })
        .collect();
    let server = Launch::mounted(&["connects", "requests"])
        .flags(&grants)
        .flags([format!("--ui=127.0.0.1:{viewer}"), format!("--stats=127.0.0.1:{stats}")])
        .start();
    for port in [viewer, stats] {
        for host in ["127.0.0.1", "0.0.0.0"] {
            let text = server.get(&format!("/connects/?addr={host}:{port}")).text().to_owned();
            assert!(text.starts_with("Err("), "{host}:{port}: {text}");
        }
        server.line_with(&format!("connection to 127.0.0.1:{port} denied: it is wasmserve's own"));
        for host in ["127.0.0.1", "localhost"] {
            let text = server.get(&format!("/requests/?authority={host}:{port}")).text().to_owned();
            assert!(text.starts_with("Err("), "{host}:{port}: {text}");
        }
    }
    server.line_with(&format!("connection to localhost:{viewer} denied: it is wasmserve's own"));
}

#[test]
fn the_viewer_takes_the_next_free_port_and_never_the_handlers() {
    // Others may have some of the ports, so only the first one is certain.
    let launch = || Launch::program("counts").flags(["--ui"]);
    let port = |server: &Server| {
        let line = server.line(|line| line.starts_with("viewer on http://127.0.0.1:"));
        let port = line["viewer on http://127.0.0.1:".len()..].split('/').next().expect("a port").to_owned();
        (port, line)
    };
    let (one, other) = (launch().start(), launch().start());
    let ((first, line), (second, other_line)) = (port(&one), port(&other));
    assert_ne!(first, second);
    let token = |line: &str| line.split_once("#k=").expect("a token").1.to_owned();
    assert!(token(&line).len() == 22 && token(&line) != token(&other_line), "each start draws its own");
    let addr = format!("127.0.0.1:{first}");
    refuses(Launch::program("counts").flags([format!("--ui={addr}")]), 3, &[&addr, "--ui"]);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let same = Launch::bare().flags(["--port", &free.port().to_string(), &format!("--ui={free}")]);
    refuses(same, 3, &["--ui", "the port is that of the handlers"]);
}

#[test]
fn wrong_flags_of_the_viewer_are_refused() {
    let refuse = |flags: &[&str], part: &str| refuses(Launch::program("counts").flags(flags), 2, &[part]);
    refuse(&["--ui=0.0.0.0:8001"], "loopback");
    refuse(&["--ui=192.0.2.1:8001"], "loopback");
    refuse(&["--ui", "--ui-host=http://x/"], "without http://");
    refuse(&["--ui-host=x"], "--ui");
    refuse(&["--ui", "--ui-memory=1KiB"], "1MiB");
    refuse(&["--ui-memory=2MiB"], "--ui");
    for (token, part) in [("short", "22"), ("AAECAwQFBgcICQoLDA0 ODw", "letters")] {
        refuses(
            Launch::program("counts").flags(["--ui"]).env("WASMSERVE_UI_TOKEN", token),
            2,
            &["WASMSERVE_UI_TOKEN", part],
        );
    }
}

#[test]
fn with_ui_host_the_viewer_is_reached_through_a_forwarder() {
    let viewed =
        Viewed::start(Launch::bare().flags(["--addr", "127.0.0.1:0", "--ui-host", "Box.example,tunnel.example:8443"]));
    for (host, origin, expected) in [
        ("box.example", "https://box.example", 200),
        ("box.example", "http://box.example", 200),
        ("tunnel.example:8443", "https://tunnel.example:8443", 200),
        ("tunnel.example", "https://tunnel.example:8443", 421),
        ("box.example", "https://evil.test", 403),
    ] {
        let request = format!(
            "GET /api/state HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        assert_eq!(viewed.send(request).status, expected, "{host} {origin}");
    }
    let refused = viewed.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert!(refused.text().contains("--ui-host"), "{refused:?}");
}

#[test]
fn searching_disturbs_no_request() {
    let viewed = Viewed::bin();
    let body = "y".repeat(20_000);
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut client = viewed.server.connect();
    for _ in 0..200 {
        client.send(&post);
        assert_eq!(client.response().status, 200);
    }
    viewed.listed(200);
    std::thread::scope(|scope| {
        let searches: Vec<_> =
            (0..4).map(|_| scope.spawn(|| viewed.get("exchanges?q=body:nowhere")["searched"].clone())).collect();
        for _ in 0..100 {
            client.send(&post);
            assert_eq!(client.response().status, 200);
        }
        for search in searches {
            assert!(search.join().expect("no panic").as_u64() >= Some(1));
        }
    });
    viewed.listed(300);
}

#[test]
fn an_exchange_is_replayed_edited_and_compared() {
    let viewed = Viewed::start(Launch::bare().flags(["echo", "--addr", "127.0.0.1:0"]));
    viewed.server.ask("POST /a?b HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello");
    viewed.listed(1);
    let replayed = viewed.post("exchanges/1/replay", &json!({}))["seq"].clone();
    let summary = viewed.get(&format!("exchanges/{replayed}"))["summary"].clone();
    assert_eq!(summary["origin"], json!({ "replay": { "of": 1, "id": 1, "edited": false } }));
    assert_eq!(summary["remote"], viewed.get("exchanges/1")["summary"]["remote"], "the original's client");
    let same = viewed.get(&format!("compare?a=1&b={replayed}"));
    assert_eq!((&same["isSame"], &same["differences"]), (&json!(true), &json!([])));
    // `POST /a?b`, with another body.
    let edited = "UE9TVCAvYT9iIEhUVFAvMS4xDQpIb3N0OiB4DQpDb250ZW50LUxlbmd0aDogNQ0KDQp3b3JsZA==";
    let other = viewed.post("exchanges/1/replay", &json!({ "bytes": edited, "pace": "recorded" }))["seq"].clone();
    let summary = viewed.get(&format!("exchanges/{other}"))["summary"].clone();
    assert_eq!(summary["origin"]["replay"]["edited"], true);
    assert_eq!(viewed.ask("GET", &format!("exchanges/{other}/response/body"), None).body, b"world");
    let differs = viewed.get(&format!("compare?a=1&b={other}"));
    assert_eq!((&differs["isSame"], &differs["differences"][0]["what"]), (&json!(false), &json!("body")), "{differs}");
    for (body, expected) in [
        (json!({ "bytes": "%" }), 400),
        (json!({ "pace": "slow" }), 400),
        (json!({ "bytes": edited, "exact": true }), 400),
        (json!({ "url": "http://evil.test/" }), 400),
        (json!({ "exact": true }), 200),
    ] {
        assert_eq!(viewed.ask("POST", "exchanges/1/replay", Some(&body)).status, expected, "{body}");
    }
    assert_eq!(viewed.ask("POST", "exchanges/99/replay", Some(&json!({}))).status, 404);
    assert_eq!(viewed.ask("GET", "compare?a=1&b=99", None).status, 404);
    assert_eq!(viewed.ask("GET", "compare?a=1", None).status, 400);
    assert_eq!(viewed.get("saved"), Value::Null);
}

#[test]
fn where_ids_count_nothing_is_replayed_and_the_state_says_why() {
    let viewed = Viewed::start(Launch::bare().flags(["--addr", "127.0.0.1:0", "--requests", "9"]));
    viewed.server.get("/");
    viewed.listed(1);
    let state = viewed.get("state");
    assert_eq!(state["replay"]["isAllowed"], false);
    assert!(state["replay"]["why"].as_str().is_some_and(|why| why.contains("--requests")), "{state}");
    assert_eq!(viewed.ask("POST", "exchanges/1/replay", Some(&json!({}))).status, 409);
}

#[test]
fn o11_exports_contain_secrets_only_when_they_are_asked_for() {
    let viewed = Viewed::bin();
    viewed.server.ask(format!("GET /?token={SECRET} HTTP/1.1\r\nHost: x\r\nAuthorization: {SECRET}\r\n\r\n"));
    viewed.listed(1);
    for format in ["curl", "har", "raw", "rest", "hurl", "test", "pcapng", "warc"] {
        for (path, secrets) in [
            (format!("exchanges/1/export/{format}"), 0),
            (format!("export/{format}"), 0),
            (format!("exchanges/1/export/{format}"), 1),
        ] {
            let response = viewed.ask("GET", &format!("{path}?secrets={secrets}"), None);
            assert_eq!(response.status, 200, "{path}");
            assert!(
                response.field("content-disposition").is_some_and(|value| value.starts_with("attachment; filename="))
            );
            let has_secret = response.body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
            assert!(!has_secret || secrets == 1, "{path}");
            let replaced = response.field("wasmserve-replaced").unwrap_or_default().to_lowercase();
            assert_eq!(
                replaced.contains("authorization") && replaced.contains("?token"),
                secrets == 0,
                "{path}: {replaced}"
            );
        }
    }
    let curl = viewed.ask("GET", "exchanges/1/export/curl?secrets=1", None);
    assert!(curl.text().contains(SECRET), "{}", curl.text());
    let har: Value = serde_json::from_slice(&viewed.ask("GET", "export/har?q=is:kept", None).body).expect("JSON");
    assert_eq!(har["log"]["entries"], json!([]), "none is kept");
    let raw = viewed.ask("GET", "exchanges/1/export/raw", None);
    let beside = raw.field("wasmserve-beside").expect("the response is beside the request");
    let response = viewed.ask("GET", &format!("exchanges/1/export/raw?file={beside}"), None);
    assert!(response.body.starts_with(b"HTTP/1.1 200 OK\r\n"), "{response:?}");
    for missing in
        ["exchanges/1/export/exe", "exchanges/9/export/curl", "exchanges/1/export/raw?file=/etc/passwd", "export/exe"]
    {
        assert_eq!(viewed.ask("GET", missing, None).status, 404, "{missing}");
    }
}

/// Starts a guest whose exchanges are written to a directory of a place.
fn capture(place: &Place, program: &str, directory: &str) -> Server {
    Launch::program(program).at(place).flags(["--capture", directory]).start()
}

/// Sends a request on a connection of its own. Returns all bytes that come back.
fn send(server: &Server, request: impl AsRef<[u8]>) -> Vec<u8> {
    let mut client = server.connect();
    client.send(request);
    client.rest().0
}

/// The only file of a directory.
fn file_in(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).expect("there are captures").map(|entry| entry.expect("it can be read").path());
    let mut files = files.filter(|path| path.is_file());
    files.next().expect("there is a file")
}

fn targets(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(|one| one["target"].as_str()).collect()
}

#[test]
fn o1_captures_in_files_are_shown_to_the_byte_and_can_be_exported() {
    let place = Place::new();
    let server = capture(&place, "echo", "captures");
    let request = b"POST /a?b HTTP/1.1\r\nHOST:x\r\nAuthorization: Bearer open-sesame\r\nContent-Length: 4\r\n\
                    Connection: close\r\n\r\n\x00\xff\r\n";
    let response = send(&server, request);
    server.stop();
    let viewed = Viewed::files(&place, &["captures"]);
    let list = viewed.listed(1);
    let [one] = &list[..] else { panic!("{list:?}") };
    let path = format!("exchanges/{}", one["seq"]);
    assert_eq!(viewed.ask("GET", &format!("{path}/request/wire"), None).body, request);
    assert_eq!(viewed.ask("GET", &format!("{path}/response/wire"), None).body, response);
    let mut files = wasmserve::capture::warc::read_path(&place.join("captures")).expect("there are captures");
    let record = files.next().expect("there is an exchange");
    assert_eq!((&one["id"], &one["began"]), (&json!(record.id), &json!(record.began)));
    let detail = viewed.get(&path);
    assert_eq!(detail["record"]["marks"], json!(record.marks));
    assert_eq!(detail["request"]["fields"][0], json!(["HOST", "x"]));
    for (format, part) in [("curl", "curl "), ("har", "\"log\""), ("raw", "POST /a?b HTTP/1.1"), ("warc", "WARC/1.1")] {
        for path in [format!("{path}/export/{format}"), format!("export/{format}")] {
            let exported = viewed.ask("GET", &path, None);
            let text = String::from_utf8_lossy(&exported.body).into_owned();
            assert!(exported.status == 200 && text.contains(part), "{path}: {exported:?}");
            assert!(!text.contains(SECRET), "{path}: {text}");
        }
    }
    viewed.server.stop();
}

#[test]
fn what_needs_a_handler_is_refused_for_captures_in_files_and_the_state_says_why() {
    let place = Place::new();
    let server = capture(&place, "hello", "captures");
    server.get("/");
    server.stop();
    let before = fs::read(file_in(&place.join("captures"))).expect("it can be read");
    let viewed = Viewed::files(&place, &["captures"]);
    let seq = viewed.listed(1)[0]["seq"].clone();
    let state = viewed.get("state");
    let why = "no handler: use `wasmserve replay FILE HANDLER`";
    assert_eq!(state["captures"], json!({ "names": ["captures"], "problems": [] }));
    assert_eq!((&state["replay"], &state["url"]), (&json!({ "isAllowed": false, "why": why }), &Value::Null));
    assert_eq!((&state["handlers"], &state["bin"], &state["files"]), (&json!([]), &Value::Null, &Value::Null));
    assert_eq!(state["onSave"]["isOn"], json!(false));
    for (path, body, part) in [
        (format!("exchanges/{seq}/replay"), json!({}), why),
        (format!("exchanges/{seq}/replay"), json!({ "exact": true }), why),
        (format!("exchanges/{seq}/replay"), json!({ "bytes": "AAAA" }), why),
        (format!("exchanges/{seq}/keep"), json!({ "note": "x" }), "files are only read"),
        ("pause".to_owned(), json!({ "paused": true }), "nothing is being captured"),
        ("clear".to_owned(), json!({}), "read from files"),
    ] {
        let refused = viewed.ask("POST", &path, Some(&body));
        assert_eq!(refused.status, 409, "{path}: {refused:?}");
        assert!(refused.text().contains(part), "{path}: {}", refused.text());
    }
    assert_eq!(viewed.ask("GET", "bin", None).status, 404);
    assert_eq!(viewed.ask("POST", "running/1/end", Some(&json!({}))).status, 404);
    assert_eq!((viewed.get("running"), viewed.get("saved")), (json!([]), Value::Null));
    assert_eq!(viewed.listed(1).len(), 1, "nothing was removed");
    viewed.server.signal(Signal::INT);
    let (code, log) = viewed.server.wait();
    assert_eq!(code, Some(0), "{log:?}");
    let after = fs::read(file_in(&place.join("captures"))).expect("it can be read");
    assert_eq!(before, after, "files are only read");
}

#[test]
fn several_captures_are_one_list_and_o12_a_damaged_file_is_shown_up_to_there() {
    let place = Place::new();
    for directory in ["one", "two"] {
        let server = capture(&place, "hello", directory);
        // Each is complete before the next one begins, so that the last one is the last of the file.
        for number in 1..=2 {
            send(&server, format!("GET /{directory}/{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        }
        server.stop();
    }
    let file = file_in(&place.join("two"));
    let whole = fs::read(&file).expect("it can be read");
    fs::write(&file, &whole[..whole.len() - 10]).expect("it can be written");
    let viewed = Viewed::files(&place, &["two", "one"]);
    let list = viewed.listed(3);
    let begun: Vec<u64> = list.iter().filter_map(|one| one["began"].as_u64()).collect();
    assert_eq!(begun.len(), 3);
    assert!(begun.is_sorted_by(|a, b| a >= b), "newest first, whatever the order of the captures: {begun:?}");
    for one in &list {
        let capture = &viewed.get(&format!("exchanges/{}", one["seq"]))["capture"];
        let target = one["target"].as_str().expect("a target");
        assert!(capture.as_str().is_some_and(|name| target.starts_with(&format!("/{name}/"))), "{target}: {capture}");
    }
    let mut targets = targets(&list);
    targets.sort_unstable();
    assert!(matches!(targets[..], ["/one/1", "/one/2", "/two/1" | "/two/2"]), "{targets:?}");
    let problem = viewed.server.line_with("it ends inside a record");
    let state = viewed.get("state");
    assert_eq!(state["captures"]["names"], json!(["two", "one"]));
    let shown = state["captures"]["problems"][0].as_str().expect("the page says so, too");
    assert_eq!(problem, format!("wasmserve: {shown}"));
    viewed.server.stop();
}

#[test]
fn what_was_kept_has_its_note_and_is_listed_once() {
    let place = Place::new();
    let launch = Launch::program("hello").at(&place).flags(["--capture", "captures"]);
    let viewed = Viewed::start(launch);
    viewed.server.get("/kept");
    let seq = viewed.listed(1)[0]["seq"].clone();
    viewed.post(&format!("exchanges/{seq}/keep"), &json!({ "note": "look at this" }));
    viewed.post(&format!("exchanges/{seq}/replay"), &json!({}));
    viewed.server.get("/other");
    viewed.listed(3);
    viewed.server.stop();

    let viewed = Viewed::files(&place, &["captures"]);
    let list = viewed.listed(3);
    let kept: Vec<&Value> = list.iter().filter(|one| one["kept"] == "look at this").collect();
    let [kept] = kept[..] else { panic!("{list:#?}") };
    assert_eq!(kept["target"], "/kept");
    let replay = list.iter().find(|one| one["origin"] != "client").expect("there is a replay");
    assert_eq!(replay["origin"]["replay"]["of"], kept["seq"], "{list:#?}");
}

#[test]
fn o4_captures_that_need_too_much_memory_are_left_out_from_the_oldest_and_counted() {
    let place = Place::new();
    let server = capture(&place, "echo", "captures");
    let body = "x".repeat(100 << 10);
    for number in 1..=10 {
        let length = body.len();
        send(
            &server,
            format!(
                "POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        );
    }
    server.stop();
    let viewed = Viewed::files(&place, &["captures", "--ui-memory", "1MiB"]);
    let state = viewed.get("state");
    let (seen, removed) = (&state["counts"]["seen"], state["counts"]["removed"].as_u64().expect("a number"));
    assert!(*seen == 10 && (1..10).contains(&removed), "{state}");
    assert!(state["memory"]["used"].as_u64() <= Some(1 << 20), "{state}");
    let list = viewed.listed(10 - removed);
    let newest: Vec<String> = (removed + 1..=10).rev().map(|number| format!("/{number}")).collect();
    assert_eq!(targets(&list), newest);
    let line = viewed.server.line_with("raise --ui-memory");
    assert!(line.starts_with(&format!("wasmserve: {removed} older exchange")), "{line}");
}

#[test]
fn o9_captures_in_files_are_behind_the_same_door() {
    let place = Place::new();
    let server = capture(&place, "hello", "captures");
    server.get("/");
    server.stop();
    let viewed = Viewed::files(&place, &["captures", "--ui-host", "box.example"]);
    let (port, authorization) = (viewed.addr.port(), format!("Authorization: Bearer {TOKEN}"));
    for (host, fields, status) in [
        (viewed.addr.to_string(), &*authorization, 200),
        (viewed.addr.to_string(), "X-A: b", 401),
        (viewed.addr.to_string(), "Authorization: Bearer AAECAwQFBgcICQoLDA0ODx", 401),
        (format!("evil.test:{port}"), &authorization, 421),
        ("box.example".to_owned(), &authorization, 200),
    ] {
        let response = viewed.send(format!("GET /api/exchanges HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n"));
        assert_eq!(response.status, status, "{host} {fields}: {response:?}");
    }
}

#[test]
fn captures_that_cannot_be_shown_are_explained() {
    let place = Place::new();
    place.file("app.rs", "fn main() {}");
    fs::create_dir(place.join("empty")).expect("a place is writable");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    for (words, code, parts) in [
        (&[][..], 2, &["FILE|DIR"][..]),
        (&["nothing"], 1, &["`nothing` cannot be read: No such file"]),
        (&["empty"], 1, &["`empty` contains no captures"]),
        (&["empty", "--addr", "0.0.0.0:8001"], 2, &["--addr", "loopback"]),
        (&["empty", "--addr", &port], 3, &["cannot listen", "--addr"]),
    ] {
        refuses(Launch::bare().at(&place).flags(["ui"]).flags(words), code, parts);
    }
    let ended = Launch::bare().at(&place).flags(["ui", "app.rs"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in ["this is not a WARC record", "there is no complete exchange", "`wasmserve HANDLER --ui`"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
