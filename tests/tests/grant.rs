//! A handler can access only what was granted, and the log names the flag that would grant it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::symlink,
    thread::{self, JoinHandle},
};

use wasmserve_tests::{
    place::Place,
    server::{Launch, Server, refuses},
};

/// A peer that answers one connection: its address, and a thread that returns the first line that it received.
fn peer() -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("the socket is bound");
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a free descriptor"));
        let mut first = String::new();
        reader.read_line(&mut first).expect("a first line");
        if first.contains("HTTP/1.1") {
            let mut line = String::new();
            while reader.read_line(&mut line).expect("the rest of the head") > 2 {
                line.clear();
            }
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").expect("the client accepts it");
        first
    });
    (addr, answering)
}

#[test]
fn nothing_is_granted_by_default() {
    let place = Place::new();
    let file = place.file("secret", "secret");
    let server = Server::start("reads_files");
    for target in
        [format!("/?file={}", file.display()), "/?file=/".into(), "/?file=.".into(), "/?file=/etc/passwd".into()]
    {
        let text = server.get(&target).text().to_owned();
        assert!(text.starts_with("Err("), "{target}: {text}");
    }
    let new = place.join("new");
    assert!(server.get(&format!("/?file={}&text=x", new.display())).text().starts_with("Err("));
    assert!(!new.exists());
    let note = server.line_with("] note: ");
    assert!(note.contains("--dir HOST::GUEST"), "{note}");
}

#[test]
fn a_directory_is_granted_with_dir() {
    let place = Place::new();
    place.file("page", "content");
    let grant = format!("{}::/data", place.display());
    let server = Launch::program("reads_files").flags(["--dir", &grant]).start();
    assert_eq!(server.get("/?file=/data/page").text(), "Ok(\"content\")");
    assert_eq!(server.get("/?file=/data/new&text=written+inside").text(), "Ok(\"written\")");
    assert_eq!(fs::read_to_string(place.join("new")).expect("the file was written"), "written inside");
    for outside in ["/etc/passwd", "/data/../../etc/passwd", "/data/../etc/passwd"] {
        let text = server.get(&format!("/?file={outside}")).text().to_owned();
        assert!(text.starts_with("Err("), "{outside}: {text}");
    }
}

#[test]
fn a_link_does_not_lead_out_of_a_granted_directory() {
    let (outside, inside) = (Place::new(), Place::new());
    let secret = outside.file("secret", "secret");
    std::os::unix::fs::symlink(&secret, inside.join("link")).expect("the test directory is writable");
    let grant = format!("{}::/data", inside.display());
    let server = Launch::program("reads_files").flags(["--dir", &grant]).start();
    let text = server.get("/?file=/data/link").text().to_owned();
    assert!(text.starts_with("Err("), "{text}");
}

#[test]
fn a_directory_granted_read_only_cannot_be_written() {
    let place = Place::new();
    let file = place.file("page", "content");
    let grant = format!("{}::/data:ro", place.display());
    let server = Launch::program("reads_files").flags(["--dir", &grant]).start();
    assert_eq!(server.get("/?file=/data/page").text(), "Ok(\"content\")");
    for name in ["page", "new"] {
        let text = server.get(&format!("/?file=/data/{name}&text=x")).text().to_owned();
        assert!(text.starts_with("Err("), "{name}: {text}");
    }
    assert_eq!(fs::read_to_string(file).expect("the file is readable"), "content");
    assert!(!place.join("new").exists());
    let note = server.line_with("] note: ");
    assert!(note.contains("--dir HOST::GUEST (without :ro)"), "{note}");
}

#[test]
fn a_directory_with_the_caches_cannot_be_granted_for_writing() {
    let (home, elsewhere) = (Place::new(), Place::new());
    fs::create_dir_all(home.join(".cache/wasmserve/components")).expect("the test directory is writable");
    fs::create_dir(home.join("data")).expect("the test directory is writable");
    symlink(&*elsewhere, home.join("link")).expect("the test directory is writable");
    let launch = |cache: &str, granted: &str, mode: &str| {
        let grant = format!("{}::/data{mode}", home.join(granted).display());
        Launch::program("hello").env("XDG_CACHE_HOME", home.join(cache)).flags(["--dir", &grant])
    };
    // Compiled components are loaded from there as native code, and a handler could redirect a link to it.
    for (cache, granted) in
        [(".cache", ""), (".cache", ".cache"), (".cache", ".cache/wasmserve/components"), ("new/one", ""), ("link", "")]
    {
        let parts = ["--dir", "outside of the sandbox", "set XDG_CACHE_HOME"];
        refuses(launch(cache, granted, ""), 2, &parts);
    }
    launch(".cache", "", ":ro").start().stop();
    launch(".cache", "data", "").start().stop();
}

