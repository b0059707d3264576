//! Where commands write their results: files, links, devices, FIFOs and stdout.
//!
//! Cargo is a stand-in here that "builds" a file at once, because only the writing is tested.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use wasmserve_tests::{
    guest,
    place::{self, Place},
    real::{run, system},
    server::{Launch, refuses},
    source::{handler, tools},
};

const BUILT: &[u8] = b"\0asm\x0d\0\x01\0 as cargo built it";

/// A directory with `one.rs`, and tools that turn it into [`BUILT`].
fn place() -> Place {
    let place = Place::new();
    place.file("one.rs", handler("x"));
    let built = place.file("built.wasm", BUILT);
    let artifact = format!(
        r#"echo '{{"reason":"compiler-artifact","target":{{"name":"one"}},"executable":"{}"}}'"#,
        built.display()
    );
    tools(&place, &[("rustc", "echo /"), ("cargo", &artifact)]);
    place
}

fn variables(place: &Place) -> [(&'static str, std::path::PathBuf); 2] {
    [("PATH", place.join("tools")), ("XDG_CACHE_HOME", place.join("cache"))]
}

/// `wasmserve build one.rs -o OUTPUT`.
fn command(place: &Place, output: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(guest::server());
    command.envs(place::environment()).envs(variables(place)).current_dir(&**place).stdin(Stdio::null());
    command.args(["build", "one.rs", "-o"]).arg(output);
    command
}

/// Runs a build that must succeed, and returns its stdout.
fn build(place: &Place, output: impl AsRef<OsStr>) -> Vec<u8> {
    done(&command(place, output).output().expect("the program runs"))
}

fn done(output: &Output) -> Vec<u8> {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout.clone()
}

fn refused(place: &Place, output: &str, parts: &[&str]) {
    let mut launch = Launch::bare().at(place).flags(["build", "one.rs", "-o", output]);
    for (name, value) in variables(place) {
        launch = launch.env(name, value);
    }
    refuses(launch, 1, parts);
}

/// No file that the program made on its way is left.
fn nothing_else(place: &Place) {
    let left = place.files().into_iter().filter(|file| file.to_string_lossy().contains(".wasmserve-"));
    assert_eq!(left.count(), 0);
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("the file is readable")
}

#[test]
fn build_replaces_a_file_and_keeps_its_permissions() {
    let place = place();
    let file = place.file("out.wasm", "old");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("we own the file");
    fs::hard_link(&file, place.join("other.wasm")).expect("a place is writable");
    let mut reader = File::open(&file).expect("the file is readable");
    assert_eq!(build(&place, "out.wasm"), b"out.wasm\n");
    assert_eq!(read(&file), BUILT);
    assert_eq!(fs::metadata(&file).expect("it exists").mode() & 0o777, 0o600);
    let mut old = Vec::new();
    reader.read_to_end(&mut old).expect("the file is readable");
    assert_eq!(old, b"old", "whoever read the old one sees all of it");
    assert_eq!(read(&place.join("other.wasm")), b"old", "other names keep the old content");
    nothing_else(&place);
}

#[test]
fn build_follows_links_and_leaves_them_in_place() {
    let place = place();
    fs::create_dir_all(place.join("d/real")).expect("a place is writable");
    place.file("d/real/old.wasm", "old");
    let absolute = place.join("d/real/absolute.wasm");
    let links = [
        ("d/to-file", "real/old.wasm"),
        ("d/to-link", "to-file"),
        ("d/to-nothing", "real/new.wasm"),
        ("d/absolute", absolute.to_str().expect("the path is text")),
        ("d/to-directory", "real"),
    ];
    for (link, target) in links {
        symlink(target, place.join(link)).expect("a place is writable");
    }
    for output in ["d/to-file", "d/to-link", "d/to-nothing", "d/absolute", "d/to-directory/below.wasm"] {
        build(&place, output);
        assert_eq!(read(&place.join(output)), BUILT, "{output}");
    }
    for (link, target) in links {
        assert_eq!(fs::read_link(place.join(link)).ok().as_deref(), Some(Path::new(target)), "{link} is still a link");
    }
    let names = ["absolute.wasm", "below.wasm", "new.wasm", "old.wasm"].map(|name| place.join("d/real").join(name));
    assert_eq!(
        place.files().into_iter().filter(|file| file.starts_with(place.join("d/real"))).collect::<Vec<_>>(),
        names
    );
}

#[test]
fn build_writes_into_a_fifo() {
    let place = place();
    let fifo = place.join("fifo");
    assert_eq!(run(system("mkfifo").arg(&fifo), "").code, Some(0));
    symlink("fifo", place.join("link")).expect("a place is writable");
    for output in ["fifo", "link"] {
        let path = fifo.clone();
        let reader = thread::spawn(move || read(&path));
        // The notice below comes if the reader is late.
        assert!(command(&place, output).output().expect("the program runs").status.success(), "{output}");
        assert_eq!(reader.join().expect("the thread ends"), BUILT, "{output}");
    }
}

#[test]
fn build_says_that_a_fifo_waits_for_its_reader() {
    let place = place();
    let fifo = place.join("fifo");
    assert_eq!(run(system("mkfifo").arg(&fifo), "").code, Some(0));
    let mut building = command(&place, "fifo");
    let mut building = building.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut line = String::new();
    let mut stderr = BufReader::new(building.stderr.take().expect("stderr is a pipe"));
    stderr.read_line(&mut line).expect("stderr is text");
    assert_eq!(line, "wasmserve: waiting for a reader of `fifo`…\n");
    assert_eq!(read(&fifo), BUILT);
    assert!(building.wait().expect("we started it").success());
}

#[test]
fn build_writes_into_a_device() {
    let place = place();
    symlink("/dev/full", place.join("device")).expect("a place is writable");
    refused(&place, "device", &["`device` cannot be written", "No space left on device"]);
    assert_eq!(fs::read_link(place.join("device")).ok().as_deref(), Some(Path::new("/dev/full")));
}

#[test]
fn build_writes_to_stdout_and_prints_nothing_else() {
    let place = place();
    symlink("/proc/self/fd/1", place.join("link")).expect("a place is writable");
    for output in ["-", "/dev/stdout", "/dev/fd/1", "link"] {
        assert_eq!(build(&place, output), BUILT, "{output}");

        let log = place.file("log", "before\n");
        let opened = OpenOptions::new().append(true).open(&log).expect("the file is writable");
        done(&command(&place, output).stdout(opened).output().expect("the program runs"));
        assert_eq!(read(&log), [b"before\n", BUILT].concat(), "{output} is appended");

        let mut opened = File::create(&log).expect("the file is writable");
        opened.write_all(b"before\n").expect("the file is writable");
        let shared = opened.try_clone().expect("the descriptor can be copied");
        done(&command(&place, output).stdout(shared).output().expect("the program runs"));
        opened.write_all(b"after\n").expect("the file is writable");
        assert_eq!(read(&log), [b"before\n", BUILT, b"after\n"].concat(), "{output} goes where the shell is");
    }
}

#[test]
fn build_writes_to_a_descriptor_that_the_shell_opened() {
    let place = place();
    place.file("log", "before\n");
    let script = "\"$0\" build one.rs -o /dev/fd/3 3>>log && \"$0\" build one.rs -o link 4>new";
    symlink("/proc/self/fd/4", place.join("link")).expect("a place is writable");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(guest::server()).current_dir(&*place);
    done(&shell.envs(place::environment()).envs(variables(&place)).output().expect("the shell runs"));
    assert_eq!(read(&place.join("log")), [b"before\n", BUILT].concat());
    assert_eq!(read(&place.join("new")), BUILT);
    refused(&place, "/dev/fd/99", &["`/dev/fd/99` cannot be written: no such descriptor is open"]);
}

#[test]
fn build_reports_that_the_reader_of_its_stdout_is_gone() {
    let place = place();
    let (reader, writer) = io::pipe().expect("there are descriptors");
    drop(reader);
    let ended = command(&place, "-").stdout(writer).output().expect("the program runs");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "wasmserve: stdout cannot be written: its reader closed it before the end\n"
    );
}

