//! The clients that people use: where `tests/clients/install` has put them, and what they say.

use std::{
    env, fs,
    io::{Read, Write as _},
    iter,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::{PATIENCE, place};

/// What is to be done if a client is not there, or not the one that is pinned.
const REMEDY: &str = "run tests/clients/install";

/// The pins, and where the installer leaves a copy of them.
const PYTHON_PINS: (&str, &str) = (include_str!("../clients/requirements.txt"), "venv/requirements.txt");
const NODE_PINS: (&str, &str) = (include_str!("../clients/package-lock.json"), "node_modules/package-lock.json");

/// A program of the system, such as `curl`.
#[must_use]
pub fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    // Where nginx is, and not every user's PATH goes.
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin".into()]);
    command.env("PATH", env::join_paths(directories).expect("they were joined before"));
    command.envs(place::environment());
    command
}

/// The Python that has the pinned packages.
///
/// # Panics
///
/// They are not installed.
#[must_use]
pub fn python() -> Command {
    let mut command = Command::new(installed(PYTHON_PINS).join("venv/bin/python"));
    command.envs(place::environment());
    command
}

/// `node`, in the directory of the pinned packages: programs that it is given on the command line find them there.
///
/// # Panics
///
/// They are not installed.
#[must_use]
pub fn node() -> Command {
    let mut command = system("node");
    command.current_dir(installed(NODE_PINS));
    command
}

/// Where the clients are, if they are the ones that are pinned.
fn installed((pins, copy): (&str, &str)) -> PathBuf {
    let clients = place::base().join("clients");
    let found = fs::read_to_string(clients.join(copy)).unwrap_or_default();
    assert!(found == pins, "{REMEDY}");
    clients
}

/// A client that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// What it wrote there.
    pub stdout: String,
    /// What it wrote there.
    pub stderr: String,
}

/// Runs a client that reads this to its end.
///
/// # Panics
///
/// It is not installed, or does not end.
#[must_use]
pub fn run(command: &mut Command, input: impl AsRef<[u8]>) -> Ended {
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdout = child.stdout.take().map(text_of).expect("stdout is piped");
    let stderr = child.stderr.take().map(text_of).expect("stderr is piped");
    let input = input.as_ref();
    let mut stdin = child.stdin.take().expect("stdin is piped");
    thread::scope(|scope| {
        // It may not want it.
        scope.spawn(move || _ = stdin.write_all(input));
        let texts = stdout.recv_timeout(PATIENCE).and_then(|out| Ok((out, stderr.recv_timeout(PATIENCE)?)));
        let Ok((stdout, stderr)) = texts else {
            _ = child.kill();
            panic!("{} does not end", words_of(command));
        };
        Ended { code: child.wait().expect("it is our child").code(), stdout, stderr }
    })
}

/// What a client prints that has nothing to complain of.
///
/// # Panics
///
/// It has, or is not installed, or does not end.
pub fn told(command: &mut Command, input: impl AsRef<[u8]>) -> String {
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

/// A command as it was typed, without the environment.
fn words_of(command: &Command) -> String {
    let words = iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("{word:?} ")).collect()
}

/// All that comes out of a pipe, once it has ended.
fn text_of(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut octets = Vec::new();
        // Whoever does not wait any more does not need it.
        _ = pipe.read_to_end(&mut octets).map(|_| sender.send(String::from_utf8_lossy(&octets).into_owned()));
    });
    receiver
}
