//! The lifecycle of a server: when it stops by itself, what it runs, and what it gets from its parent.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use rustix::process::Signal;
use wasmserve_tests::{
    client::{Client, Close, End},
    http2::{self, Http2},
    place::Place,
    server::{Launch, Server, refuses},
};

use super::process::{idle as kept, running};

/// A command-line client.
const ASK: &str = env!("CARGO_BIN_EXE_ask");

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn start(program: &str, flags: &[&str]) -> Server {
    Launch::program(program).flags(flags).start()
}

/// Finishes the exchange of [`running`].
fn finish(mut client: Client) {
    client.send("hello");
    let (bytes, close) = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.ends_with("5 octets, trailers []\n\r\n0\r\n\r\n"), "a whole answer: {text:?}");
    assert_eq!(close, Close::Orderly);
}

/// Waits until a server ends by itself, and returns its exit code and its log. Also waits for other processes that
/// hold its stderr.
fn ended(server: Server) -> (Option<i32>, Vec<String>) {
    server.wait()
}

/// The lines of the access log.
fn exchanges(log: &[String]) -> Vec<&String> {
    log.iter().filter(|line| line.contains(" HTTP/1.1\" ") || line.contains(" HTTP/2\" ")).collect()
}

#[test]
fn once_reports_the_end_of_its_exchange_as_exit_code() {
    for (program, request, status, code) in [
        ("hello", GET, 200, 0),
        ("traps", GET, 500, 10),
        ("returns_an_error", GET, 500, 10),
        ("hello", "GET / HTTP/1.1\r\n\r\n", 400, 12),
        ("hello", "nonsense\r\n\r\n", 400, 12),
    ] {
        let server = start(program, &["--once"]);
        let response = server.ask(request);
        assert_eq!((response.status, response.end), (status, End::Whole), "{program}: {request}");
        assert_eq!(response.field("Connection"), Some("close"), "{program}: {request}");
        let (ended, log) = ended(server);
        assert_eq!(ended, Some(code), "{program}: {request}: {log:#?}");
    }
}

#[test]
fn once_reports_a_disconnect_and_a_truncated_body() {
    let server = start("downloads", &["--once"]);
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.head().expect("a response head").status, 200);
    drop(client);
    assert_eq!(ended(server).0, Some(11));

    let server = start("traps_after_first_write", &["--once"]);
    let response = server.ask(GET);
    assert_eq!((response.status, response.end), (200, End::Cut));
    assert_eq!(ended(server).0, Some(10));
}

#[test]
fn once_serves_one_exchange_despite_other_connections() {
    let server = start("reads_input", &["--once"]);
    // A silent client is not an exchange.
    let mut silent = server.connect();
    let mut client = running(&server);
    assert_eq!(silent.rest(), (Vec::new(), Close::Orderly), "a silent client is closed");
    assert!(TcpStream::connect(server.addr()).is_err(), "no new connection is accepted");
    // Data after the request is ignored.
    client.send(format!("hello{GET}"));
    let (bytes, _) = client.rest();
    assert!(bytes.ends_with(b"5 octets, trailers []\n\r\n0\r\n\r\n"), "{}", bytes.escape_ascii());
    drop((silent, client));
    let (code, log) = ended(server);
    assert_eq!((code, exchanges(&log).len()), (Some(0), 1), "{log:#?}");
}

#[test]
fn once_answers_the_first_of_many_requests_on_one_connection() {
    let server = start("hello", &["--once"]);
    let mut client = server.connect();
    client.send(GET.repeat(5));
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    drop(client);
    let (code, log) = ended(server);
    assert_eq!((code, exchanges(&log).len()), (Some(0), 1), "{log:#?}");

    // In HTTP/2 the others may have begun by then. Those get a 503.
    let server = start("hello", &["--once"]);
    let mut client = Http2::connect(server.addr());
    let streams: Vec<u32> = (0..5).map(|_| client.stream()).collect();
    let fields = http2::fields("GET", "/");
    client.send(streams.iter().flat_map(|id| http2::headers(*id, &fields, http2::END_STREAM)).collect::<Vec<_>>());
    let first = client.response(streams[0]);
    assert_eq!((first.head.status, first.text()), (200, "Hello, World!\n"));
    for stream in &streams[1..] {
        assert!(client.head(*stream).is_none_or(|head| head.status == 503), "stream {stream}");
    }
    drop(client);
    let (code, log) = ended(server);
    assert_eq!(code, Some(0), "{log:#?}");
    assert_eq!(exchanges(&log).iter().filter(|line| line.ends_with("\" 200 -")).count(), 1, "{log:#?}");
}

