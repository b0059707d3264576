//! Widely used clients: where `tests/clients/install` has installed them, and what they print.

use std::{
    env, fs,
    io::{Read, Write as _},
    iter,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::{TIMEOUT, place};

/// The remedy if a client is missing or does not have its pinned version.
const REMEDY: &str = "run tests/clients/install";

/// The pinned versions, and the copy that the installer leaves.
const PYTHON_PINS: (&str, &str) = (include_str!("../clients/requirements.txt"), "venv/requirements.txt");
const PROGRAM_PINS: (&str, &str) = (include_str!("../clients/programs.txt"), "venv/programs.txt");
const NODE_PINS: (&str, &str) = (include_str!("../clients/package-lock.json"), "node_modules/package-lock.json");

/// A program of the system, such as `curl`.
#[must_use]
pub fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    // nginx is in `sbin`, which is not on every user's PATH.
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin".into()]);
    command.env("PATH", env::join_paths(directories).expect("the directories come from a PATH"));
    command.envs(place::environment());
    command
}

/// The Python that has the pinned packages.
///
/// # Panics
///
/// The packages are not installed.
#[must_use]
pub fn python() -> Command {
    let mut command = Command::new(installed(PYTHON_PINS).join("venv/bin/python"));
    command.envs(place::environment());
    command
}

/// A program with a pinned version, such as `wash`.
///
/// # Panics
///
/// It is not installed.
#[must_use]
pub fn program(name: &str) -> Command {
    let mut command = Command::new(installed(PROGRAM_PINS).join("venv/bin").join(name));
    command.envs(place::environment());
    command
}

/// `node`, in the directory of the pinned packages, so that programs on its command line find them.
///
/// # Panics
///
/// The packages are not installed.
#[must_use]
pub fn node() -> Command {
    let mut command = system("node");
    // Chromium writes there, whatever its profile is.
    command.env("XDG_CONFIG_HOME", place::base().join("config"));
    command.current_dir(installed(NODE_PINS));
    command
}

/// `hurl`, which the installer builds.
///
/// # Panics
///
/// It is not installed.
#[must_use]
pub fn hurl() -> Command {
    let path = place::base().join("clients/hurl/bin/hurl");
    assert!(path.exists(), "{REMEDY}");
    let mut command = Command::new(path);
    command.envs(place::environment());
    command
}

/// `jco`.
///
/// # Panics
///
/// It is not installed.
#[must_use]
pub fn jco() -> Command {
    let mut command = system("node");
    command.arg(installed(NODE_PINS).join("node_modules/@bytecodealliance/jco/dist/jco.js"));
    command
}

/// The directory of the clients, if they have the pinned versions.
fn installed((pins, copy): (&str, &str)) -> PathBuf {
    let clients = place::base().join("clients");
    let found = fs::read_to_string(clients.join(copy)).unwrap_or_default();
    assert!(found == pins, "{REMEDY}");
    clients
}

/// A client that has exited.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a client with this standard input until it exits.
///
/// # Panics
///
/// It is not installed, or does not exit.
#[must_use]
pub fn run(command: &mut Command, input: impl AsRef<[u8]>) -> Ended {
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdout = child.stdout.take().map(text_of).expect("stdout is piped");
    let stderr = child.stderr.take().map(text_of).expect("stderr is piped");
    let input = input.as_ref();
    let mut stdin = child.stdin.take().expect("stdin is piped");
    thread::scope(|scope| {
        // The client may exit without reading it.
        scope.spawn(move || _ = stdin.write_all(input));
        let texts = stdout.recv_timeout(TIMEOUT).and_then(|out| Ok((out, stderr.recv_timeout(TIMEOUT)?)));
        let Ok((stdout, stderr)) = texts else {
            _ = child.kill();
            panic!("{} does not exit", words_of(command));
        };
        Ended { code: child.wait().expect("it is our child").code(), stdout, stderr }
    })
}

/// Runs a client that must succeed without writing to standard error, and returns its standard output.
///
/// # Panics
///
/// It fails, writes to standard error, is not installed, or does not exit.
pub fn stdout_of(command: &mut Command, input: impl AsRef<[u8]>) -> String {
    let ended = run(command, input);
    assert!(ended.code == Some(0) && ended.stderr.is_empty(), "{}: {ended:#?}", words_of(command));
    ended.stdout
}

/// Starts a client.
///
/// # Panics
///
/// It is not installed.
pub fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{REMEDY} ({}: {error})", words_of(command)))
}

/// A command as typed, without the environment.
fn words_of(command: &Command) -> String {
    let words = iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("{word:?} ")).collect()
}

/// Reads a pipe to its end.
fn text_of(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // The receiver is gone if the wait has timed out.
        _ = pipe.read_to_end(&mut bytes).map(|_| sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}
