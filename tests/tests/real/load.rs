//! Load generators, which get responses to all of their requests.

use wasmserve_tests::{
    place::Place,
    real::{run, stdout_of, system},
    server::{Launch, Server},
};

use super::url;

/// The first number in the line of a report that starts with `line`.
fn number(report: &str, line: &str) -> u64 {
    let line = report.lines().find(|it| it.trim_start().starts_with(line));
    let line = line.unwrap_or_else(|| panic!("{report}"));
    let mut words = line.split_whitespace().filter_map(|word| word.parse().ok());
    words.next().unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn k2_ab_has_no_failures_with_and_without_keep_alive() {
    let server = Server::start("hello");
    for (flags, kept) in [(&[][..], 0), (&["-k"], 500)] {
        let report = stdout_of(system("ab").args(["-q", "-n500", "-c10"]).args(flags).arg(url(&server)), "");
        assert_eq!(number(&report, "Complete requests:"), 500, "{report}");
        assert_eq!(number(&report, "Failed requests:"), 0, "{report}");
        assert!(!report.contains("Non-2xx") && !report.contains("Write errors"), "{report}");
        let reused = if kept > 0 { number(&report, "Keep-Alive requests:") } else { 0 };
        assert_eq!(reused, kept, "{report}");
    }
    assert_eq!(server.stop().iter().filter(|line| line.ends_with("\"GET / HTTP/1.0\" 200 -")).count(), 1000);
}

#[test]
fn ab_has_no_failures_when_it_uploads() {
    let place = Place::new();
    let body = place.file("body", vec![b'x'; 100_000]);
    for guest in ["echo", "ignores_input"] {
        let server = Server::start(guest);
        for flags in [&[][..], &["-k"]] {
            let command = &mut system("ab");
            let command = command.args(["-q", "-n200", "-c4", "-p"]).arg(&body).args(flags).arg(url(&server));
            let report = stdout_of(command, "");
            assert_eq!(number(&report, "Complete requests:"), 200, "{guest} {flags:?}: {report}");
            assert_eq!(number(&report, "Failed requests:"), 0, "{guest} {flags:?}: {report}");
            assert!(!report.contains("Non-2xx"), "{guest} {flags:?}: {report}");
        }
    }
}

#[test]
fn wrk_has_no_failures() {
    let server = Server::start("hello");
    let report = stdout_of(system("wrk").args(["-t2", "-c20", "-d1s"]).arg(url(&server)), "");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    let requests = report.lines().find(|line| line.contains(" requests in ")).unwrap_or_else(|| panic!("{report}"));
    assert!(!requests.trim_start().starts_with("0 "), "{report}");
    // It disconnects during its last requests.
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("\" 5") || line.contains("host-bug")));
}

/// Runs `h2load` with these flags, and checks its report.
fn h2load(server: &Server, flags: &[&str]) {
    let report = stdout_of(system("h2load").args(["-n1000", "-c4"]).args(flags).arg(url(server)), "");
    let done = "1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(report.contains(done), "{flags:?}: {report}");
    assert!(report.contains("status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{flags:?}: {report}");
}

#[test]
fn h2load_has_no_failures_in_either_version() {
    let server = Server::start("hello");
    for flags in [&["-m1"][..], &["-m50"], &["-m100", "-w10", "-W10"], &["--h1"], &["--h1", "-m5"]] {
        h2load(&server, flags);
    }
    // Each run used four connections for a thousand requests.
    assert_eq!(server.stop().iter().filter(|line| line.ends_with("\" 200 -")).count(), 5000);
}

#[test]
fn h2load_has_no_failures_when_it_uploads() {
    let place = Place::new();
    let body = place.file("body", vec![b'x'; 20_000]).to_string_lossy().into_owned();
    let server = Server::start("echo");
    for flags in [&["-m10"][..], &["--h1"]] {
        h2load(&server, &[flags, &["-d", &body]].concat());
    }
}

/// The frames as `nghttp` prints them.
fn nghttp(words: &[&str]) -> String {
    stdout_of(system("nghttp").arg("-v").args(words), "")
}

#[test]
fn nghttp_gets_many_streams_on_one_connection() {
    let server = Server::start("hello");
    let url = url(&server);
    let report = stdout_of(system("nghttp").args(["-ns", "-m20", &url]), "");
    assert_eq!(report.lines().filter(|line| line.ends_with(" 200   14 /")).count(), 20, "{report}");
    let frames = nghttp(&["-n", "-m20", &url]);
    assert_eq!(frames.matches(":status: 200").count(), 20, "{frames}");
    assert!(!frames.contains("recv RST_STREAM") && !frames.contains("recv GOAWAY"), "{frames}");
}

#[test]
fn nghttp_reads_a_response_that_comes_before_its_upload_ends() {
    let place = Place::new();
    let body = place.file("body", vec![b'x'; 1_000_000]).to_string_lossy().into_owned();
    let refusing = Launch::program("echo").flags(["--max-body", "1KiB"]).start();
    for (server, status) in [(refusing, 413), (Server::start("ignores_input"), 200)] {
        let frames = nghttp(&["-n", "-d", &body, &url(&server)]);
        assert!(frames.contains(&format!(":status: {status}")), "{frames}");
        assert!(frames.contains("END_STREAM"), "{frames}");
        // The stream is reset without an error, as RFC 9113 section 8.1 asks for.
        let (_, reset) = frames.split_once("recv RST_STREAM").unwrap_or_else(|| panic!("{frames}"));
        assert!(reset.contains("(error_code=NO_ERROR(0x00))"), "{frames}");
    }
}

#[test]
fn x3_nghttp_gets_the_beginning_of_a_truncated_response() {
    let server = Server::start("traps_after_first_write");
    for path in ["", "length"] {
        // One task sends the beginning, and another one learns of the trap.
        for _ in 0..20 {
            let frames = run(system("nghttp").args(["-v", &format!("{}{path}", url(&server))]), "").stdout;
            let (_, response) = frames.split_once(":status: 200").unwrap_or_else(|| panic!("{frames}"));
            let (before, reset) = response.split_once("recv RST_STREAM").unwrap_or_else(|| panic!("{frames}"));
            assert!(before.contains("\nfirst") && !before.contains("END_STREAM"), "{path}: {frames}");
            assert!(reset.contains("(error_code=INTERNAL_ERROR(0x02))"), "{path}: {frames}");
        }
    }
}