#[test]
fn once_gives_its_exchange_the_usual_time() {
    let server = start("drips", &["--once", "--drain", "1ms"]);
    let response = server.get("/?n=3&ms=200");
    assert_eq!((response.end, response.text().lines().count()), (End::Whole, 3));
    assert_eq!(ended(server).0, Some(0));
}

#[test]
fn f34_once_can_be_stopped_like_any_server() {
    let server = start("hello", &["--once"]);
    server.signal(Signal::TERM);
    assert_eq!(ended(server).0, Some(13), "no request came");

    // Ctrl-C in the middle of the exchange lets it end.
    let server = start("reads_input", &["--once", "--drain", "1h"]);
    let client = running(&server);
    server.signal(Signal::INT);
    server.line_with("1 handler is running");
    finish(client);
    assert_eq!(ended(server).0, Some(0));

    // A second signal does not.
    let server = start("reads_input", &["--once", "--drain", "1h"]);
    let client = running(&server);
    server.signal(Signal::INT);
    server.line_with("1 handler is running");
    server.signal(Signal::INT);
    assert_eq!(ended(server).0, Some(130));
    drop(client);

    let server = start("reads_input", &["--once", "--ttl", "3s", "--drain", "1ms"]);
    let client = running(&server);
    assert_eq!(ended(server).0, Some(13), "the exchange was cut");
    drop(client);
}

#[test]
fn requests_counts_exchanges_and_not_connections() {
    let server = start("misbehaves", &["--requests", "4"]);
    let mut client = server.connect();
    for last in [false, false, true] {
        client.send(GET);
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (200, None));
        if last {
            server.connect().send("GET /traps HTTP/1.1\r\nHost: x\r\n\r\n");
        }
    }
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    let (code, log) = ended(server);
    assert_eq!((code, exchanges(&log).len()), (Some(10), 4), "one of them failed: {log:#?}");
}

#[test]
fn ttl_ends_idle_and_busy_servers() {
    let (idle, busy) = (start("hello", &["--ttl", "3s"]), start("reads_input", &["--ttl", "3s", "--drain", "1ms"]));
    let kept = idle.connect();
    let client = running(&busy);
    for server in [idle, busy] {
        let (code, log) = ended(server);
        assert_eq!(code, Some(0));
        assert!(log.iter().any(|line| line.contains("--ttl")), "{log:#?}");
    }
    drop((kept, client));
}

#[test]
fn idle_exit_needs_no_request_and_ignores_idle_connections() {
    let never = start("hello", &["--idle-exit", "300ms", "--keep-alive", "1h", "--head-timeout", "1h"]);
    let (code, log) = ended(never);
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.last().is_some_and(|line| line.contains("--idle-exit")), "{log:#?}");

    // Clients that connect before the server starts cannot be late.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("the socket is bound");
    let mut kept = Client::connect(addr);
    kept.send(GET);
    let silent = Client::connect(addr);
    let flags = ["--idle-exit", "300ms", "--keep-alive", "1h", "--head-timeout", "1h"];
    let server = Launch::program("hello").flags(flags).passing(listener, "").start();
    assert_eq!(kept.response().status, 200);
    let (code, log) = ended(server);
    assert_eq!((code, exchanges(&log).len()), (Some(0), 1), "{log:#?}");
    drop((kept, silent));
}

#[test]
fn idle_exit_waits_for_running_exchanges() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(listener.local_addr().expect("the socket is bound"));
    client.send("GET /?n=2&ms=400 HTTP/1.1\r\nHost: x\r\n\r\n");
    // Otherwise the response would be truncated.
    let flags = ["--idle-exit", "200ms", "--drain", "1ms"];
    let server = Launch::program("drips").flags(flags).passing(listener, "").start();
    let response = client.response();
    assert_eq!((response.end, response.text().lines().count()), (End::Whole, 2));
    assert_eq!(ended(server).0, Some(0));
}

