//! Each example does what its documentation says, and follows the rules.

use wasmserve_tests::{
    client::End,
    server::{Launch, Server, Shared},
};

#[test]
fn hello_says_hello() {
    let server = Server::start("hello");
    let response = server.get("/");
    assert_eq!((response.status, &*response.reason, response.end), (200, "OK", End::Whole));
    assert_eq!(response.text(), "Hello, World!\n");
    assert_eq!(response.field("Content-Type"), Some("text/plain"));
    assert_eq!(response.field("Content-Length"), Some("14"));
    assert!(response.field("Server").expect("S12").starts_with("wasmserve/"));
    let date = response.field("Date").expect("S12: a response has a date");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date:?}");
    assert_eq!(response.field("Keep-Alive"), Some("timeout=15"));
    assert_eq!(response.fields.len(), 5, "S13: nothing is invented: {response:?}");
    server.line_with("\"GET / HTTP/1.1\" 200 -");
}

#[test]
fn environ_prints_every_variable_once_and_in_order() {
    let server = Server::start("environ");
    let mut client = server.connect();
    let local = client.sender().local_addr().expect("the client is connected");
    client.send(
        "POST /a%20path?a=query HTTP/1.1\r\nHost: test:1\r\nX-Mine: 1\r\nProxy: evil\r\nX_Mine: 2\r\nx-mine: caf\
                 \u{e9}\r\nContent-Type: text/x\r\nContent-Length: 0\r\n\r\n",
    );
    let response = client.response();
    let expected = [
        "CONTENT_LENGTH = \"0\"".to_owned(),
        "CONTENT_TYPE = \"text/x\"".to_owned(),
        "GATEWAY_INTERFACE = \"CGI/1.1\"".to_owned(),
        "PATH_INFO = \"/a path\"".to_owned(),
        "QUERY_STRING = \"a=query\"".to_owned(),
        "REMOTE_ADDR = \"127.0.0.1\"".to_owned(),
        "REMOTE_HOST = \"127.0.0.1\"".to_owned(),
        format!("REMOTE_PORT = \"{}\"", local.port()),
        "REQUEST_METHOD = \"POST\"".to_owned(),
        "REQUEST_URI = \"/a%20path?a=query\"".to_owned(),
        "RAW_URI = \"/a%20path?a=query\"".to_owned(),
        "SCRIPT_NAME = \"\"".to_owned(),
        "SERVER_NAME = \"127.0.0.1\"".to_owned(),
        format!("SERVER_PORT = \"{}\"", server.addr().port()),
        "SERVER_PROTOCOL = \"HTTP/1.1\"".to_owned(),
        "SERVER_SOFTWARE = \"wasmserve/0.1.0\"".to_owned(),
        "HTTP_HOST = \"test:1\"".to_owned(),
        "HTTP_X_MINE = \"1, caf\\xc3\\xa9\"".to_owned(),
        "wsgi.version = \"1.0\"".to_owned(),
        "wsgi.url_scheme = \"http\"".to_owned(),
        "wsgi.multithread = \"0\"".to_owned(),
        "wsgi.multiprocess = \"1\"".to_owned(),
        "wsgi.run_once = \"1\"".to_owned(),
        "wsgi.input_terminated = \"1\"".to_owned(),
        "wasmserve.request_id = \"1\"".to_owned(),
        "wasmserve.deadline_ms = \"30000\"".to_owned(),
        "wasmserve.mount = \"/\"".to_owned(),
    ];
    let got: Vec<&str> = response.text().lines().collect();
    assert_eq!(got, expected);
}

#[test]
fn echo_sends_a_body_back_with_its_type() {
    let server = Server::start("echo");
    let response = server
        .ask(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\nContent-Length: 8\r\n\r\n\x89PNG\r\n\x1a\n");
    assert_eq!((response.status, response.end), (200, End::Whole));
    assert_eq!(response.body, b"\x89PNG\r\n\x1a\n");
    assert_eq!(response.field("Content-Type"), Some("image/png"));

    let response = server.get("/");
    assert_eq!((response.status, &*response.body), (200, &b""[..]));
    assert_eq!(response.field("Content-Type"), None, "S13");
}

#[test]
fn echo_sends_each_chunk_back_before_the_next_one_arrives() {
    let server = Server::start("echo");
    let mut client = server.connect();
    let mut sender = client.sender();
    let mut send = |bytes: &[u8]| std::io::Write::write_all(&mut sender, bytes).expect("the server accepts it");
    send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nContent-Type: text/x\r\n\r\n");
    send(b"5;ext=1\r\nhello\r\n");
    let head = client.head().expect("the head leaves with the first chunk");
    assert_eq!(head.field("Content-Type"), Some("text/x"));
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"hello"[..]), "B7");
    send(b"6\r\n world\r\n");
    assert_eq!(body.next().as_deref(), Some(&b" world"[..]), "B7");
    send(b"0\r\n\r\n");
    assert_eq!(body.next(), None);
    assert_eq!(body.end(), End::Whole);
}

