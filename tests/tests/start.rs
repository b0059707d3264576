//! How a server starts, and the one clear line that it prints for each reason not to.

use std::{
    fs::{self, File, FileTimes},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, refuses},
};

/// A guest that compiles quickly and answers with a 200.
const SMALL: &str = "remembers";

/// Starts a server that cannot use its cache, checks that it warns but serves, and returns its log.
fn serves_without_cache(cache: &Path) -> Vec<String> {
    let server = Launch::program(SMALL).env("XDG_CACHE_HOME", cache).start();
    assert_eq!(server.get("/").status, 200);
    let log = server.stop();
    assert!(log[0].starts_with("wasmserve: warning: no compile cache"), "{}: {log:?}", cache.display());
    log
}

/// Checks that a file with this content is refused, and returns the message.
fn refuses_content(content: impl AsRef<[u8]>, parts: &[&str]) -> String {
    let place = Place::new();
    let file = place.file("handler.wasm", content);
    let line = refuses(Launch::file(&file), 4, parts);
    assert!(line.contains(&*file.to_string_lossy()), "the file is named: {line}");
    line
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid WAT")
}

#[test]
fn a_missing_file_is_refused() {
    let place = Place::new();
    refuses(Launch::file(&place.join("missing.wasm")), 4, &["missing.wasm", "No such file"]);
}

#[test]
fn a_file_that_is_not_wasm_is_refused() {
    let parts = ["handler.wasm` is not a wasm component", "`#!/\\x1b[2J`", "wasm32-wasip2", "a Rust file or a crate"];
    refuses_content("#!/\x1b[2J", &parts);
}

#[test]
fn an_empty_file_is_refused() {
    refuses_content("", &["handler.wasm` is empty"]);
}

#[test]
fn a_core_module_is_refused() {
    refuses_content(b"\0asm\x01\0\0\0", &["is a core module, not a component", "wasm32-wasip2"]);
}

#[test]
fn a_component_of_a_newer_version_is_refused() {
    refuses_content(b"\0asm\x0e\0\x01\0", &["newer"]);
}

#[test]
fn a_precompiled_component_is_refused() {
    let precompiled = wasmtime::Engine::default().precompile_component(&component("(component)"));
    let precompiled = precompiled.expect("wasmtime can compile it");
    refuses_content(precompiled, &["is a precompiled component, which is native code"]);
}

#[test]
fn a_truncated_component_is_refused() {
    let hello = fs::read(guest::program("hello")).expect("the guest is built");
    refuses_content(&hello[..hello.len() / 2], &["is not a valid component: it is cut off; build or copy it again"]);
    refuses_content(&hello[..6], &["is cut off after 6 bytes; build or copy it again"]);
    refuses_content(&hello[..8], &["does not export `wasmserve:gateway/handler@0.1.0`"]);
}

#[test]
fn a_component_of_another_world_is_refused_with_all_that_is_missing() {
    let other = component(
        r#"(component
            (import "acme:store/blobs@1.0.0" (instance (export "open" (func)) (export "blob" (type (sub resource)))))
            (import "acme:store/queue@1.0.0" (instance (export "push" (func (param "x" u32)))))
            (import "now" (func (result u64)))
            (import "wasi:cli/environment@0.2.0" (instance (export "initial-cwd" (func (result (option string)))))))"#,
    );
    let line = refuses_content(
        other,
        &[
            "no import `acme:store/blobs@1.0.0`",
            "no import `acme:store/queue@1.0.0`",
            "no import `now`",
            "does not export `wasmserve:gateway/handler@0.1.0`",
        ],
    );
    assert!(!line.contains("wasi:cli/environment"), "existing imports are not reported: {line}");
}

#[test]
fn a_handler_of_the_wrong_type_is_refused() {
    let wrong = component(
        r#"(component
            (core module $module (func (export "handle")))
            (core instance $instance (instantiate $module))
            (func $handle (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))"#,
    );
    refuses_content(wrong, &["handle"]);
}