/// A server that runs this command in the shell.
fn exec(command: &str) -> Launch {
    Launch::program("hello").flags(["--exec", command])
}

#[test]
fn exec_runs_a_command_with_the_servers_url_and_returns_its_exit_code() {
    let place = Place::new();
    let answer = place.join("answer");
    let (code, log) = ended(exec(&format!("{ASK} $WASMSERVE_URL/ > {}", answer.display())).start());
    assert_eq!((code, exchanges(&log).len()), (Some(0), 1), "{log:#?}");
    assert_eq!(fs::read_to_string(answer).expect("the file was written"), "Hello, World!\n");

    for (command, code) in [("exit 7", 7), ("kill -9 $$", 137), ("no-such-command-at-all", 127), ("true", 0)] {
        assert_eq!(ended(exec(command).start()).0, Some(code), "{command}");
    }
    // A client cannot connect to an unspecified address.
    let url = place.join("url");
    let everywhere = ["--addr", "0.0.0.0:0", "--exec", &format!("echo $WASMSERVE_URL > {}", url.display())];
    let hello = wasmserve_tests::guest::program("hello");
    assert_eq!(ended(Launch::bare().flags([hello]).flags(everywhere).start()).0, Some(0));
    let url = fs::read_to_string(url).expect("the file was written");
    assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0\n"), "{url}");
}

#[test]
fn exec_lets_running_exchanges_finish() {
    let place = Place::new();
    let done = place.join("done");
    let command = format!("while ! [ -e {} ]; do sleep 0.01; done", done.display());
    let server = Launch::program("reads_input").flags(["--exec", &command]).start();
    let client = running(&server);
    let mut idle = server.connect();
    // Otherwise the system may not have given the connection to the server yet.
    idle.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    fs::write(done, "").expect("the test directory is writable");
    assert_eq!(idle.rest(), (Vec::new(), Close::Orderly), "the server stops");
    finish(client);
    assert_eq!(ended(server).0, Some(0));
}

#[test]
fn exec_works_with_other_flags() {
    let place = Place::new();
    let (port, answer) = (place.join("port"), place.join("answer"));
    let command = format!("{ASK} http://127.0.0.1:$(cat {})/ > {}; exit 3", port.display(), answer.display());
    let flags = ["--port-file", &*port.to_string_lossy(), "--once", "--access-log-format", "none"].map(String::from);
    let (code, _) = ended(exec(&command).flags(flags).start());
    // The command is not killed once it has its response.
    assert_eq!(code, Some(3));
    assert_eq!(fs::read_to_string(answer).expect("the file was written"), "Hello, World!\n");
    assert!(!port.exists());
}

/// Starts a server with a command that does not end by itself, and waits until the command runs.
fn endless(launch: Launch) -> Server {
    let server = launch.start();
    server.line(|line| line == "ready");
    server
}

#[test]
fn exec_ends_when_the_server_is_stopped() {
    // A shell and its child.
    let server = endless(exec("echo ready >&2; sleep 1000; true"));
    server.signal(Signal::TERM);
    assert_eq!(ended(server).0, Some(143), "no process still holds its stderr");

    // A command that prints something before it ends.
    let server = endless(exec("trap 'echo bye >&2; exit 5' TERM; echo ready >&2; while :; do sleep 0.01; done"));
    server.signal(Signal::TERM);
    let (code, log) = ended(server);
    assert_eq!(code, Some(5));
    assert!(log.iter().any(|line| line == "bye"), "{log:#?}");

    // A command that starts another process when it is to end, and leaves it behind.
    let server = endless(exec("trap 'sleep 1000 & exit 5' TERM; echo ready >&2; while :; do sleep 0.01; done"));
    server.signal(Signal::TERM);
    assert_eq!(ended(server).0, Some(5), "the other process still holds its stderr");

    // Ctrl-C reaches both. The command is one process, because dash can lose a signal while it starts another one.
    let server = endless(exec("echo ready >&2; exec sleep 1000").as_a_group());
    server.signal_group(Signal::INT);
    assert_eq!(ended(server).0, Some(130));

    for flags in [["--ttl", "300ms"], ["--idle-exit", "300ms"]] {
        let server = exec("sleep 1000; true").flags(flags).start();
        assert_eq!(ended(server).0, Some(143), "{flags:?}");
    }
}

