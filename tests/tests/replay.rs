//! `wasmserve replay`: captured requests are sent again, and their responses compared.

use std::{fs, path::Path};

use serde_json::{Value, json};
use wasmserve_tests::{
    client::End,
    guest,
    http2::{self, END_STREAM, Http2, fields, headers},
    place::Place,
    server::{Ended, Launch, Server, refuses},
    viewed::Viewed,
};

/// Serves a program as `handler.wasm` of the place, captures what `talk` does, and stops.
fn capture(place: &Place, program: &str, flags: &[&str], talk: impl FnOnce(&Server)) {
    let handler = put(place, program);
    let flags = [&["--capture", "captures", "--no-watch"], flags].concat();
    let server = Launch::file(Path::new(&handler)).at(place).flags(flags).start();
    talk(&server);
    server.stop();
}

/// Makes a program the handler of the place.
fn put(place: &Place, program: &str) -> String {
    place.file("handler.wasm", fs::read(guest::program(program)).expect("the guest is built"));
    "handler.wasm".into()
}

fn replay(place: &Place, flags: &[&str]) -> Ended {
    Launch::bare().at(place).flags(["replay", "captures"]).flags(flags).run()
}

/// The last line of what a replay has printed, and its exit code.
fn result(ended: &Ended) -> (&str, Option<i32>) {
    (ended.stdout.lines().last().unwrap_or_default(), ended.code)
}

/// Serves a program as `handler.wasm` of the place, with a viewer.
fn viewed(place: &Place, program: &str, flags: &[&str]) -> Viewed {
    let handler = put(place, program);
    Viewed::start(Launch::file(Path::new(&handler)).at(place).flags(flags))
}

const CHUNKED: &str = "PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";

#[test]
fn the_same_handler_gives_the_same_responses_although_all_of_them_vary() {
    let place = Place::new();
    capture(&place, "varies", &[], |server| {
        server.get("/");
        server.ask(CHUNKED);
        // Two on one connection, and one that no handler sees.
        let mut client = server.connect();
        client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!([client.response().status, client.response().status], [200, 200]);
        server.ask("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
    });
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("5 exchanges: 5 alike", Some(0)), "{ended:?}");
}

#[test]
fn a_regression_is_found_and_can_be_accepted() {
    let place = Place::new();
    capture(&place, "hello", &[], |server| {
        server.get("/one");
        server.ask(CHUNKED);
    });
    assert_eq!(result(&replay(&place, &[])), ("2 exchanges: 2 alike", Some(0)));
    put(&place, "echo");
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("2 exchanges: 2 differ", Some(14)), "{ended:?}");
    for part in ["[1] GET /one: differs: ", "[2] PUT /c: differs: ", "- Hello, World!", "+ abc (no line end)"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let ended = replay(&place, &["--accept", "--only", "2"]);
    assert_eq!(result(&ended), ("1 exchange: 1 accepted", Some(0)), "{ended:?}");
    assert_eq!(result(&replay(&place, &[])), ("2 exchanges: 1 alike, 1 differs", Some(14)));
    assert_eq!(result(&replay(&place, &["--only", "2"])), ("1 exchange: 1 alike", Some(0)));
    // What was accepted is still a capture like any other, with the request as it was.
    let ended =
        Launch::bare().at(&place).flags(["convert", "captures", "--as", "raw", "--only", "2", "-o", "raw"]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(fs::read(place.join("raw")).expect("it was written"), CHUNKED.as_bytes());
}

#[test]
fn a_handler_that_fails_differs_with_the_kind_of_its_fault() {
    let place = Place::new();
    capture(&place, "hello", &[], |server| drop(server.get("/")));
    put(&place, "traps");
    let ended = replay(&place, &["--json"]);
    assert_eq!(ended.code, Some(14), "{ended:?}");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let [line, all] = &lines[..] else { panic!("{ended:?}") };
    assert_eq!((&line["verdict"], &line["text"]), (&"differs".into(), &"200 -> 500 (trap)".into()), "{line}");
    assert_eq!((&line["id"], &line["comparison"]["isSame"]), (&1.into(), &false.into()), "{line}");
    assert_eq!((&all["alike"], &all["differ"]), (&0.into(), &1.into()), "{all}");
}

#[test]
fn o6_what_cannot_be_replayed_says_why_and_has_an_exit_code_of_its_own() {
    let place = Place::new();
    capture(&place, "echo", &["--capture-body", "10"], |server| {
        server.ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n01234567890");
        server.ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    });
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("2 exchanges: 1 alike, 1 not replayed", Some(15)), "{ended:?}");
    assert!(ended.stdout.contains("[1] PUT /: not replayed: only ") && ended.stdout.contains("--capture-body"));
    refuses(Launch::bare().at(&place).flags(["replay", "captures", "--only", "7"]), 15, &["nothing to replay"]);
    // A file that ends too early.
    let file = place.join("captures").read_dir().expect("it is a directory").next().expect("there is a capture");
    let file = file.expect("it is there").path();
    let bytes = fs::read(&file).expect("it is readable");
    fs::write(&file, &bytes[..bytes.len() - 10]).expect("it is writable");
    let ended = replay(&place, &["--accept"]);
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert!(ended.stdout.contains("not read: "), "{ended:?}");
}