#[test]
fn a_component_that_needs_more_memory_than_the_limit_is_refused() {
    let line = refuses(Launch::program("hello").flags(["--max-memory", "64KiB"]), 4, &["--max-memory"]);
    assert!(line.contains("its memory starts with"), "{line}");
}

#[test]
fn an_address_in_use_is_refused_with_a_free_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("the socket is bound");
    let addr = taken.to_string();
    let hello = guest::program("hello");
    let parts = [&*addr, "another process listens there", "--addr"];
    let line = refuses(Launch::bare().flags([hello]).flags(["--addr", &addr]), 3, &parts);
    let owner = format!("process {}", std::process::id());
    assert!(line.contains(&owner) || !cfg!(target_os = "linux"), "it says which process: {line}");
    let (_, free) = line.split_once("(--addr ").expect("P7: the line has a remedy");
    let free: SocketAddr = free.trim_end_matches(" is free)").parse().expect("a valid address");
    assert!(free.ip() == taken.ip() && free.port() > taken.port(), "{line}");

    // The same with two servers, which both reuse addresses.
    let server = Launch::file(hello).start();
    let addr = server.addr().to_string();
    refuses(Launch::bare().flags([hello]).flags(["--addr", &addr]), 3, &["another process listens there"]);
    assert_eq!(server.get("/").status, 200, "the first server still works");
}

#[test]
fn an_address_that_cannot_be_bound_is_refused() {
    let on = |addr| Launch::bare().flags([guest::program("hello")]).flags(["--addr", addr]);
    refuses(on("203.0.113.1:0"), 3, &["`203.0.113.1:0`", "does not have that address"]);
    let parts =
        ["`no-such-host.invalid:8000`", "no address was found for the name `no-such-host.invalid`", "HOST:PORT"];
    refuses(on("no-such-host.invalid"), 3, &parts);
    for (addr, remedy) in [
        ("127.0.0.1:99999", "from 0 to 65535"),
        (":", "from 0 to 65535"),
        ("300.1.1.1:80", "`300.1.1.1` is not an IPv4 address, which has four numbers from 0 to 255"),
        ("http://localhost:80", "without the scheme: localhost:80"),
        ("unix:/run/wasmserve", "UNIX sockets are not served; write HOST:PORT"),
    ] {
        refuses(on(addr), 2, &[&format!("--addr cannot be `{addr}`"), remedy]);
    }
}

#[test]
fn ports_and_hosts_are_taken_as_people_write_them() {
    let hello = guest::program("hello");
    for flags in [
        &["--port", "0"][..],
        &["-p", "0"],
        &["--addr", "0"],
        &["--addr", "127.0.0.1", "--port", "0"],
        &["--host", "127.0.0.1", "-p", "0"],
        &["--bind", "127.0.0.1:0"],
    ] {
        let server = Launch::bare().flags([hello]).flags(flags).start();
        assert!(server.addr().ip().is_loopback(), "{flags:?}");
        assert_eq!(server.get("/").status, 200, "{flags:?}");
        assert_eq!(server.stop().len(), 2, "{flags:?}: nothing else to say");
    }
    let server = Launch::bare().flags([hello]).flags(["--addr", ":0"]).start();
    assert!(server.addr().ip().is_loopback(), "not all addresses");
    let port = server.addr().port();
    server.line_with(&format!("only this machine can connect; for others, write --addr 0.0.0.0:{port}"));
    let server = Launch::bare().flags(["dump", "--addr", ":0"]).start();
    let port = server.addr().port();
    server.line_with(&format!("only this machine can connect; for others, write --addr 0.0.0.0:{port}"));
    for (word, remedy) in [
        (
            "9000",
            "`9000` is where to listen, and no handler is given; name one, as in `wasmserve hello.rs --port 9000`",
        ),
        (":9000", "`wasmserve hello.rs --port 9000`"),
        ("0.0.0.0:9000", "`wasmserve hello.rs --addr 0.0.0.0:9000`"),
    ] {
        let place = Place::new();
        refuses(Launch::bare().at(&place).flags([word]), 4, &[remedy]);
        // Unless a handler has that name.
        place.file(word, "");
        refuses(Launch::bare().at(&place).flags([word]), 4, &[&format!("`{word}` is empty")]);
    }
    for command in ["dump", "logs", "echo"] {
        let server = Launch::bare().flags([command, "-p", "0"]).start();
        assert!(server.addr().ip().is_loopback(), "{command}");
    }
    refuses(Launch::bare().flags(["dump", "9000"]), 2, &["unexpected argument `9000`", "--port 9000"]);
}