#[test]
fn exec_kills_a_command_that_ignores_signals() {
    let stubborn = "trap '' INT TERM; echo ready >&2; sleep 1000; sleep 1000";
    let server = endless(exec(stubborn).flags(["--drain", "10ms"]));
    server.signal(Signal::INT);
    assert_eq!(ended(server).0, Some(137));

    let server = endless(exec(stubborn).flags(["--drain", "1h"]));
    let mut idle = server.connect();
    // A response shows that the connection has been accepted.
    idle.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    server.signal(Signal::TERM);
    assert_eq!(idle.rest(), (Vec::new(), Close::Orderly));
    drop(idle);
    server.signal(Signal::TERM);
    assert_eq!(ended(server).0, Some(130), "a second signal stops it at once");
}

#[test]
fn open_starts_the_browser_and_reports_a_failure() {
    let place = Place::new();
    let browser = place.file("browser", format!("#!/bin/sh\nexec {ASK} \"$1/from-the-browser\"\n"));
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).expect("we own the file");
    let server = Launch::program("hello").flags(["--open", "--once"]).env("BROWSER", &browser).start();
    let (code, log) = ended(server);
    assert_eq!(code, Some(0));
    assert!(log.iter().any(|line| line.contains("\"GET /from-the-browser HTTP/1.1\" 200")), "{log:#?}");

    // Words, the place of the URL, and a list whose first command does not exist.
    let command = format!("/nowhere-at-all:'{}' %s/more", browser.display());
    let server = Launch::program("hello").flags(["--open", "--once"]).env("BROWSER", command).start();
    let (code, log) = ended(server);
    assert_eq!(code, Some(0));
    assert!(log.iter().any(|line| line.contains("\"GET /more/from-the-browser HTTP/1.1\" 200")), "{log:#?}");

    for browser in ["/nowhere-at-all", "/bin/false", "/nowhere-at-all --new-window", "'without an end"] {
        let server = Launch::program("hello").flags(["--open"]).env("BROWSER", browser).start();
        let note = server.line_with("cannot open a browser");
        assert!(note.contains(&format!("http://{}", server.addr())), "{note}");
        assert_eq!(server.get("/").status, 200);
        server.stop();
    }
}

fn port_file(program: &str, file: &Path) -> Launch {
    Launch::program(program).flags(["--port-file".as_ref(), file.as_os_str()])
}

#[test]
fn port_file_contains_the_port_while_the_server_runs() {
    let place = Place::new();
    // As a killed server leaves it.
    let file = place.file("port", "65535\n");
    let server = port_file("hello", &file).start();
    assert_eq!(fs::read_to_string(&file).expect("the file is readable"), format!("{}\n", server.addr().port()));
    assert_eq!(place.files(), [&*file], "no other file");
    server.stop();
    assert!(!file.exists());

    let server = port_file("reads_input", &file).flags(["--drain", "1h"]).start();
    let client = running(&server);
    server.signal(Signal::INT);
    server.line_with("1 handler is running");
    assert!(file.exists(), "the server has not ended yet");
    server.signal(Signal::INT);
    assert_eq!(ended(server).0, Some(130));
    assert!(!file.exists());
    drop(client);
}

#[test]
fn k12_a_signal_that_would_end_the_process_stops_the_server_in_order() {
    for signal in [Signal::HUP, Signal::ALARM, Signal::USR2, Signal::XCPU] {
        let place = Place::new();
        let file = place.join("port");
        let command = "echo ready >&2; sleep 1000; true";
        let server = port_file("reads_input", &file).flags(["--drain", "1h", "--exec", command]).start();
        server.line(|line| line == "ready");
        let client = running(&server);
        let mut idle = kept(&server);
        server.signal(signal);
        assert_eq!(idle.rest(), (Vec::new(), Close::Orderly), "{signal:?}: the server stops");
        assert!(file.exists(), "{signal:?}: it has not ended yet");
        finish(client);
        let (code, log) = ended(server);
        assert_eq!(code, Some(143), "{signal:?}: the command was terminated, with its children: {log:#?}");
        assert!(log.iter().any(|line| line.contains("\"POST /eager HTTP/1.1\" 200 -")), "{signal:?}: {log:#?}");
        assert!(!file.exists(), "{signal:?}");
    }
}

