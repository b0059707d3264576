//! `curl` with all versions of HTTP that it shares with the server, and with many of its flags.

use std::fs;

use rustix::process::Signal;
use wasmserve_tests::{
    place::Place,
    real::{Ended, run, stdout_of, system},
    server::{Launch, Server},
};

use super::url;

/// The versions that both sides support: the flag, and the version as `curl` prints it.
const VERSIONS: [(&str, &str); 3] = [("--http1.0", "1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")];

/// A time limit in seconds, in case `curl` hangs.
const TIME: [&str; 2] = ["--max-time", "50"];

/// The output of `curl`, which must succeed and print nothing on stderr.
fn curl(words: &[&str]) -> String {
    fed("", words)
}

/// The same with this input.
fn fed(input: impl AsRef<[u8]>, words: &[&str]) -> String {
    stdout_of(system("curl").arg("-sS").args(TIME).args(words), input)
}

/// Runs `curl`, which may fail.
fn ended(words: &[&str]) -> Ended {
    run(system("curl").arg("-sS").args(TIME).args(words), "")
}

/// The status that `curl` gets.
fn status(words: &[&str]) -> String {
    curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], words].concat())
}

#[test]
fn curl_gets_hello_in_every_version() {
    let server = Server::start("hello");
    for (flag, version) in VERSIONS {
        let text = curl(&[flag, "-w", "%{http_version} %{http_code} %{size_download}", &url(&server)]);
        assert_eq!(text, format!("Hello, World!\n{version} 200 14"));
        let text = curl(&["-i", flag, &url(&server)]);
        assert!(text.starts_with(&format!("HTTP/{version}")) && text.ends_with("\r\n\r\nHello, World!\n"), "{text}");
    }
    // It asks for an upgrade, and goes on without one.
    assert_eq!(curl(&["--http2", "-w", "%{http_version}", &url(&server)]), "Hello, World!\n1.1");
    // It would accept a response without a head.
    assert_eq!(curl(&["--http0.9", "-w", "%{http_version}", &url(&server)]), "Hello, World!\n1.1");
}

#[test]
fn b9_curls_head_has_the_length_and_no_body() {
    let server = Server::start("hello");
    for (flag, _) in VERSIONS {
        let text = curl(&[flag, "-I", &url(&server)]).to_lowercase();
        assert!(text.contains("\r\ncontent-length: 14\r\n"), "{flag}: {text}");
        assert!(text.ends_with("\r\n\r\n"), "{flag}: {text}");
    }
}

#[test]
fn k1_k2_curl_reuses_its_connection_where_the_version_allows() {
    let server = Server::start("echo");
    let connects = |words: &[&str]| curl(&[words, &["-w", "%{num_connects} "], &[&*url(&server); 3]].concat());
    for words in [&[][..], &["-d", "body"], &["-d", "body", "-H", "Transfer-Encoding: chunked"], &["-I"]] {
        let words = [words, &["-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null"]].concat();
        assert_eq!(connects(&words), "1 0 0 ", "{words:?}");
    }
    assert_eq!(connects(&["--http1.0", "-d", "x"]), "x1 x1 x1 ");
    assert_eq!(connects(&["-d", "x", "-H", "Connection: close"]), "x1 x1 x1 ");
    // HTTP/1.0 reuses the connection if there is a length and the client asks for it.
    let server = Server::start("hello");
    let words = ["--http1.0", "-H", "Connection: keep-alive", "-w", "%{num_connects} "];
    let text = curl(&[&words[..], &[&*url(&server); 2]].concat());
    assert_eq!(text, "Hello, World!\n1 Hello, World!\n0 ");
}

#[test]
fn curl_uploads_a_file_with_its_length_and_in_chunks() {
    let place = Place::new();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = place.file("upload", &content);
    let (file, back) = (file.to_string_lossy().into_owned(), place.join("download"));
    let server = Server::start("echo");
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    // `curl` asks for `100 Continue` before so large a body.
    let eager = ["-H", "Expect:"];
    let both = [&chunked[..], &eager].concat();
    let old = ["--http1.0"];
    let new = ["--http2-prior-knowledge"];
    for flags in [&[][..], &chunked, &eager, &both, &old, &new] {
        let words = ["-T", &file, "-o", &back.to_string_lossy(), &url(&server)];
        curl(&[flags, &words].concat());
        assert!(fs::read(&back).expect("the file was written") == content, "{flags:?}");
    }
    for flags in [&[][..], &eager, &new] {
        let words = ["-T", "-", "-o", &back.to_string_lossy(), &url(&server)];
        fed(&content, &[flags, &words].concat());
        assert!(fs::read(&back).expect("the file was written") == content, "from a pipe, {flags:?}");
    }
}