#[test]
fn a_name_is_served_at_all_of_its_addresses_with_one_port() {
    let names: Vec<std::net::IpAddr> = std::net::ToSocketAddrs::to_socket_addrs("localhost:0")
        .expect("the name resolves")
        .map(|addr| addr.ip())
        // IPv6 may be switched off.
        .filter(|ip| TcpListener::bind((*ip, 0)).is_ok())
        .collect();
    let place = Place::new();
    let port_file = place.join("port");
    let flags = ["--addr".as_ref(), "localhost:0".as_ref(), "--port-file".as_ref(), port_file.as_os_str()];
    let server = Launch::bare().flags([guest::program("hello")]).flags(flags).start();
    let port = server.addr().port();
    for ip in &names {
        let mut client = wasmserve_tests::client::Client::connect(SocketAddr::new(*ip, port));
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 200, "{ip}");
        server.line(|line| line == format!("listening on http://{}", SocketAddr::new(*ip, port)));
    }
    assert_eq!(fs::read_to_string(&port_file).expect("the server runs"), format!("{port}\n"));
    server.stop();
}

#[test]
fn invalid_flags_are_refused() {
    refuses(Launch::bare(), 2, &["no handler given", "wasmserve hello.rs"]);
    let cases: [(&[&str], &[&str]); 16] = [
        (&["--nonsense"], &["--nonsense"]),
        (&["--timeout", "5"], &["--timeout", "5s"]),
        (&["--timeout", "0s"], &["--timeout"]),
        (&["--max-body", "5KB"], &["--max-body", "5KiB"]),
        (&["--max-head", "10"], &["--max-head", "1KiB"]),
        (&["--env", "PATH_INFO=x"], &["--env", "PATH_INFO"]),
        (&["--env", "HTTP_HOST=x"], &["--env", "HTTP_HOST"]),
        (&["--env", "GREETING"], &["--env", "the server's environment has no `GREETING`", "write GREETING=VALUE"]),
        (
            &["--dir", "/nowhere-at-all::/data"],
            &["--dir", "`/nowhere-at-all` does not exist", "`mkdir -p /nowhere-at-all`"],
        ),
        (&["--dir", "/dev/null::/data"], &["--dir", "`/dev/null` is a file", "the directory that contains it"]),
        (&["--dir", "/tmp"], &["--dir", "HOST::GUEST"]),
        (&["--allow-net", "localhost"], &["--allow-net", "HOST:PORT"]),
        (&["--max-connections", "0"], &["--max-connections"]),
        (&["--compile-timeout", "60"], &["--compile-timeout", "60s"]),
        (&["--compile-memory", "2G"], &["--compile-memory", "write 2GiB"]),
        (&["another.wasm"], &["another.wasm"]),
    ];
    for (flags, parts) in cases {
        refuses(Launch::program("hello").flags(flags), 2, parts);
    }
}