#[test]
fn build_refuses_what_cannot_be_written_before_it_builds() {
    let place = place();
    fs::create_dir(place.join("d")).expect("a place is writable");
    symlink("circle", place.join("circle")).expect("a place is writable");
    symlink("d", place.join("to-directory")).expect("a place is writable");
    let _socket = UnixListener::bind(place.join("socket")).expect("a place is writable");
    let cases = [
        ("d", "it is a directory; name a file in it"),
        ("d/", "it is a directory; name a file in it"),
        ("to-directory", "it is a directory; name a file in it"),
        (".", "it is a directory; name a file in it"),
        ("nowhere/x.wasm", "its directory does not exist; create it first"),
        ("new/", "its directory does not exist; create it first"),
        ("one.rs/x.wasm", "Not a directory"),
        ("circle", "it is a circle of links"),
        ("socket", "it is a socket; name a file"),
    ];
    // A cargo that runs would fail differently.
    tools(&place, &[("cargo", "exit 1")]);
    let before = place.files();
    for (output, why) in cases {
        refused(&place, output, &[&format!("`{output}` cannot be written: {why}")]);
    }
    assert_eq!(place.files(), before);
}

#[test]
fn build_does_not_overwrite_what_it_built_from() {
    let place = place();
    symlink("one.rs", place.join("link")).expect("a place is writable");
    for output in ["one.rs", "link", "./one.rs"] {
        refused(&place, output, &["one.rs` is what the component was built from; choose another name"]);
    }
    assert_eq!(read(&place.join("one.rs")), handler("x").as_bytes());
}

#[test]
fn build_prints_names_that_are_not_utf_8_as_they_are() {
    let place = place();
    let name = OsStr::from_bytes(b"caf\xe9.wasm");
    assert_eq!(build(&place, name), b"caf\xe9.wasm\n");
    assert_eq!(read(&place.join(name)), BUILT);
}

#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    for words in [&["man"][..], &["completions", "bash"], &["--help"], &["--version"]] {
        let command = || {
            let mut command = Command::new(guest::server());
            command.envs(place::environment()).args(words);
            command
        };
        let full = OpenOptions::new().write(true).open("/dev/full").expect("the device exists");
        let ended = command().stdout(full).output().expect("the program runs");
        assert_eq!(ended.status.code(), Some(1), "{words:?}");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(stderr.starts_with("wasmserve: stdout cannot be written: No space left"), "{stderr}");

        let (reader, writer) = io::pipe().expect("there are descriptors");
        drop(reader);
        done(&command().stdout(writer).output().expect("the program runs"));
    }
}