#[test]
fn e4_i4_curls_chunks_have_no_length_and_arrive_completely() {
    let (environ, input) = (Server::start("environ"), Server::start("reads_input"));
    let chunked = ["-d", "abc=def", "-H", "Transfer-Encoding: chunked"];
    let text = curl(&[&chunked[..], &[&url(&environ)]].concat());
    assert!(text.contains("\nHTTP_TRANSFER_ENCODING = \"chunked\"\n") && !text.contains("CONTENT_LENGTH"), "{text}");
    assert_eq!(curl(&[&chunked[..], &[&url(&input)]].concat()), "7 octets, trailers []\n");
    assert_eq!(fed("abc=def", &["-T", "-", &url(&input)]), "7 octets, trailers []\n");
    assert_eq!(fed("", &["-T", "-", &url(&input)]), "0 octets, trailers []\n");
    assert_eq!(curl(&["-X", "POST", &url(&input)]), "0 octets, trailers []\n", "I3");

    let buffering = Launch::program("environ").flags(["--buffer-body", "1MiB"]).start();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let text = fed("abc=def", &["-T", "-", version, &url(&buffering)]);
        assert!(text.contains("CONTENT_LENGTH = \"7\"\n") && !text.contains("HTTP_TRANSFER_ENCODING"), "I8: {text}");
    }
}

#[test]
fn i9_curl_gets_100_continue_once_and_only_when_the_body_is_read() {
    let wait = ["-i", "-H", "Expect: 100-continue", "--expect100-timeout", "50", "-d", "hello"];
    let server = Server::start("reads_input");
    let text = curl(&[&wait[..], &[&url(&server)]].concat());
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("5 octets, trailers []\n"), "{text}");
    // A client need not wait for it.
    let text = curl(&["-i", "-H", "Expect:", "-d", "hello", &url(&server)]);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("5 octets, trailers []\n"), "{text}");

    let server = Server::start("ignores_input");
    let text = curl(&[&wait[..], &[&url(&server)]].concat());
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nignored"), "{text}");

    assert_eq!(status(&["-H", "Expect: the-unexpected", "-d", "hello", &url(&server)]), "417", "I10");
}

#[test]
fn i7_curl_gets_a_413_for_a_long_upload() {
    let server = Launch::program("reads_input").flags(["--max-body", "1KiB"]).start();
    let long = vec![b'x'; 300_000];
    for flags in [&[][..], &["-H", "Expect:"]] {
        let words = ["--data-binary", "@-", "-o", "/dev/null", "-w", "%{http_code}", &url(&server)];
        assert_eq!(fed(&long, &[flags, &words].concat()), "413", "{flags:?}");
        let words = ["-T", "-", "-o", "/dev/null", "-w", "%{http_code}", &url(&server)];
        assert_eq!(fed(&long, &[flags, &words].concat()), "413", "in chunks, {flags:?}");
    }
}

#[test]
fn k5_curl_reads_the_response_of_a_handler_that_ignores_its_upload() {
    let server = Server::start("ignores_input");
    let long = vec![b'x'; 3_000_000];
    for flags in [&[][..], &["-H", "Expect:"], &["--http1.0"]] {
        assert_eq!(fed(&long, &[flags, &["--data-binary", "@-", &url(&server)]].concat()), "ignored", "{flags:?}");
    }
}