#[test]
fn a_replay_goes_where_its_capture_or_the_user_says() {
    let place = Place::new();
    capture(&place, "hello", &[], |server| drop(server.get("/")));
    fs::rename(place.join("handler.wasm"), place.join("other.wasm")).expect("it is there");
    let launch = || Launch::bare().at(&place);
    refuses(launch().flags(["replay", "captures"]), 4, &["handler.wasm"]);
    let ended = launch().flags(["replay", "captures", "other.wasm"]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    refuses(launch().flags(["replay", "captures", "other.wasm", "--port", "1"]), 2, &["--port", "does not listen"]);
    refuses(launch().flags(["replay", "missing", "other.wasm"]), 1, &["`missing` cannot be read"]);
    fs::create_dir(place.join("empty")).expect("it is new");
    refuses(launch().flags(["replay", "empty", "other.wasm"]), 1, &["`empty` contains no captures"]);
}

#[test]
fn o7_a_replay_sends_nothing_to_other_servers() {
    let place = Place::new();
    let other = Launch::program("counts").start();
    let authority = other.addr().to_string();
    let target = format!("/?authority={authority}");
    capture(&place, "varies", &["--allow-net", &authority], |server| {
        let response = server.get(&target);
        assert_eq!((response.status, response.end), (200, End::Whole));
        assert!(response.text().contains("asked Ok(\"200 "), "{}", response.text());
    });
    for flags in [&[][..], &["--allow-net", &authority]] {
        let ended = replay(&place, flags);
        assert_eq!(result(&ended), ("1 exchange: 1 alike", Some(0)), "{ended:?}");
    }
    let asked = other.stop().iter().filter(|line| line.contains("/asked")).count();
    assert_eq!(asked, 1, "only the original has sent its request");
}

#[test]
fn what_a_client_did_not_wait_for_does_not_differ() {
    let place = Place::new();
    capture(&place, "drips", &[], |server| {
        let mut client = server.connect();
        client.send("GET /?n=1000 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response_to_head().status, 200);
        drop(client);
        server.line_with("499");
    });
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("1 exchange: 1 alike", Some(0)), "{ended:?}");
}

/// Sends a POST over HTTP/2, in pieces, with a trailer.
fn post_http2(server: &Server, path: &str, more: &[(&str, &str)]) -> http2::Response {
    let mut client = Http2::connect(server.addr());
    let stream = client.begin(&[&fields("POST", path), more].concat());
    client.data(stream, "hello");
    client.settle();
    client.data(stream, ", you");
    client.send(headers(stream, &[("x-sum", "7")], END_STREAM));
    client.response(stream)
}

#[test]
fn requests_of_http2_are_replayed_over_http2_with_the_same_environ_content_and_trailers() {
    let place = Place::new();
    // The environ has the client's address and port, and the protocol.
    capture(&place, "environ", &[], |server| {
        let mut client = Http2::connect(server.addr());
        assert!(client.get("/a%20b?c").text().contains("SERVER_PROTOCOL = \"HTTP/2\""));
        let more = [("z", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("a", "2"), ("te", "trailers")];
        let stream = client.ask(&[fields("DELETE", "/d"), more.to_vec()].concat());
        assert_eq!(client.response(stream).status, 200);
        // Without an authority, and with a Host that repeats it.
        let host = [(":method", "GET"), (":scheme", "http"), (":path", "/h"), ("b", "1"), ("host", "x")];
        let stream = client.ask(&host);
        assert_eq!(client.response(stream).status, 200);
        let stream = client.ask(&[fields("HEAD", "/head"), vec![("host", "test")]].concat());
        assert_eq!(client.response(stream).status, 200);
        post_http2(server, "/post", &[("content-length", "10")]);
        // Refused before a handler.
        assert_eq!(client.get(&format!("/{}", "x".repeat(9000))).status, 414);
    });
    assert_eq!(result(&replay(&place, &[])), ("6 exchanges: 6 alike", Some(0)));
    let ended = replay(&place, &["--pace", "recorded"]);
    assert_eq!(result(&ended), ("6 exchanges: 6 alike", Some(0)), "{ended:?}");

    let place = Place::new();
    capture(&place, "reads_input", &[], |server| {
        assert_eq!(post_http2(server, "/", &[]).text(), "10 octets, trailers [(\"x-sum\", \"7\")]\n");
    });
    assert_eq!(result(&replay(&place, &[])), ("1 exchange: 1 alike", Some(0)));
    put(&place, "hello");
    assert_eq!(result(&replay(&place, &[])), ("1 exchange: 1 differs", Some(14)));

    let place = Place::new();
    capture(&place, "speaks_wasi_http", &[], |server| {
        let response = Http2::connect(server.addr()).get("/sends-trailers");
        assert!(!response.trailers.is_empty(), "{response:?}");
    });
    assert_eq!(result(&replay(&place, &[])), ("1 exchange: 1 alike", Some(0)));
    let ended = Launch::bare().at(&place).flags(["convert", "captures", "--as", "har"]).run();
    let har: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    let response = &har["log"]["entries"][0]["response"];
    let trailers = response["_trailers"].as_array().expect("there are trailers");
    let body = response["content"]["text"].as_str().unwrap_or_default();
    assert!(!trailers.is_empty() && !body.contains("x-sum"), "{response}");
}

#[test]
fn handlers_that_vary_or_fail_over_http2_do_the_same_again() {
    let place = Place::new();
    let other = Launch::program("counts").start();
    let authority = other.addr().to_string();
    let target = format!("/?authority={authority}");
    capture(&place, "varies", &["--allow-net", &authority], |server| {
        assert_eq!(Http2::connect(server.addr()).get("/").status, 200);
        let response = post_http2(server, &target, &[]);
        assert!(response.text().contains("asked Ok(\"200 "), "{}", response.text());
    });
    let ended = replay(&place, &["--allow-net", &authority]);
    assert_eq!(result(&ended), ("2 exchanges: 2 alike", Some(0)), "{ended:?}");
    let asked = other.stop().iter().filter(|line| line.contains("/asked")).count();
    assert_eq!(asked, 1, "only the original has sent its request");

    for (program, paths) in [("traps", &["/", "/fine"][..]), ("traps_after_first_write", &["/", "/length"])] {
        let place = Place::new();
        capture(&place, program, &[], |server| {
            let mut client = Http2::connect(server.addr());
            for path in paths {
                _ = client.get(path);
            }
        });
        let ended = replay(&place, &[]);
        assert_eq!(result(&ended), ("2 exchanges: 2 alike", Some(0)), "{program}: {ended:?}");
    }
}

#[test]
fn what_a_client_of_http2_did_not_send_or_wait_for_is_treated_as_in_http1() {
    let place = Place::new();
    capture(&place, "drips", &[], |server| {
        let mut client = Http2::connect(server.addr());
        let stream = client.ask(&fields("GET", "/?n=1000"));
        assert!(client.piece(stream).is_some());
        client.reset(stream);
        server.line_with("499");
    });
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("1 exchange: 1 alike", Some(0)), "{ended:?}");

    let place = Place::new();
    capture(&place, "echo", &["--capture-body", "9"], |server| {
        assert_eq!(post_http2(server, "/cut", &[]).text(), "hello, you");
        // The client breaks the request off.
        let mut client = Http2::connect(server.addr());
        let stream = client.begin(&fields("POST", "/broken"));
        client.data(stream, "hello");
        assert!(client.piece(stream).is_some());
        client.reset(stream);
        server.line_with("/broken");
        // A scheme is not part of what is captured.
        let ftp = [(":method", "GET"), (":scheme", "ftp"), (":path", "/ftp"), (":authority", "x")];
        let stream = client.ask(&ftp);
        assert_eq!(client.response(stream).status, 400);
    });
    let ended = replay(&place, &[]);
    assert_eq!(result(&ended), ("3 exchanges: 3 not replayed", Some(15)), "{ended:?}");
    for (request, why) in [
        ("POST /cut", "were captured; raise --capture-body to capture all"),
        ("POST /broken", "its client broke the connection before the request was complete"),
        ("GET /ftp", "it was malformed in a way that only frames of HTTP/2 show, which are not captured"),
    ] {
        let line = ended.stdout.lines().find(|line| line.contains(request)).unwrap_or_else(|| panic!("{ended:?}"));
        assert!(line.contains(": not replayed: ") && line.ends_with(why), "{line}");
    }
}

#[test]
fn a_request_of_http2_is_edited_and_replayed_in_the_viewer() {
    let place = Place::new();
    let viewed = viewed(&place, "echo", &[]);
    assert_eq!(post_http2(&viewed.server, "/kept", &[("content-length", "10")]).text(), "hello, you");
    let (seq, id) = viewed.keep("/kept");
    let again = |body: Value| viewed.ask(&format!("exchanges/{seq}/replay"), Some(&body));
    let (_, original) = viewed.ask(&format!("exchanges/{seq}"), None);
    assert_eq!(original["request"]["trailers"], json!([["x-sum", "7"]]), "{original}");
    // In base64: what was sent, `PUT /new HTTP/2`, `host: test` and `bye`, and `PUT /new HTTP/2` and `Connection: close`.
    let (sent, bye) = ("aGVsbG8sIHlvdQ==", "Ynll");
    let edited = "UFVUIC9uZXcgSFRUUC8yDQpob3N0OiB0ZXN0DQoNCmJ5ZQ==";
    let wrong = "UFVUIC9uZXcgSFRUUC8yDQpDb25uZWN0aW9uOiBjbG9zZQ0KDQo=";
    for (body, answer) in [
        (json!({}), sent),
        (json!({ "exact": true }), sent),
        (json!({ "pace": "recorded" }), sent),
        (json!({ "bytes": edited }), bye),
    ] {
        let (status, made) = again(body);
        assert_eq!(status, 200, "{made}");
        let (_, detail) = viewed.ask(&format!("exchanges/{}", made["seq"]), None);
        assert_eq!((&detail["summary"]["protocol"], &detail["summary"]["status"]), (&json!("HTTP/2"), &json!(200)));
        assert_eq!(detail["response"]["body"], answer, "{detail}");
        assert_eq!(detail["request"]["trailers"], original["request"]["trailers"], "{detail}");
        assert_eq!(detail["record"]["remote"], original["record"]["remote"], "{detail}");
        assert_eq!(detail["record"]["origin"]["replay"]["id"], id, "{detail}");
        if answer == sent {
            assert_eq!(detail["request"]["wire"], original["request"]["wire"], "{detail}");
        }
    }
    let (status, refusal) = again(json!({ "bytes": wrong }));
    assert_eq!((status, refusal["error"].as_str().is_some_and(|why| why.contains("remove it"))), (422, true));
    // On save, too.
    put(&place, "hello");
    assert_eq!(
        viewed.server.line_with("kept request"),
        format!("wasmserve: 1 kept request again: 0 alike, [{id}] differs: field content-type, body")
    );
    viewed.server.stop();
}

#[test]
fn kept_requests_are_replayed_on_save_and_the_log_says_what_changed() {
    let place = Place::new();
    let viewed = viewed(&place, "hello", &[]);
    viewed.server.get("/kept");
    viewed.server.get("/not-kept");
    assert_eq!(viewed.ask("saved", None), (200, Value::Null));
    let (seq, id) = viewed.keep("/kept");
    put(&place, "traps");
    let line = viewed.server.line_with("kept request");
    assert_eq!(line, format!("wasmserve: 1 kept request again: 0 alike, [{id}] differs: 200 -> 500 (trap)"));
    let (_, run) = viewed.ask("saved", None);
    assert_eq!((&run["number"], &run["differ"], &run["results"][0]["seq"]), (&json!(1), &json!(1), &seq), "{run}");
    // The replays are there to look at, and compared as after the save.
    let replay = run["results"][0]["replay"].as_u64().expect("there was a replay");
    let (_, comparison) = viewed.ask(&format!("compare?a={seq}&b={replay}"), None);
    assert_eq!(comparison["isSame"], json!(false), "{comparison}");
    let (_, detail) = viewed.ask(&format!("exchanges/{replay}"), None);
    assert_eq!(detail["record"]["origin"]["replay"]["id"], id, "{detail}");
    put(&place, "hello");
    assert!(
        viewed
            .server
            .lines(2, |line| line.contains("kept request"))
            .pop()
            .is_some_and(|line| line.ends_with("1 alike"))
    );
    viewed.server.stop();
}

#[test]
fn requests_are_not_replayed_on_save_where_they_could_do_harm() {
    let place = Place::new();
    for (flags, why) in [
        (&["--allow-net", "127.0.0.1:1"][..], "--allow-net"),
        (&["--dir", "files::/files"], "--dir"),
        (&["--no-replay-on-save"], "--no-replay-on-save"),
        (&["--requests", "9"], "--requests"),
    ] {
        fs::create_dir_all(place.join("files")).expect("the place is writable");
        let viewed = viewed(&place, "hello", flags);
        viewed.server.get("/");
        _ = viewed.keep("/");
        let (_, state) = viewed.ask("state", None);
        assert_eq!(state["onSave"]["isOn"], json!(false), "{state}");
        put(&place, "echo");
        let line = viewed.server.line_with("kept requests are not replayed on save: ");
        assert!(line.contains(why), "{line}");
        // The handler is ready, and nothing has reached it.
        viewed.server.get("/");
        let (_, list) = viewed.ask("exchanges?q=is:replay", None);
        assert_eq!(list["exchanges"], json!([]), "{list}");
    }
}