#[test]
fn dump_prints_the_exact_bytes_of_the_request() {
    let requests: [&[u8]; 3] = [
        b"POST /a?b=%zz HTTP/1.1\r\nhOsT:x\r\nX-B:  2 \t\r\nX-a: 1\r\nx-b: caf\xe9\r\nEmpty:\r\nContent-Length: \
          7\r\n\r\nabc=def",
        b"GET / HTTP/1.1\nHost: bare.line.feeds\nUser-Agent:\told\n\n",
        b"get //x/../y;p=1 HTTP/1.0\r\nA: 1\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    ];
    let server = Server::start("dump");
    for request in requests {
        let response = server.ask(request);
        assert_eq!(response.body.escape_ascii().to_string(), request.escape_ascii().to_string());
    }
    for line in [
        "[1] log: POST /a?b=%zz HTTP/1.1",
        "[1] log: hOsT:x",
        "[1] log: X-B:  2 \t",
        "[1] log: x-b: caf\\xe9",
        "[1] log: abc=def",
        "[2] log: Host: bare.line.feeds",
        "[3] log: Cookie: b=2",
    ] {
        server.line(|logged| logged == line);
    }
}

#[test]
fn dump_shows_a_chunked_body_without_its_chunk_sizes() {
    let server = Shared::program("dump");
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let response = server.ask(format!("{head}4\r\nabc=\r\n3\r\ndef\r\n0\r\n\r\n"));
    assert_eq!(response.text(), format!("{head}abc=def"));
}

#[test]
fn verbs_has_a_function_for_each_method_and_the_others_are_501() {
    let server = Server::start("verbs");
    let mut client = server.connect();
    let mut ask = |method: &str, body: &str| {
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        client.response()
    };
    assert_eq!(ask("GET", "").text(), "Test from GET!");
    assert_eq!(ask("POST", "abc=def").text(), "Test from POST!");
    assert_eq!(ask("POST", "").text(), "Test from POST!", "I3: no body does not block");
    for method in ["BREW", "PUT", "get", "M-SEARCH"] {
        let response = ask(method, "");
        assert_eq!((response.status, response.reason.clone()), (501, format!("Unsupported method ('{method}')")), "V1");
    }
    server.line(|line| line == "[2] log: {'abc': ['def']}");
    server.line_with("\"POST / HTTP/1.1\" 200 -");
    server.line_with("\"BREW / HTTP/1.1\" 501 -");

    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to_head().status, 501, "V3");
}

#[test]
fn form_logs_the_fields_as_parse_qs_does() {
    let server = Server::start("form");
    let body = "abc=def&n=1&n=2&blank=&e=%C3%A9+x";
    let response = server.ask(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let form = "{'abc': ['def'], 'n': ['1', '2'], 'e': ['é x']}";
    assert_eq!(response.text(), format!("{form}\n"));
    server.line(|line| line == format!("[1] log: {form}"));

    server.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 7\r\n\r\nabc=def");
    server.line(|line| line == "[2] log: {'abc': ['def']}");
}

#[test]
fn router_answers_by_path_and_method() {
    let server = Shared::program("router");
    assert_eq!(server.get("/greet/caf%C3%A9").text(), "Hello, café!\n", "T10");
    assert_eq!(server.get("/greet/nobody").status, 204);
    assert_eq!(server.get("/tail/a%2Fb//c").text(), "GET of \"a/b//c\"\n");
    for (target, expected) in [("/square/12", (200, "144\n")), ("/square/x", (404, "only numbers have a square\n"))] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), expected);
    }
    assert_eq!(server.get("/greet/a/b").status, 404);

    let mut client = server.connect();
    client.send("HEAD /greet/you HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.response_to_head();
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("12")));
    let mut ask = |method: &str| {
        client.send(format!("{method} /greet/you HTTP/1.1\r\nHost: test\r\n\r\n"));
        client.response()
    };
    assert_eq!(ask("POST").status, 202);
    for (method, status) in [("OPTIONS", 204), ("BREW", 405)] {
        let response = ask(method);
        assert_eq!((response.status, response.field("Allow")), (status, Some("GET, HEAD, POST, OPTIONS")), "{method}");
    }
}