#[test]
fn curl_notices_a_truncated_response() {
    const PARTIAL_FILE: i32 = 18;
    const HTTP2_STREAM: i32 = 92;
    let server = Server::start("traps_after_first_write");
    for path in ["", "length"] {
        for (version, code) in [("--http1.1", PARTIAL_FILE), ("--http2-prior-knowledge", HTTP2_STREAM)] {
            let ended = ended(&[version, &format!("{}{path}", url(&server))]);
            assert_eq!(ended.code, Some(code), "{version} {path}: {ended:?}");
            // In HTTP/2 it may drop received data when the stream is reset.
            assert!(ended.stdout == "first" || version != "--http1.1", "{path}: {ended:?}");
        }
    }
    // Without chunks, only a length shows the truncation.
    let ended = ended(&["--http1.0", &format!("{}length", url(&server))]);
    assert_eq!((&*ended.stdout, ended.code), ("first", Some(PARTIAL_FILE)));
}

#[test]
fn v1_curl_posts_a_form_and_cannot_brew() {
    let server = Server::start("verbs");
    for (version, _) in VERSIONS {
        assert_eq!(curl(&[version, "-X", "POST", "-d", "abc=def", &url(&server)]), "Test from POST!");
        assert_eq!(curl(&[version, &url(&server)]), "Test from GET!");
        assert_eq!(status(&[version, "-X", "BREW", &url(&server)]), "501");
    }
    assert_eq!(server.stop().iter().filter(|line| line.ends_with(" log: {'abc': ['def']}")).count(), 3);
}

#[test]
fn v1_curl_gets_the_reason_for_a_501() {
    let server = Server::start("verbs");
    let text = curl(&["-i", "-X", "BREW", &url(&server)]);
    assert!(text.starts_with("HTTP/1.1 501 Unsupported method ('BREW')\r\n"), "{text}");
    assert_eq!(status(&["-I", &url(&server)]), "501", "V3");
}

#[test]
fn t9_t10_curls_paths_are_decoded_but_not_normalized() {
    let server = Server::start("environ");
    let path_of = |path: &str| {
        let text = curl(&["--path-as-is", &format!("http://{}{path}", server.addr())]);
        text.lines()
            .find_map(|line| line.strip_prefix("PATH_INFO = "))
            .expect("E2: PATH_INFO is always present")
            .to_owned()
    };
    assert_eq!(path_of("/a/../b//c"), "\"/a/../b//c\"");
    assert_eq!(path_of("//a/./b;p=1"), "\"//a/./b;p=1\"");
    assert_eq!(path_of("/a%2Fb%20c%C3%A9%ff%zz"), "\"/a/b c\\xc3\\xa9\\xff%zz\"");
    assert_eq!(path_of("/\u{e9}"), "\"/\\xc3\\xa9\"", "T11");
    // Without the flag `curl` itself resolves the dots.
    let text = curl(&[&format!("http://{}/a/../b?x=1&y=%2F#z", server.addr())]);
    assert!(text.contains("\nPATH_INFO = \"/b\"\nQUERY_STRING = \"x=1&y=%2F\"\n"), "T3: {text}");
}

#[test]
fn t5_curl_gets_the_options_of_the_server() {
    let server = Server::start("dump");
    for version in ["--http1.0", "--http1.1"] {
        let text = curl(&[version, "-i", "-X", "OPTIONS", "--request-target", "*", &url(&server)]);
        assert!(text.starts_with(&format!("HTTP/{} 200 OK\r\n", &version[6..])), "{text}");
        assert!(text.contains("\r\nContent-Length: 0\r\n") && text.contains("\r\nAllow: "), "{text}");
        assert_eq!(status(&[version, "--request-target", "*", &url(&server)]), "400");
    }
    assert!(!server.stop().iter().any(|line| line.contains(" log: ")), "a handler was called");
}