#[test]
fn a_terminal_that_closes_twice_does_not_cut_exchanges() {
    // The shell and the system both send SIGHUP, and systemd sends it after SIGTERM.
    for first in [Signal::HUP, Signal::TERM] {
        let server = start("reads_input", &["--drain", "1h"]);
        let client = running(&server);
        let mut idle = kept(&server);
        server.signal(first);
        assert_eq!(idle.rest(), (Vec::new(), Close::Orderly));
        server.signal(Signal::HUP);
        // In order: the report shows that the signal before it was received.
        server.ask_by(Signal::USR1, |log| log.iter().any(|line| line == "1 handler is running:"));
        finish(client);
        assert_eq!(ended(server).0, Some(0));
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    for (name, signal) in [("HUP", Signal::HUP), ("TERM", Signal::TERM)] {
        let server = Launch::program("hello").ignoring(name).start();
        server.signal(signal);
        server.ask_by(Signal::USR1, |log| log.iter().any(|line| line == "no handler is running"));
        assert_eq!(server.get("/").status, 200, "{name}");
        server.signal(if signal == Signal::TERM { Signal::INT } else { Signal::TERM });
        assert_eq!(ended(server).0, Some(0), "{name}");
    }
}

#[test]
fn a_background_job_of_a_script_can_be_stopped_with_sigint() {
    let server = Launch::program("hello").ignoring("INT").start();
    server.signal(Signal::INT);
    assert_eq!(ended(server).0, Some(0));
}

#[test]
fn a_report_can_be_asked_for_where_sigquit_was_ignored() {
    let server = Launch::program("hello").ignoring("QUIT").start();
    server.signal(Signal::QUIT);
    server.line_with("no handler is running");
    server.stop();
}

#[test]
fn a_closed_stderr_does_not_delay_the_end() {
    let place = Place::new();
    let file = place.join("port");
    let server = port_file("reads_input", &file).flags(["--drain", "1h"]).start_deaf();
    let client = running(&server);
    server.signal(Signal::HUP);
    finish(client);
    assert_eq!(server.wait_unread(), Some(0));
    assert!(!file.exists());
}

#[test]
fn idle_exit_counts_from_the_moment_at_which_a_suspended_server_continues() {
    let server = start("hello", &["--idle-exit", "2s"]);
    server.signal(Signal::STOP);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let mut client = server.connect();
    client.send(GET);
    server.signal(Signal::CONT);
    assert_eq!(client.response().status, 200, "the client came while the server was suspended");
    assert_eq!(ended(server).0, Some(0));
}

#[test]
fn a_stopping_server_reports_what_it_waits_for_and_how_it_went() {
    let server = start("reads_input", &[]);
    let clients = [running(&server), running(&server)];
    server.signal(Signal::INT);
    server.line(|line| line == "wasmserve: waiting up to 10s for 2 exchanges; Ctrl-C again stops now");
    clients.into_iter().for_each(finish);
    let (code, log) = ended(server);
    assert_eq!(code, Some(0));
    assert_eq!(log.last().map(String::as_str), Some("wasmserve: stopped: 2 exchanges finished"), "{log:#?}");
    let at = |part: &str| log.iter().position(|line| line.contains(part));
    assert!(at("2 handlers are running:") < at("waiting up to"), "the list comes first: {log:#?}");

    // Without a terminal, nothing but SIGINT is a Ctrl-C.
    let server = start("reads_input", &[]);
    let client = running(&server);
    server.signal(Signal::TERM);
    server.line(|line| line == "wasmserve: waiting up to 10s for 1 exchange");
    finish(client);
    assert_eq!(ended(server).1.last().map(String::as_str), Some("wasmserve: stopped: 1 exchange finished"));

    let server = start("reads_input", &["--drain", "50ms", "--ttl", "3s"]);
    let client = running(&server);
    let log = ended(server).1;
    assert!(log.iter().any(|line| line == "wasmserve: stopped: 1 exchange cut"), "{log:#?}");
    drop(client);

    // Nothing to wait for, nothing to report.
    let server = start("hello", &[]);
    server.signal(Signal::INT);
    let log = ended(server).1;
    assert_eq!(log.last().map(String::as_str), Some("no handler is running"), "{log:#?}");
}

#[test]
fn a_signal_during_the_first_build_ends_cargo_as_well() {
    for (command, signal, code) in [("", Signal::HUP, 129), ("", Signal::TERM, 143), ("build", Signal::INT, 130)] {
        let place = Place::new();
        place.file("Cargo.toml", "[package]\nname = \"slow\"\nedition = \"2024\"\n[workspace]\n");
        place.file("build.rs", SLOW_BUILD);
        fs::create_dir(place.join("src")).expect("the test directory is writable");
        place.file("src/main.rs", "fn main() {}\n");
        let port = place.join("port");
        let launch = Launch::bare().flags(command.split_terminator(' ')).flags([&*place]);
        let serves = command.is_empty().then(|| ["--addr", "127.0.0.1:0", "--port-file"].map(Into::into));
        let serves = serves.map(|flags| [&flags[..], &[port.clone().into_os_string()]].concat());
        let server = launch.flags(serves.unwrap_or_default()).env("STARTED", place.join("started")).spawn();
        while !place.join("started").exists() {
            std::thread::yield_now();
        }
        server.signal(signal);
        let (ended, log) = ended(server);
        assert_eq!(ended, Some(code), "no process still holds its stderr: {log:#?}");
        assert!(!log.concat().contains("does not build"), "{log:#?}");
        let id = fs::read_to_string(place.join("started")).expect("the file was written");
        // It was killed, but the system may take a moment, and whatever inherited it from cargo may collect it late.
        let runs =
            || fs::read_to_string(Path::new("/proc").join(&id).join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            std::thread::yield_now();
        }
        assert!(!port.exists());
    }
}

/// A build script that does not end by itself.
const SLOW_BUILD: &str = "fn main() {
    let path = std::env::var_os(\"STARTED\").unwrap();
    let part = std::path::Path::new(&path).with_extension(\"part\");
    std::fs::write(&part, std::process::id().to_string()).unwrap();
    std::fs::rename(part, path).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1000));
}
";