#[test]
fn router_works_below_a_mount() {
    let mount = format!("/app={}", wasmserve_tests::guest::program("router").display());
    let server = Launch::program("hello").flags(["--mount", &mount, "--asterisk", "app"]).start();
    assert_eq!(server.get("/app/greet/you").text(), "Hello, you!\n");
    for target in ["/app", "/app/"] {
        assert!(server.get(target).text().starts_with("Ask for "), "{target}");
    }
}

#[test]
fn json_accepts_and_sends_json_and_rejects_other_bodies() {
    let server = Shared::program("json");
    let post = |content_type: &str, body: &str| {
        let length = body.len();
        server.ask(format!(
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    };
    let response = post("application/json", r#"{"item": "tea", "count": 2}"#);
    assert_eq!((response.status, response.text()), (201, r#"{"item":"tea","total":6}"#));
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    for (content_type, body, status) in [
        ("application/x-www-form-urlencoded", "item=tea", 415),
        ("application/json", "{\"item\": ", 400),
        ("application/json", "{\"item\": 2}", 422),
        ("application/json", &format!("[{}]", " ".repeat(1 << 20)), 413),
    ] {
        let response = post(content_type, body);
        assert_eq!(response.status, status, "{response:?}");
        assert!(response.text().starts_with("the body is "), "{response:?}");
    }
}

#[test]
fn cookies_count_the_visits_of_a_client() {
    let server = Shared::program("cookies");
    let first = server.get("/");
    assert_eq!(first.text(), "visit 1\n");
    let cookie = first.field("Set-Cookie").expect("the cookie is set");
    let (pair, attributes) = cookie.split_once("; ").expect("the cookie has attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    let second = server.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: a=b\r\nCookie: {pair}\r\n\r\n"));
    assert_eq!(second.text(), "visit 2\n", "H3");
}

#[test]
fn middleware_wraps_the_application() {
    let server = Server::start("middleware");
    let asked = server.get("/");
    assert_eq!((asked.status, asked.field("Cache-Control")), (401, Some("no-store")));
    assert_eq!(asked.field("WWW-Authenticate"), Some("Basic realm=\"the back room\", charset=\"UTF-8\""));
    server.line(|line| line == "[1] log: GET \"/\": 401 Unauthorized, 17 bytes");
    let let_in = server.ask("GET /%0A HTTP/1.1\r\nHost: test\r\nAuthorization: Basic YWxpY2U6c2VzYW1l\r\n\r\n");
    assert_eq!((let_in.status, let_in.text()), (200, "Hello, alice!\n"));
    server.line(|line| line == "[2] log: GET \"/%0A\": 200 OK, 14 bytes");
}

#[test]
fn logsink_prints_a_record_of_pythons_http_handler() {
    let server = Server::start("logsink");
    let record = "name=MR_HANDLER.HTTP&msg=Received+arguments%3A+%5B%25s%5D+%5B%25s%5D&args=%28%27abc%27%2C+%27d%C3%A9f\
                  %27%29&levelname=ERROR&levelno=40&created=1413734400.25&exc_info=None&exc_text=None";
    let mut client = server.connect();
    // As Python's client does it: head and body in separate writes, and field names in its own case.
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\nContent-type: \
         application/x-www-form-urlencoded\r\nContent-length: {}\r\n\r\n",
        record.len()
    ));
    client.send(record);
    let response = client.response();
    assert_eq!((response.status, response.end), (204, End::Whole));
    let line = "2014-10-19 16:00:00                           MR_HANDLER.HTTP      ERROR  Received arguments: [%s] [%s]  \
                ('abc', 'déf')";
    server.line(|logged| logged == format!("[1] log: {line}"));

    assert_eq!(server.get(&format!("/?{record}")).status, 204);
    server.line(|logged| logged == format!("[2] log: {line}"));
}

#[test]
fn logsink_shows_what_it_understands_and_refuses_the_rest() {
    let server = Server::start("logsink");
    let post = |content_type: &str, body: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n");
        server.ask(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let json =
        r#"{"event": "started", "level": "info", "logger": "app", "port": 80, "exception": "Traceback\nKeyError"}"#;
    for (content_type, body, line) in [
        ("application/json", json, "app       info  started  port=80"),
        // As curl's `-d` declares it.
        ("application/x-www-form-urlencoded", json, "app       info  started  port=80"),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=msg\r\n\r\nm\r\n--x--", "  m"),
        ("text/plain", "text", "  text"),
    ] {
        assert_eq!(post(content_type, body).status, 204, "{content_type}");
        server.line(|logged| logged.contains("] log: ") && logged.ends_with(line));
    }
    server.line(|logged| logged == "[1] log: KeyError");
    for (content_type, body, status) in [
        ("application/xml", "<a/>", 415),
        ("text/plain; charset=\"UTF-16LE\"", "t\0", 415),
        ("application/json", "{\"msg\": ", 400),
        ("application/json", "{}", 400),
        ("application/x-www-form-urlencoded", "", 400),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=msg\r\n\r\nm", 400),
    ] {
        let response = post(content_type, body);
        assert_eq!(response.status, status, "{content_type}: {body}");
        assert!(response.text().ends_with('\n') && response.text().len() > 20, "{response:?}");
    }
}

#[test]
fn form_refuses_what_is_not_a_form() {
    let server = Shared::program("form");
    for (content_type, body, status) in [
        ("application/x-www-form-urlencoded; charset=UTF-8", "a=1", 200),
        ("multipart/form-data; boundary=\"x\"", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--", 200),
        ("application/json", "{\"a\": 1}", 415),
        ("application/x-www-form-urlencoded", "{\"a\": 1}", 400),
        ("multipart/form-data", "--x--", 400),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n");
        let response = server.ask(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(response.status, status, "{content_type}: {body}");
        assert!(status != 200 || response.text() == "{'a': ['1']}\n", "{response:?}");
    }
}

#[test]
fn upload_receives_more_than_a_form_may_have() {
    let server = Server::start("upload");
    let content = "\r\n--x".repeat(1 << 19);
    let head = "--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../a.txt\"\r\n\r\n";
    let body = format!("{head}{content}\r\n--xx--\r\n");
    let response = server.ask(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=xx\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!((response.status, response.text()), (201, "\"f\" is the file \"a.txt\" with 2621440 bytes\n"));
}

#[test]
fn webhook_accepts_only_what_is_signed() {
    let server = Launch::program("webhook").flags(["--env", "WEBHOOK_SECRET=It's a Secret to Everybody"]).start();
    let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for (signature, body, status) in [
        (signature, "Hello, World!", 204),
        (signature, "Hello, World?", 403),
        (&signature[2..], "Hello, World!", 403),
        ("", "Hello, World!", 403),
    ] {
        let response = server.ask(format!(
            "POST /github HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: 13\r\n\r\n{body}"
        ));
        assert_eq!(response.status, status, "{signature}: {body}");
    }
    server.line(|logged| logged == "[1] log: Hello, World!");
}

#[test]
fn ticks_are_events_for_an_event_source() {
    let server = Shared::program("ticks");
    let response = server.ask("GET /?n=2 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 1\r\n\r\n");
    assert_eq!(response.field("Content-Type"), Some("text/event-stream"));
    assert_eq!((response.text(), response.end), ("id: 2\ndata: tick 2\n\n", End::Whole));
}

#[test]
fn ticks_arrive_one_by_one() {
    let server = Server::start("ticks");
    let response = server.get("/?n=2");
    assert_eq!((response.text(), response.end), ("tick 1\ntick 2\n", End::Whole));

    // Half a minute of ticks: when the first one arrives, the response is far from complete.
    let mut client = server.connect();
    client.send("GET /?n=29 HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.head().expect("the head leaves with the first tick");
    assert_eq!(client.body(&head).next().as_deref(), Some(&b"tick 1\n"[..]));
    assert!(!server.log().iter().any(|line| line.contains("n=29")), "the response has ended");

    // K10: when the client disconnects, the next tick is the last.
    drop(client);
    server.line_with("\"GET /?n=29 HTTP/1.1\" 499 -");
}

#[test]
fn stuck_is_stopped_and_its_stack_is_logged() {
    let server = Launch::program("stuck").flags(["--timeout", "300ms"]).start();
    let stuck_here = |log: &[String]| log.iter().any(|line| line.starts_with("[1]   at stuck::stuck_here"));
    for exchange in 1..=2 {
        let response = server.get("/stuck");
        assert_eq!((response.status, response.end), (504, End::Whole));
        assert_eq!(response.text(), format!("504 Gateway Timeout: the handler took too long (exchange {exchange})\n"));
        let line = server.line(|line| line.starts_with(&format!("[{exchange}] 504 wall-limit: ")));
        assert!(line.contains("--timeout") && line.ends_with("(GET /stuck HTTP/1.1)"), "{line}");
    }
    let log = server.log_with(stuck_here);
    assert!(stuck_here(&log), "the example promises to show where it was stuck: {log:#?}");
}