#[test]
fn t4_t6_curl_may_use_the_server_as_a_proxy_but_not_as_a_tunnel() {
    let server = Server::start("environ");
    let text = curl(&["-x", &url(&server), "http://other.test:99/p?q=1"]);
    for line in [
        "PATH_INFO = \"/p\"",
        "QUERY_STRING = \"q=1\"",
        "HTTP_HOST = \"other.test:99\"",
        "REQUEST_URI = \"http://other.test:99/p?q=1\"",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    // The authority of the target overrides Host.
    let text = curl(&["-x", &url(&server), "-H", "Host: liar.test", "http://other.test:99/p?q=1"]);
    assert!(text.contains("\nHTTP_HOST = \"other.test:99\"\n"), "{text}");

    const NO_TUNNEL: i32 = 56;
    let ended = ended(&["-x", &url(&server), "-p", "http://other.test:99/"]);
    assert_eq!(ended.code, Some(NO_TUNNEL), "{ended:?}");
    assert!(ended.stderr.contains("501"), "{ended:?}");
}

#[test]
fn h4_curl_needs_a_host_except_in_http_1_0() {
    let server = Server::start("environ");
    assert_eq!(status(&["-H", "Host:", &url(&server)]), "400");
    assert_eq!(status(&["-H", "Host: a b/c", &url(&server)]), "400");
    let text = curl(&["--http1.0", "-H", "Host:", &url(&server)]);
    assert!(text.contains("\nSERVER_PROTOCOL = \"HTTP/1.0\"\n") && !text.contains("HTTP_HOST"), "{text}");
}

#[test]
fn h1_to_h10_curls_fields_become_variables() {
    let server = Server::start("environ");
    for (version, _) in VERSIONS {
        let fields = ["X-Mine: 1", "X-Mine: 2", "X_Mine: 3", "X-Empty;", "Proxy: evil", "TE: trailers"];
        let fields: Vec<&str> = fields.into_iter().flat_map(|field| ["-H", field]).collect();
        let words = [version, "-u", "user:password", "-b", "a=1; b=2", "-A", "caf\u{e9}", "-e", "http://from.test/"];
        let text = curl(&[&fields[..], &words, &[&url(&server)]].concat());
        for line in [
            "HTTP_X_MINE = \"1, 2\"",
            "HTTP_X_EMPTY = \"\"",
            "HTTP_TE = \"trailers\"",
            "HTTP_AUTHORIZATION = \"Basic dXNlcjpwYXNzd29yZA==\"",
            "HTTP_COOKIE = \"a=1; b=2\"",
            "HTTP_USER_AGENT = \"caf\\xc3\\xa9\"",
            "HTTP_REFERER = \"http://from.test/\"",
            "HTTP_ACCEPT = \"*/*\"",
        ] {
            assert!(text.lines().any(|other| other == line), "{version} {line}: {text}");
        }
        assert!(!text.contains("HTTP_PROXY") && !text.contains("REMOTE_USER"), "E8, H7: {text}");
    }
}

#[test]
fn t12_curl_gets_414_and_431_for_large_heads() {
    let server = Server::start("hello");
    let long = format!("{}{}", url(&server), "a".repeat(9000));
    assert_eq!(status(&[&long]), "414");
    let large = format!("X-Large: {}", "a".repeat(40_000));
    assert_eq!(status(&["-H", &large, &url(&server)]), "431");
}

#[test]
fn curl_gets_its_own_request_from_dump() {
    let server = Server::start("dump");
    let text = curl(&["-X", "POST", "-d", "abc=def", &url(&server)]);
    assert!(text.starts_with("POST / HTTP/1.1\r\nHost: 127.0.0.1:") && text.ends_with("\r\n\r\nabc=def"), "{text}");
    let text = curl(&["-F", "name=value", "-F", "file=@-;filename=empty.txt", &url(&server)]);
    assert!(text.contains("\r\nContent-Type: multipart/form-data; boundary=---"), "{text}");
    assert!(text.contains("; name=\"name\"\r\n\r\nvalue\r\n-") && text.contains("filename=\"empty.txt\""), "{text}");
    // The server ignores requests for compression and ranges.
    let text = curl(&["--compressed", "-r", "0-3", &url(&server)]);
    assert!(text.starts_with("GET / HTTP/1.1\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn k10_curl_that_hangs_up_is_logged_as_499() {
    const TOO_LARGE: i32 = 23;
    let server = Server::start("misbehaves");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        // Writes to /dev/full fail, so it exits at the first bytes.
        let ended = ended(&[version, "-o", "/dev/full", &format!("{}streams", url(&server))]);
        assert_eq!(ended.code, Some(TOO_LARGE), "{ended:?}");
    }
    server.line(|line| line.ends_with("\"GET /streams HTTP/1.1\" 499 -"));
    server.line(|line| line.ends_with("\"GET /streams HTTP/2\" 499 -"));
}

#[test]
fn curls_parallel_requests_are_all_answered() {
    let server = Server::start("hello");
    // Before version 8 it cannot reuse an HTTP/2 connection; `h2load` and `httpx` can.
    for version in ["--http1.0", "--http1.1"] {
        let urls = format!("{}[1-100]", url(&server));
        // It prints a progress line on stderr that no flag turns off.
        let ended = ended(&[version, "--parallel", "--parallel-max", "20", "-w", "%{http_code} ", &urls]);
        assert_eq!(ended.code, Some(0), "{version}: {ended:?}");
        let counts = ["Hello, World!\n", "200 "].map(|text| ended.stdout.matches(text).count());
        assert_eq!(counts, [100, 100], "{version}: {ended:?}");
    }
}

#[test]
fn dump_answers_a_waiting_curl() {
    let place = Place::new();
    let printed = place.join("printed");
    let launch = Launch::bare().flags(["dump", "--reply", "--addr", "127.0.0.1:0"]);
    let server = launch.into_file(&printed).start();
    // The body that curl holds back arrives too. The second one is larger than what curl sends without waiting.
    let body = "x".repeat(2_000_000);
    for body in ["abc=def", &body] {
        let print = ["-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--data-binary", "@-", &url(&server)];
        assert_eq!(fed(body, &print), format!("200 {}", body.len()));
    }
    server.lines(2, |line| line.contains("closed by the client"));
    server.signal(Signal::INT);
    assert_eq!(server.wait().0, Some(0));
    let stdout = fs::read_to_string(printed).expect("ASCII");
    let of = |id: u64| stdout.lines().filter_map(|line| line.strip_prefix(&format!("[{id}] "))).collect::<String>();
    assert!(of(1).ends_with("\\r\\n\\r\\nabc=def"), "{stdout}");
    assert!(of(2).ends_with(&format!("\\r\\n\\r\\n{body}")));
}

#[test]
fn i13_a_body_larger_than_any_window_passes_in_both_directions() {
    let place = Place::new();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (file, back) = (place.file("upload", &content), place.join("download"));
    let server = Server::start("echo");
    let output = curl(&[
        "--http2-prior-knowledge",
        "-w",
        "%{http_version} %{http_code}",
        "-T",
        &file.to_string_lossy(),
        "-o",
        &back.to_string_lossy(),
        &url(&server),
    ]);
    assert_eq!(output, "2 200");
    assert!(fs::read(&back).expect("the file was written") == content);
}

#[test]
fn curl_posts_over_http2() {
    let server = Server::start("echo");
    let text = curl(&["--http2-prior-knowledge", "-w", " %{http_version}", "-d", "abc=def", &url(&server)]);
    assert_eq!(text, "abc=def 2");
}

#[test]
fn five_hundred_curls_in_the_background_are_all_answered() {
    let server = Launch::program("hello").flags(["--requests", "500"]).start();
    // As the author of the original server tested it.
    let script = format!("for i in $(seq 500); do curl -sS http://{}/ & done; wait", server.addr());
    let text = stdout_of(system("sh").args(["-c", &script]), "");
    assert_eq!(text, "Hello, World!\n".repeat(500));
    let (code, log) = server.wait();
    let exchanges = log.iter().filter(|line| line.contains(" HTTP/1.1\" ")).count();
    assert_eq!((code, exchanges), (Some(0), 500));
}

#[test]
fn lint_reports_nothing_for_curl() {
    let server = Launch::program("echo").flags(["--lint"]).start();
    let target = url(&server) + "a%20b?c=d";
    let words: [&[&str]; 8] = [
        &[],
        &["-I"],
        &["--http1.0"],
        &["--http2-prior-knowledge"],
        &["-d", "abc=def"],
        &["-F", "abc=def"],
        &["-X", "DELETE"],
        &["-u", "me:secret", "-e", "http://x/", "--compressed", "-b", "a=1; b=2", "-r", "0-9"],
    ];
    for words in words {
        _ = curl(&[words, &["-o", "/dev/null", &target]].concat());
    }
    let log = server.stop();
    let lint: Vec<_> = log.iter().filter(|line| line.contains("lint: ")).collect();
    assert!(lint.is_empty(), "{lint:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("\" 200 -")).count(), words.len(), "{log:#?}");
}