#[test]
fn mistakes_on_the_command_line_are_reported_with_a_remedy() {
    for (words, message) in [
        ("", "no handler given; name one, as in `wasmserve hello.rs`, or a directory, as in `wasmserve .`; see --help"),
        ("nwe", "no file or command is named `nwe`; did you mean `new`?"),
        (
            "a.rs b.rs",
            "unexpected argument `b.rs` after the handler; add a second handler with --mount PATH=HANDLER; see --help",
        ),
        ("a.rs 9000", "unexpected argument `9000` after the handler; write --port 9000 to listen there; see --help"),
        ("a.rs --addr :80 --port 80", "--addr and --port both give a port; leave one of them out; see --help"),
        ("a.rs build", "`build` is a command; put it before all flags; see --help"),
        ("logs a.rs", "unexpected argument `a.rs`; see --help"),
        ("dmup --hex", "no file or command is named `dmup`; did you mean `dump`?"),
        ("serv a.rs", "no file or command is named `serv`; `wasmserve HANDLER` serves a handler"),
        ("init a", "no file or command is named `init`; `wasmserve new NAME` creates a handler"),
        ("unheard-of a.rs", "no file or command is named `unheard-of`; see --help"),
        ("new", "no name given; name the new handler, as in `wasmserve new hello`; see --help"),
        ("a.rs --timout 5s", "there is no flag `--timout`; did you mean `--timeout`?"),
        ("a.rs --max-body -1", "there is no flag `-1`, and no value can be negative; see --help"),
        ("a.rs --linger 1ms", "--linger cannot be `1ms`: it must be whole seconds, as in 1s"),
        ("a.rs --dir ./data:/data", "--dir cannot be `./data:/data`: write two colons: ./data::/data"),
        (
            "a.rs --dir ::/data",
            "--dir cannot be `::/data`: write HOST::GUEST, or HOST::GUEST:ro to read only, as in ./data::/data",
        ),
        (
            "a.rs --allow-net no-such-host.invalid:80",
            "--allow-net cannot be `no-such-host.invalid:80`: no address was found for `no-such-host.invalid`; check the \
             name, or write an address, as in 127.0.0.1:5432",
        ),
        (
            "a.rs --addr [::1",
            "--addr cannot be `[::1`: the bracket is not closed; write an IPv6 address with a port as in [::1]:8000",
        ),
        ("--port 0 dump", "`dump` is a command; put it before all flags; see --help"),
        ("test", "no source given; name a Rust file or a crate, as in `wasmserve test hello.rs`; see --help"),
        ("test a.rs it", "unexpected argument `it`; put arguments of the tests behind --, as in `-- it`; see --help"),
        ("completions", "no shell given; name one, as in `wasmserve completions bash`; see --help"),
        ("a.rs --timeout 5", "--timeout cannot be `5`: add a unit, as in 5s, 5ms or 5m"),
        ("a.rs --max-head 10", "--max-head cannot be `10`: it must be from 1KiB to 1MiB"),
        ("a.rs --requests 0", "--requests cannot be `0`: it must be at least 1"),
        ("a.rs --min-rate x", "--min-rate cannot be `x`: write a whole number, as in 100"),
        (
            "a.rs --forwarded-allow-ips ::1,x",
            "--forwarded-allow-ips cannot be `x`: write IP addresses or networks, as in 127.0.0.1,10.0.0.0/8, or *",
        ),
        ("a.rs --allow-net :80", "--allow-net cannot be `:80`: write HOST:PORT, as in 127.0.0.1:5432"),
        ("a.rs --asterisk who", "--asterisk cannot be `who`: it must be one of host, app"),
        (
            "a.rs --dir .::/d:rw",
            "--dir cannot be `.::/d:rw`: write HOST::GUEST, or HOST::GUEST:ro to read only, as in ./data::/data",
        ),
        ("a.rs --drain", "--drain needs a value; see --help"),
        ("a.rs --debug=yes", "--debug takes no value, but `yes` was given; see --help"),
        ("a.rs --open --open", "--open can be given only once; see --help"),
        ("a.rs --once --requests 3", "--once and --requests cannot be used together; see --help"),
    ] {
        let ended = Launch::bare().flags(words.split_whitespace()).run();
        assert_eq!(ended.stderr, format!("wasmserve: {message}\n"), "{words}");
        assert_eq!(ended.code, Some(if ["nwe", "--port 0 dump"].contains(&words) { 4 } else { 2 }), "{words}");
    }
}

