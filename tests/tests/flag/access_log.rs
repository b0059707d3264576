//! `--access-log-format`: one line for each exchange, in the chosen format.

use rustix::process::Signal;
use serde_json::Value;
use wasmserve_tests::server::{Launch, Server};

/// Makes exchanges that end in different ways, and returns the log.
fn exchanges(format: &str) -> Vec<String> {
    // Local time is five and a half hours ahead.
    let server = Launch::program("misbehaves").flags(["--access-log-format", format]).env("TZ", "TST-5:30").start();
    let fields = "Referer: http://x/\"\r\nUser-Agent: a\\b\r\n";
    assert_eq!(server.ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    assert_eq!(server.ask(format!("GET /told?a=b HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).status, 200);
    let mut client = server.connect();
    client.send("HEAD /head HTTP/1.0\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(server.get("/traps").status, 500);
    assert_eq!(server.ask("GET /no-host HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(server.ask("GET /\"bad\" field\r\n\r\n").status, 400);
    let mut client = server.connect();
    client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("a response head").status, 200);
    drop(client);
    // If compiling took long, the log starts with a line of the server.
    let is_own = |line: &&String| line.starts_with("listening on ") || line.starts_with("wasmserve: ");
    server.stop().iter().skip_while(is_own).map(ToOwned::to_owned).collect()
}

/// Checks the shape of the times in brackets (digits as 9, letters as a), and returns the sorted lines without them.
fn untimed(log: &[String], shape: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in log.iter().filter(|line| !line.starts_with('[')) {
        let (peer, rest) = line.split_once('[').unwrap_or_else(|| panic!("no time: {line}"));
        let (time, rest) = rest.split_once(']').unwrap_or_else(|| panic!("no time: {line}"));
        let signs = time.chars().map(|char| match char {
            '0'..='9' => '9',
            'A'..='Z' | 'a'..='z' => 'a',
            other => other,
        });
        assert_eq!(signs.collect::<String>(), shape, "{line}");
        lines.push(format!("{peer}[]{rest}"));
    }
    lines.sort_unstable();
    lines
}

#[test]
fn l1_l5_basehttp_is_the_default_and_looks_like_pythons() {
    let lines = untimed(&exchanges("basehttp"), "99/aaa/9999 99:99:99");
    assert_eq!(
        lines,
        [
            r#"127.0.0.1 - - [] "GET /\"bad\" field" 400 -"#,
            r#"127.0.0.1 - - [] "GET /no-host HTTP/1.1" 400 -"#,
            r#"127.0.0.1 - - [] "GET /plain HTTP/1.1" 200 -"#,
            r#"127.0.0.1 - - [] "GET /streams HTTP/1.1" 499 -"#,
            r#"127.0.0.1 - - [] "GET /told?a=b HTTP/1.1" 200 -"#,
            r#"127.0.0.1 - - [] "GET /traps HTTP/1.1" 500 -"#,
            r#"127.0.0.1 - - [] "HEAD /head HTTP/1.0" 200 -"#,
        ]
    );
    let server = Server::start("hello");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(untimed(&server.stop()[1..], "99/aaa/9999 99:99:99"), ["127.0.0.1 - - [] \"GET / HTTP/1.1\" 200 -"]);
}

/// A line without its size, if the client disconnected.
fn without_size(line: &str) -> String {
    match line.split_once("\" 499 ") {
        Some((before, after)) => {
            format!("{before}\" 499 {}", after.trim_start_matches(|char: char| char.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// The length of the host's own response to a trap.
const TRAPPED: usize = "500 Internal Server Error: the handler failed (exchange 4)\n".len();

#[test]
fn l2_l3_l4_l5_common_and_combined_look_like_apache() {
    const SHAPE: &str = "99/aaa/9999:99:99:99 +9999";
    let log = exchanges("common");
    assert!(log.iter().any(|line| line.contains(" +0530] ")), "in local time: {log:#?}");
    let common: Vec<String> = untimed(&log, SHAPE).iter().map(|line| without_size(line)).collect();
    let refused =
        log.iter().find_map(|line| line.split_once("no-host HTTP/1.1\" 400 ")).expect("the request is in the log").1;
    let expected = [
        // The response to a head that hyper cannot parse.
        r#"127.0.0.1 - - [] "GET /\"bad\" field" 400 89"#.to_owned(),
        format!(r#"127.0.0.1 - - [] "GET /no-host HTTP/1.1" 400 {refused}"#),
        r#"127.0.0.1 - - [] "GET /plain HTTP/1.1" 200 4"#.to_owned(),
        r#"127.0.0.1 - - [] "GET /streams HTTP/1.1" 499 "#.to_owned(),
        r#"127.0.0.1 - - [] "GET /told?a=b HTTP/1.1" 200 4"#.to_owned(),
        format!(r#"127.0.0.1 - - [] "GET /traps HTTP/1.1" 500 {TRAPPED}"#),
        r#"127.0.0.1 - - [] "HEAD /head HTTP/1.0" 200 -"#.to_owned(),
    ];
    assert_eq!(common, expected);
    assert!(refused.parse::<u32>().is_ok_and(|size| size > 0), "{refused}");

    let log = exchanges("combined");
    let combined: Vec<String> = untimed(&log, SHAPE).iter().map(|line| without_size(line)).collect();
    let with_fields = expected.map(|line| {
        let fields = if line.contains("/told") { r#""http://x/\"" "a\\b""# } else { r#""-" "-""# };
        format!("{line} {fields}")
    });
    assert_eq!(combined, with_fields);
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn l6_with_json_every_line_is_an_object_with_its_event_and_time() {
    let flags = ["--access-log-format", "json", "--lint", "--debug", "--stats", "127.0.0.1:0", "--env", "A=b"];
    let server = Launch::program("prints").flags(flags).start();
    assert_eq!(server.get("/").text(), "printed");
    server.signal(Signal::QUIT);
    server.line_with("\"event\":\"running\"");
    server.signal(Signal::INT);
    let log = server.wait().1;
    let objects: Vec<Value> = log.iter().map(|line| object(line)).collect();
    for object in &objects {
        assert!(
            object["event"].is_string() && object["time"].as_str().is_some_and(|time| time.ends_with('Z')),
            "{object}"
        );
    }
    assert!(!log.concat().contains(|char: char| char.is_control() || char == '\u{202e}'), "F22: {log:?}");
    let of = |event: &str| objects.iter().filter(|object| object["event"] == event).collect::<Vec<_>>();
    let texts: Vec<&str> = of("output").iter().filter_map(|object| object["text"].as_str()).collect();
    assert!(texts.contains(&"not UTF-8: \\xff"), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("\u{1b}[2Jclear \u{9b}2J \u{202e}turn")), "{texts:?}");
    assert!(of("output").iter().all(|object| object["id"] == 1));
    assert_eq!(of("running").last().expect("there is one")["answered"], 1);
    assert_eq!(of("listening").len(), 1);
    assert!(
        of("notice").iter().any(|object| object["text"].as_str().is_some_and(|text| text.starts_with("statistics on")))
    );
}

#[test]
fn with_json_a_fault_has_its_reason_and_stack() {
    let server = Launch::program("misbehaves").flags(["--access-log-format", "json"]).start();
    assert_eq!(server.get("/traps").status, 500);
    let fault = object(&server.line_with("\"event\":\"fault\""));
    assert_eq!((&fault["id"], &fault["status"], &fault["fault"]), (&1.into(), &500.into(), &"trap".into()));
    assert!(fault["text"].is_string() && fault["stack"].is_array(), "{fault}");
    let request = object(&server.line_with("\"event\":\"request\""));
    assert_eq!(request["fault"], "trap");
}

#[test]
fn with_json_a_failed_start_is_an_object_too() {
    let flags = ["/nowhere.wasm", "--access-log-format", "json"];
    let ended = Launch::bare().flags(flags).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let error = object(ended.stderr.trim_end());
    assert_eq!((&error["event"], &error["exit"]), (&"error".into(), &4.into()));
    assert!(error["text"].as_str().is_some_and(|text| text.contains("/nowhere.wasm")), "{error}");
}

#[test]
fn l5_l6_json_is_one_object_per_request() {
    let log = exchanges("json");
    let objects = log.iter().map(|line| object(line));
    let objects: Vec<Value> = objects.filter(|object| object["event"] == "request").collect();
    let mut requests: Vec<(&str, u64)> = objects
        .iter()
        .map(|object| (object["request"].as_str().expect("text"), object["status"].as_u64().expect("a number")))
        .collect();
    requests.sort_unstable();
    assert_eq!(
        requests,
        [
            ("GET /\"bad\" field", 400),
            ("GET /no-host HTTP/1.1", 400),
            ("GET /plain HTTP/1.1", 200),
            ("GET /streams HTTP/1.1", 499),
            ("GET /told?a=b HTTP/1.1", 200),
            ("GET /traps HTTP/1.1", 500),
            ("HEAD /head HTTP/1.0", 200),
        ]
    );
    let mut ids: Vec<u64> = objects.iter().map(|object| object["id"].as_u64().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7], "each exchange has its own id");
    for object in &objects {
        assert_eq!(object["remote"], "127.0.0.1");
        assert!(object["took_us"].is_u64() && object["sent"].is_u64(), "{object}");
        let time = object["time"].as_str().expect("text");
        assert!(time.len() >= "2026-11-21T12:00:00Z".len() && time.contains('T') && time.ends_with('Z'), "{time}");
        if object["request"] == "GET /told?a=b HTTP/1.1" {
            assert_eq!((&object["referer"], &object["user_agent"]), (&"http://x/\"".into(), &"a\\b".into()));
        } else {
            assert_eq!((&object["referer"], &object["user_agent"]), (&Value::Null, &Value::Null));
        }
    }
}

#[test]
fn without_an_access_log_faults_are_still_logged() {
    let log = exchanges("none");
    assert!(log.iter().all(|line| line.starts_with('[')), "{log:#?}");
    assert!(log.iter().any(|line| line.starts_with("[4] 500 trap: ")), "{log:#?}");
    assert!(log.iter().any(|line| line.starts_with("[5] 400 refused: ")), "{log:#?}");
}
