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
    let note = server.line_with("note: access to `/etc/passwd` denied");
    assert!(note.ends_with("; allow it with --dir HOST::/etc"), "{note}");
}

#[test]
fn a_path_outside_of_the_granted_directories_is_named_in_a_note() {
    let place = Place::new();
    place.file("page", "content");
    let grants = [format!("{}::/data", place.display()), format!("{}::/read:ro", place.display())];
    let server = Launch::program("uses_files").flags(grants.iter().flat_map(|grant| ["--dir", grant])).start();
    let note = |target: &str, note: &str| {
        let text = server.get(target).text().to_owned();
        assert!(text.starts_with("Err("), "{target}: {text}");
        server.line(|line| line.contains("] note: ") && line.ends_with(note));
    };
    note("/read?path=/elsewhere/a", "access to `/elsewhere/a` denied; allow it with --dir HOST::/elsewhere");
    note("/metadata?path=/other/b", "access to `/other/b` denied; allow it with --dir HOST::/other");
    note("/list?path=/third/c", "access to `/third/c` denied; allow it with --dir HOST::/third/c");
    note("/read?path=relative", "access to `/relative` denied; allow it with --dir HOST::/");
    note("/create?path=/new/d", "access to `/new/d` denied; allow it with --dir HOST::/new");
    note("/create-dir?path=/new2/d", "access to `/new2/d` denied; allow it with --dir HOST::/new2");
    note("/remove?path=/new3/d", "access to `/new3/d` denied; allow it with --dir HOST::/new3");
    note("/rename?path=/new4/d", "access to `/new4/d` denied; allow it with --dir HOST::/new4");
    note("/read?path=/data/../../x", "access to `../../x` denied: it leads out of the directory that is granted");
    for target in
        ["/create?path=/read/e", "/create-dir?path=/read/e", "/remove?path=/read/page", "/rename?path=/read/page"]
    {
        let text = server.get(target).text().to_owned();
        assert!(text.starts_with("Err("), "{target}: {text}");
    }
    server.line_with("note: writing to `e` denied; allow it with --dir HOST::GUEST (without :ro)");
    server.line_with("note: writing to `page` denied; allow it with --dir HOST::GUEST (without :ro)");
    // Files that do not exist are not denied.
    assert!(server.get("/read?path=/data/missing").text().starts_with("Err("));
    assert!(!server.stop().concat().contains("missing` denied"));
}

#[test]
fn the_root_directory_is_granted_like_any_other() {
    let place = Place::new();
    place.file("page", "content");
    let server = Launch::program("uses_files").flags(["--dir", &format!("{}::/", place.display())]).start();
    assert_eq!(server.get("/read?path=/page").text(), "Ok(\"content\")");
    assert_eq!(server.get("/read?path=page").text(), "Ok(\"content\")");
    assert_eq!(server.get("/list?path=/").text(), "Ok(\"page\")");
}

#[test]
fn the_current_directory_is_granted_like_any_other() {
    let place = Place::new();
    place.file("page", "content");
    let server = Launch::program("uses_files").flags(["--dir", &format!("{}::.", place.display())]).start();
    assert_eq!(server.get("/read?path=page").text(), "Ok(\"content\")");
}

#[test]
fn notes_are_only_about_what_a_handler_did_and_was_refused() {
    let server = Launch::mounted(&["prints", "connects", "reads_env", "sleeps", "leaves_output", "uses_files"])
        .flags(["--timeout", "300ms"])
        .start();
    assert_eq!(server.get("/prints").text(), "printed");
    assert_eq!(server.get("/connects/open").text(), "Ok(\"open\")");
    assert!(server.get("/reads_env?name=wsgi.version").text().starts_with("process: []"));
    assert_eq!(server.get("/sleeps").status, 504);
    assert_eq!(server.get("/leaves_output/exits").status, 200);
    assert_eq!(server.get("/leaves_output/panics").status, 500);
    assert_eq!(server.get("/uses_files/nothing").text(), "Ok(\"\")");
    let log = server.stop();
    assert!(!log.concat().contains("] note: "), "{log:#?}");
}

#[test]
fn a_note_is_written_once_for_all_requests() {
    let server = Server::start("uses_files");
    for _ in 0..3 {
        assert!(server.get("/read?path=/data/a").text().starts_with("Err("));
    }
    assert!(server.get("/read?path=/data/b").text().starts_with("Err("));
    let log = server.stop();
    let notes: Vec<_> = log.iter().filter(|line| line.contains("] note: ")).collect();
    assert!(notes.len() == 2 && notes[0].starts_with("[1] ") && notes[1].starts_with("[4] "), "{notes:#?}");
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
fn a_variable_is_inherited_with_env_without_a_value() {
    let launch = || Launch::program("reads_env").flags(["--env", "TOKEN_OF_TEST"]);
    let server = launch().env("TOKEN_OF_TEST", "a=secret").start();
    assert!(server.get("/?name=TOKEN_OF_TEST").text().ends_with("environ: Some(\"a=secret\")"));
    let log = server.stop();
    assert!(log.contains(&"granted: --env TOKEN_OF_TEST".to_owned()), "{log:#?}");
    assert!(!log.concat().contains("secret"), "{log:#?}");
    refuses(launch(), 2, &["--env cannot be `TOKEN_OF_TEST`", "write TOKEN_OF_TEST=VALUE"]);
}

#[test]
fn variables_are_granted_with_a_file() {
    let place = Place::new();
    let file = place.file(".env", "# ours\nexport A=1\r\nB='two # $A'\n");
    let flags = ["--env-file", file.to_str().expect("the path is UTF-8"), "--env", "A=3"];
    let server = Launch::program("reads_env").flags(flags).start();
    assert!(server.get("/").text().starts_with("process: [(\"B\", \"two # $A\"), (\"A\", \"3\")]"));
    let log = server.stop();
    assert!(log.contains(&"granted: --env B".to_owned()) && !log.concat().contains("two"), "{log:#?}");

    let wrong = place.file("wrong.env", "A=1\nsecret\n");
    let flags = ["--env-file", wrong.to_str().expect("the path is UTF-8")];
    let line =
        refuses(Launch::program("reads_env").flags(flags), 2, &["--env-file", "wrong.env", "line 2: write NAME=VALUE"]);
    assert!(!line.contains("secret"), "{line}");
    refuses(Launch::program("reads_env").flags(["--env-file", "/nowhere"]), 2, &["--env-file", "cannot be read"]);
}

#[test]
fn a_variable_that_is_not_granted_is_named_in_a_note() {
    let server = Launch::program("reads_env").flags(["--env", "GREETING=hi"]).start();
    let api_key = "note: the handler asked for `API_KEY`, which is not granted; grant it with --env API_KEY";
    for name in ["API_KEY", "GREETING", "HTTP_X_TOKEN", "REMOTE_USER", "wsgi.version", "myapp.user", "A%0AB", ""] {
        assert_eq!(server.get(&format!("/?name={name}")).status, 200);
    }
    let log = server.stop();
    let notes: Vec<_> = log.iter().filter(|line| line.contains("] note: ")).collect();
    assert_eq!(notes, [&format!("[1] {api_key}")]);
}

#[test]
fn a_handler_that_fails_without_a_variable_gets_a_note() {
    let server = Server::start("reads_env");
    for path in ["/panic", "/error", "/panic"] {
        assert_eq!(server.get(path).status, 500);
    }
    let log = server.stop();
    let notes: Vec<_> = log.iter().filter(|line| line.contains("] note: ")).collect();
    assert_eq!(notes, ["[1] note: the handler asked for a variable that is not granted; grant it with --env NAME"]);
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