#[test]
fn no_connection_is_made_unless_it_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("the socket accepts the option");
    let addr = listener.local_addr().expect("the socket is bound");
    let server = Server::start("connects");
    let text = server.get(&format!("/?addr={addr}")).text().to_owned();
    assert!(text.starts_with("Err(") && text.contains("PermissionDenied"), "{text}");
    assert!(listener.accept().is_err(), "nothing has connected");
    server.line(|line| line.starts_with("[1] note: ") && line.contains("--allow-net"));

    let text = server.get("/?addr=localhost:80").text().to_owned();
    assert!(text.starts_with("Err("), "{text}");
    server.line_with("note: lookup of localhost denied; allow it with --allow-net localhost:PORT");
}

#[test]
fn a_connection_is_granted_with_allow_net() {
    let (addr, answering) = peer();
    let server = Launch::program("connects").flags(["--allow-net", &addr.to_string()]).start();
    let text = server.get(&format!("/?addr={addr}")).text().to_owned();
    assert!(text.starts_with("Ok(\"HTTP/1.1 202 Accepted"), "{text}");
    assert_eq!(answering.join().expect("the peer has answered"), "hello from inside\n");

    // Other ports of the address are not granted.
    let other = format!("127.0.0.1:{}", server.addr().port());
    let text = server.get(&format!("/?addr={other}")).text().to_owned();
    assert!(text.starts_with("Err("), "{text}");
    server.line_with(&format!("allow it with --allow-net {other}"));
}

#[test]
fn a_name_is_granted_with_allow_net() {
    let (addr, answering) = peer();
    let name = format!("localhost:{}", addr.port());
    let server = Launch::program("connects").flags(["--allow-net", &name]).start();
    let text = server.get(&format!("/?addr={name}")).text().to_owned();
    assert!(text.starts_with("Ok(\"HTTP/1.1 202 Accepted"), "{text}");
    answering.join().expect("the peer has answered");
}

#[test]
fn a_handler_never_listens() {
    let (addr, _) = peer();
    let server = Launch::program("connects").flags(["--allow-net", &addr.to_string()]).start();
    for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
        let text = server.get(&format!("/listen?addr={addr}")).text().to_owned();
        assert!(text.starts_with("Err("), "{addr}: {text}");
    }
    server.line_with("a handler cannot listen");
}

#[test]
fn no_request_is_sent_unless_it_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("the socket accepts the option");
    let addr = listener.local_addr().expect("the socket is bound");
    let server = Server::start("requests");
    let text = server.get(&format!("/?authority={addr}")).text().to_owned();
    assert!(text.contains("HttpRequestDenied"), "{text}");
    assert!(listener.accept().is_err(), "nothing has connected");
    let note = server.line_with("note: request to ");
    assert!(note.contains(&format!("allow it with --allow-net {addr}")), "{note}");
}

#[test]
fn a_request_is_granted_with_allow_net() {
    let (addr, answering) = peer();
    let server = Launch::program("requests").flags(["--allow-net", &addr.to_string()]).start();
    assert_eq!(server.get(&format!("/?authority={addr}")).text(), "Ok(202)");
    assert_eq!(answering.join().expect("the peer has answered"), "GET /asked HTTP/1.1\r\n");
}

#[test]
fn e15_the_servers_environment_is_hidden_from_handlers() {
    let server = Launch::program("reads_env").env("GREETING", "from outside").start();
    assert_eq!(server.get("/?name=GREETING").text(), "process: []\nenviron: None");
}

#[test]
fn a_variable_is_granted_with_env() {
    let server = Launch::program("reads_env").flags(["--env", "GREETING=hi=there", "--env", "EMPTY="]).start();
    assert_eq!(
        server.get("/?name=GREETING").text(),
        "process: [(\"GREETING\", \"hi=there\"), (\"EMPTY\", \"\")]\nenviron: Some(\"hi=there\")"
    );
    assert!(server.get("/?name=EMPTY").text().ends_with("environ: Some(\"\")"));
}