#[test]
fn port_file_is_left_to_a_successor_on_the_same_port() {
    let place = Place::new();
    let file = place.join("port");
    let first = port_file("reads_input", &file).flags(["--drain", "1h"]).start();
    let addr = first.addr().to_string();
    let client = running(&first);
    let mut idle = kept(&first);
    first.signal(Signal::TERM);
    assert_eq!(idle.rest(), (Vec::new(), Close::Orderly), "the port is free");
    drop(idle);
    let flags = ["--addr".as_ref(), addr.as_ref(), "--port-file".as_ref(), file.as_os_str()];
    let second = Launch::bare().flags([wasmserve_tests::guest::program("hello")]).flags(flags).start();
    finish(client);
    assert_eq!(ended(first).0, Some(0));
    assert_eq!(fs::read_to_string(&file).expect("the second server runs"), format!("{}\n", second.addr().port()));
    second.stop();
    assert!(!file.exists());
}

#[test]
fn port_file_does_not_replace_foreign_files() {
    let place = Place::new();
    let file = place.file("handler.rs", "fn main() {}\n");
    refuses(port_file("hello", &file), 1, &["--port-file", "a file with other content exists there"]);
    assert_eq!(fs::read_to_string(&file).expect("the file is readable"), "fn main() {}\n");
    std::os::unix::fs::symlink("handler.rs", place.join("link")).expect("a place is writable");
    refuses(port_file("hello", &place.join("link")), 1, &["--port-file", "a link exists there"]);
    refuses(port_file("hello", &place), 1, &["--port-file", "a directory exists there"]);
    refuses(port_file("hello", "/dev/null".as_ref()), 1, &["--port-file", "not a regular file"]);
    assert_eq!(place.files(), [&*file, &place.join("link")]);
    refuses(port_file("hello", &place.join("no/such/place")), 1, &["--port-file", "No such file"]);

    // It also keeps what another server has written meanwhile.
    let file = place.join("port");
    let server = port_file("hello", &file).start();
    assert_eq!(server.get("/").status, 200);
    fs::write(&file, "1\n").expect("we own the file");
    server.stop();
    assert_eq!(fs::read_to_string(&file).expect("the file is readable"), "1\n");
}