#[test]
fn grants_are_shown_and_secrets_are_not() {
    let place = Place::new();
    let dir = format!("{}::/data:ro", place.display());
    let flags = ["--env", "TOKEN=secret", "--dir", &dir, "--allow-net", "127.0.0.1:5432"];
    let server = Launch::program("hello").flags(flags).start();
    let granted = ["granted: --env TOKEN", &format!("granted: --dir {dir}"), "granted: --allow-net 127.0.0.1:5432"];
    let log = server.stop();
    assert_eq!(log[..3], granted);
    assert!(log[3].starts_with("listening on http://127.0.0.1:"));
    assert!(!log.concat().contains("secret"));

    let log = Launch::program("hello").start().stop();
    assert_eq!(log.len(), 1, "one line when it is ready: {log:?}");
}

/// The compiled components in a cache, with inodes and times that show whether they are written again.
fn entries(cache: &Place) -> Vec<(PathBuf, u64, SystemTime)> {
    let is_entry = |path: &PathBuf| path.extension().is_none();
    let components = |path: &PathBuf| path.starts_with(cache.join("wasmserve/components"));
    let entries = cache.files().into_iter().filter(components).filter(is_entry);
    entries
        .map(|path| {
            let metadata = fs::metadata(&path).expect("the entry exists");
            (path, metadata.ino(), metadata.modified().expect("the file system records the time"))
        })
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is readable").permissions().mode() & 0o777
}

#[test]
fn the_second_start_uses_the_compiled_component() {
    let cache = Place::new();
    let start = || Launch::program(SMALL).env("XDG_CACHE_HOME", &*cache).start();
    assert_eq!(start().get("/").status, 200);
    let first = entries(&cache);
    assert_eq!(first.len(), 1, "one component, one entry: {:?}", cache.files());
    for directory in ["components", "compiled"] {
        assert_eq!(mode(&cache.join("wasmserve").join(directory)), 0o700, "its content is run as native code");
    }

    assert_eq!(start().get("/").status, 200);
    assert_eq!(entries(&cache), first, "nothing was compiled again");
}

#[test]
fn a_cache_that_others_could_write_to_is_made_private() {
    let cache = Place::new();
    let directory = cache.join("wasmserve/components");
    fs::create_dir_all(&directory).expect("the test directory is writable");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("we own the file");
    let server = Launch::program(SMALL).env("XDG_CACHE_HOME", &*cache).start();
    assert_eq!(mode(&directory), 0o700);
    server.stop();
}

#[test]
fn entries_that_others_may_have_written_to_the_cache_are_never_run() {
    let compiled = |program: &str| {
        let cache = Place::new();
        drop(Launch::program(program).env("XDG_CACHE_HOME", &*cache).start());
        let [(entry, ..)] = &*entries(&cache) else { panic!("one component, one entry: {:?}", cache.files()) };
        (entry.clone(), cache)
    };
    let ((entry, cache), (foreign, _foreign)) = (compiled(SMALL), compiled("divides_by_zero"));
    // The code of another component under this one's name, in a directory that was once open to others.
    for open in [cache.join("wasmserve/components"), cache.join("wasmserve")] {
        fs::create_dir_all(entry.parent().expect("the entry has a parent directory"))
            .expect("the test directory is writable");
        fs::copy(&foreign, &entry).expect("the test directory is writable");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("we own the file");
        let server = Launch::program(SMALL).env("XDG_CACHE_HOME", &*cache).start();
        assert_eq!(server.get("/").text(), "0000000000", "{}", open.display());
        assert_eq!(mode(&open), 0o700);
    }
}

#[test]
fn a_cache_that_others_could_replace_is_a_warning() {
    let place = Place::new();
    let open = place.join("open");
    let mut caches = vec![open.clone(), open.join("below")];
    fs::create_dir(&open).expect("the test directory is writable");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("we own the file");
    symlink(&open, place.join("link")).expect("the test directory is writable");
    caches.push(place.join("link/below"));
    let foreign = place.join("foreign");
    fs::create_dir(&foreign).expect("the test directory is writable");
    // Only root can change the owner of a directory.
    if chown(&foreign, Some(65534), None).is_ok() {
        caches.push(foreign);
    }
    for cache in caches {
        let log = serves_without_cache(&cache);
        assert!(log[0].ends_with("set XDG_CACHE_HOME to a directory you own"), "the remedy comes last: {log:?}");
    }
    assert_eq!(fs::read_dir(&open).expect("the directory is readable").count(), 0, "nothing is written there");
    // As in /tmp, where other users cannot remove our files.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).expect("we own the file");
    let log = Launch::program(SMALL).env("XDG_CACHE_HOME", &open).start().stop();
    assert!(!log.iter().any(|line| line.contains("warning")), "{log:?}");
}

#[test]
fn a_cache_that_cannot_be_used_is_a_warning() {
    let place = Place::new();
    let file = place.file("not-a-directory", "");
    let server = Launch::program(SMALL).env("XDG_CACHE_HOME", &file).start();
    assert_eq!(server.get("/").status, 200);
    let mut log = server.stop();
    log.retain(|line| !line.starts_with("wasmserve: compiling `"));
    assert!(log[0].starts_with("wasmserve: warning: no compile cache"), "{log:?}");
    assert!(log[1].starts_with("listening on "), "the warning is one line: {log:?}");
}

#[test]
fn p15_a_cache_that_is_not_ours_or_cannot_be_written_is_a_warning() {
    let place = Place::new();
    // Not even root can write there.
    let mut caches = vec![PathBuf::from("/proc/wasmserve-tests")];
    let linked = place.join("linked");
    fs::create_dir_all(linked.join("wasmserve")).expect("the test directory is writable");
    symlink(place.join("elsewhere"), linked.join("wasmserve/components")).expect("the test directory is writable");
    fs::create_dir(place.join("elsewhere")).expect("the test directory is writable");
    caches.push(linked);
    let foreign = place.join("foreign");
    fs::create_dir_all(foreign.join("wasmserve/components")).expect("the test directory is writable");
    // Only root can change the owner of a directory.
    if chown(foreign.join("wasmserve/components"), Some(65534), None).is_ok() {
        caches.push(foreign);
    }
    for cache in caches {
        serves_without_cache(&cache);
    }
    assert_eq!(
        fs::read_dir(place.join("elsewhere")).expect("the directory is readable").count(),
        0,
        "nothing is written there"
    );
}

#[test]
fn p14_a_corrupt_entry_in_the_cache_is_compiled_again() {
    let cache = Place::new();
    let start = || Launch::program(SMALL).env("XDG_CACHE_HOME", &*cache).start();
    drop(start());
    let [(entry, ..)] = &*entries(&cache) else { panic!("one component, one entry: {:?}", cache.files()) };
    let whole = fs::read(entry).expect("the entry is readable");
    for corrupt in [&b""[..], b"corrupt", &whole[..whole.len() / 2]] {
        fs::write(entry, corrupt).expect("we own the file");
        assert_eq!(start().get("/").status, 200);
        assert_eq!(fs::read(entry).expect("the file is readable").len(), whole.len(), "the component is cached again");
    }
}

#[test]
fn leftovers_of_a_killed_process_are_removed_from_the_cache() {
    let cache = Place::new();
    let start = || Launch::program(SMALL).env("XDG_CACHE_HOME", &*cache).start();
    drop(start());
    let [(entry, ..)] = &*entries(&cache) else { panic!("one component, one entry: {:?}", cache.files()) };
    fs::remove_file(entry).expect("we own the file");
    let leftover = entry.with_extension("wip-atomic-write-mod");
    fs::write(&leftover, "half").expect("the test directory is writable");

    drop(start());
    assert!(leftover.exists(), "another server may be writing it right now");
    let old = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(120));
    File::open(&leftover).and_then(|file| file.set_times(old)).expect("we own the file");
    drop(start());
    assert!(!leftover.exists());
    assert!(entry.exists(), "the component is cached again");
}