#[test]
fn a_passed_socket_is_served_and_waiting_clients_are_answered() {
    for variables in ["", "LISTEN_PID= "] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("the socket is bound");
        let mut early = Client::connect(addr);
        early.send(GET);
        let server = Launch::program("hello").passing(listener, variables).start();
        assert_eq!(server.addr(), addr);
        assert_eq!(early.response().status, 200);
        drop(early);
        let log = server.stop();
        assert!(log[0].contains("LISTEN_FDS") && log[0].contains("--addr"), "{log:#?}");
        assert!(TcpStream::connect(addr).is_err(), "no other process has it open");
    }
}

#[test]
fn all_passed_sockets_are_served() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let addrs = listeners.each_ref().map(|listener| listener.local_addr().expect("the socket is bound"));
    let mut early = addrs.map(|addr| {
        let mut client = Client::connect(addr);
        client.send(GET);
        client
    });
    let [first, second] = listeners;
    let server = Launch::program("hello").passing_both(first, second).start();
    for client in &mut early {
        assert_eq!(client.response().status, 200);
    }
    for addr in addrs {
        server.line(|line| line == format!("listening on http://{addr}"));
    }
    drop(early);
    server.stop();
    assert!(addrs.iter().all(|addr| TcpStream::connect(addr).is_err()), "no other process has them open");
}

#[test]
fn a_passed_socket_need_not_listen_yet_and_is_not_inherited() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).expect("a free descriptor");
    let any: std::net::SocketAddr = "[::1]:0".parse().expect("a valid address");
    socket.bind(&any.into()).expect("a free port");
    let command = format!("{ASK} $WASMSERVE_URL >&2; [ ! -e /proc/$$/fd/3 ] && [ -z \"$LISTEN_FDS\" ]");
    let flags = ["--once", "--exec", &*command];
    let (code, log) = ended(Launch::program("hello").flags(flags).passing(socket, "").start());
    assert_eq!(code, Some(0), "the command has not inherited it: {log:#?}");
    assert!(log.iter().any(|line| line.ends_with("Hello, World!")), "{log:#?}");
}

#[test]
fn a_passed_descriptor_that_cannot_be_served_is_an_error() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let hello = || Launch::program("hello");
    refuses(hello().passing(listener(), "LISTEN_FDS=2"), 3, &["socket 2 of the 2", "LISTEN_FDS", "TCP"]);
    let file = fs::File::open("/dev/null").expect("the file is readable");
    refuses(hello().passing(file, ""), 3, &["LISTEN_FDS", "not a socket"]);
    let used = listener();
    let connected =
        TcpStream::connect(used.local_addr().expect("the socket is bound")).expect("the listener accepts connections");
    refuses(hello().passing(connected, ""), 3, &["LISTEN_FDS"]);

    // Neither alone nor after a TCP socket.
    let place = Place::new();
    let unix = || std::os::unix::net::UnixListener::bind(place.join("socket")).expect("a new file");
    refuses(hello().passing(unix(), ""), 3, &["LISTEN_FDS", "pass a TCP socket"]);
    fs::remove_file(place.join("socket")).expect("we own the file");
    refuses(hello().passing_both(listener(), unix()), 3, &["socket 2 of the 2", "pass TCP sockets"]);
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    refuses(hello().passing_both(datagrams, listener()), 3, &["socket 1 of the 2", "pass TCP sockets"]);

    // Sockets for another process are ignored.
    let server = hello().passing(listener(), "LISTEN_PID=1").start();
    assert!(!server.log().concat().contains("LISTEN_FDS"));
    server.stop();
}

#[test]
fn invalid_lifecycle_flags_are_refused() {
    for (flags, part) in [
        (&["--once", "--requests", "3"][..], "--requests"),
        (&["--requests", "0"], "--requests"),
        (&["--ttl", "0s"], "--ttl"),
        (&["--idle-exit", "5"], "--idle-exit"),
        (&["--exec"], "--exec"),
    ] {
        refuses(Launch::program("hello").flags(flags), 2, &[part]);
    }
}
