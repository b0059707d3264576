//! The real server, as a process.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    ops::Deref,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit};

use crate::{
    TIMEOUT,
    client::{Client, Response},
    guest, place,
};

/// A server that is about to be started.
pub struct Launch {
    command: Command,
}

/// Runs a server that must fail to start, and checks that it reports the reason on one line.
///
/// # Panics
///
/// It starts, or prints something else.
pub fn refuses(launch: Launch, code: i32, parts: &[&str]) -> String {
    let ended = launch.run();
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let text = ended.stderr.strip_suffix('\n').expect("the output ends in a line end");
    // On a busy machine, the server may first print that compiling takes time.
    let notice = text.lines().next().filter(|line| line.starts_with("wasmserve: compiling `") && line.ends_with('…'));
    let line = notice.and_then(|notice| text.strip_prefix(notice)).map_or(text, str::trim_start);
    assert!(line.starts_with("wasmserve: ") && !line.contains('\n'), "one line: {line}");
    for unwanted in ["panicked", "backtrace", "RUST_BACKTRACE", "Caused by"] {
        assert!(!line.contains(unwanted), "{line}");
    }
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    line.to_owned()
}

impl Launch {
    /// A server for the guest with this name, on a free port.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self::file(guest::program(name))
    }

    /// A server for a file, on a free port.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self::bare().flags([path]).flags(["--addr", "127.0.0.1:0"])
    }

    /// A server for guests on a free port, each mounted at its name: `hello` at `/hello`.
    #[must_use]
    pub fn mounted(names: &[&str]) -> Self {
        let mount = |name: &&str| [String::from("--mount"), format!("/{name}={}", guest::program(name).display())];
        Self::bare().flags(["--addr", "127.0.0.1:0"]).flags(names.iter().flat_map(mount))
    }

    /// `wasmserve` without arguments.
    #[must_use]
    pub fn bare() -> Self {
        let mut command = Command::new(guest::server());
        command.envs(place::environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// Another program than ours. All that it writes is its log. It is killed with all that it has started, also when this
    /// process ends, in whatever way.
    #[must_use]
    pub fn foreign(command: Command) -> Self {
        // This process holds the other end of the shell's stdin. Ctrl-C reaches the shell as well. It closes its output, so
        // that the log ends with the program.
        let script = "exec 3<&0; setsid \"$0\" \"$@\" 3<&- </dev/null 1>&2 &
            trap '' HUP INT QUIT TERM; exec >&- 2>&-; read -r _ <&3; kill -9 -$!; wait";
        Self { command }.within_shell(script, Stdio::piped())
    }

    /// Adds arguments.
    #[must_use]
    pub fn flags(mut self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(flags);
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the soft and the hard limit of file descriptors.
    #[must_use]
    pub fn descriptors(self, soft: u32, hard: u32) -> Self {
        self.within_shell(&format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\""), Stdio::null())
    }

    /// Starts it with a disk of this many MiB at `directory`, which no other process sees.
    #[must_use]
    pub fn on_a_small_disk(self, directory: &Path, mib: u64) -> Self {
        let directory = directory.display();
        let mount = format!("mount -t tmpfs -o size={mib}m none \"$1\" && shift && exec \"$@\"");
        self.within_shell(&format!("exec unshare -rm sh -c '{mount}' sh '{directory}' \"$0\" \"$@\""), Stdio::null())
    }

    /// Limits the address space to this many KiB.
    #[must_use]
    pub fn addresses(self, kib: u64) -> Self {
        self.within_shell(&format!("ulimit -v {kib} && exec \"$0\" \"$@\""), Stdio::null())
    }

    /// Starts it with this signal ignored, as `nohup` does with `HUP`.
    #[must_use]
    pub fn ignoring(self, signal: &str) -> Self {
        self.within_shell(&format!("trap '' {signal} && exec \"$0\" \"$@\""), Stdio::null())
    }

    /// Passes a socket as systemd does it: as descriptor 3, with variables that describe it. These variables may
    /// override them.
    #[must_use]
    pub fn passing(self, socket: impl Into<OwnedFd>, variables: &str) -> Self {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 {variables} exec \"$0\" \"$@\" 3<&0 0</dev/null");
        self.within_shell(&script, socket.into().into())
    }

    /// Passes two sockets, as descriptors 3 and 4.
    #[must_use]
    pub fn passing_both(self, first: impl Into<OwnedFd>, second: impl Into<OwnedFd>) -> Self {
        // The second one comes in as stdout, which the shell replaces with its stderr.
        let script = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\" 3<&0 4<&1 0</dev/null 1>&2";
        let mut launch = self.within_shell(script, first.into().into());
        launch.command.stdout(Stdio::from(second.into()));
        launch
    }

    /// Puts the server into its own process group, as a shell does at a terminal.
    #[must_use]
    pub fn as_a_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Kills the server when this process ends, in whatever way: statics are never dropped.
    fn until_we_end(self) -> Self {
        // This process holds the other end of its stdin.
        let script = "exec 3<&0; \"$0\" \"$@\" 3<&- </dev/null & read -r _ <&3; kill -9 $!";
        self.within_shell(script, Stdio::piped())
    }

    /// Runs this script in a shell, with the command line as its arguments.
    fn within_shell(mut self, script: &str, stdin: Stdio) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        let variables = self.command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(variables);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// Writes the server's stdout to a file.
    ///
    /// # Panics
    ///
    /// The file cannot be created.
    #[must_use]
    pub fn into_file(mut self, path: &Path) -> Self {
        self.command.stdout(File::create(path).expect("the file can be created"));
        self
    }

    /// Starts the server in another directory.
    #[must_use]
    pub fn at(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Starts it, waits until it listens, and from then on does not read its stderr: see [`read_on`](Server::read_on).
    ///
    /// # Panics
    ///
    /// It does not start to listen.
    #[must_use]
    pub fn start_unread(self) -> Server {
        self.spawn_and_read(|line| url(line).is_none()).wait_until_ready()
    }

    /// Starts it, waits until it listens, and closes the other end of its stderr.
    ///
    /// # Panics
    ///
    /// It does not start to listen.
    #[must_use]
    pub fn start_deaf(self) -> Server {
        let server = self.start_unread();
        server.log.lock().is_closed = true;
        server.read_on();
        drop(server.log.wait_while(|state| !state.is_at_end));
        server
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// It does not start to listen.
    #[must_use]
    pub fn start(self) -> Server {
        self.spawn().wait_until_ready()
    }

    /// Runs a server that must not listen until it exits, and returns its output and exit code.
    ///
    /// # Panics
    ///
    /// It listens.
    #[must_use]
    pub fn run(self) -> Ended {
        let server = self.spawn();
        let goes_on = |state: &State| !state.is_at_end && !state.lines.iter().any(|line| url(line).is_some());
        let is_at_end = server.log.wait_while(goes_on).is_at_end;
        assert!(is_at_end, "the server has started");
        server.end()
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    #[must_use]
    pub fn spawn(self) -> Server {
        self.spawn_and_read(|_| true)
    }

    /// Starts a server, and reads its stderr up to and including the first line for which `goes_on` is false.
    fn spawn_and_read(mut self, goes_on: impl Fn(&str) -> bool + Send + 'static) -> Server {
        let mut child = self.command.spawn().expect("the server can be spawned");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::<Log>::default();
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(stderr, goes_on)
        });
        Server { child, door: Door { addr: ([0, 0, 0, 0], 0).into() }, log }
    }
}

/// The URL in the line with which a server reports that it listens, as text or as JSON; ours, `wasmtime` or `jco`.
fn url(line: &str) -> Option<String> {
    let url = line.strip_prefix("listening on ").or_else(|| line.strip_prefix("Serving HTTP on ")?.strip_suffix('/'));
    if let Some(url) = url {
        return Some(url.to_owned());
    }
    if let Some(addr) = line.strip_prefix("Server listening @ ") {
        return Some(format!("http://{}", addr.trim_end_matches('.')));
    }
    let object: serde_json::Value = serde_json::from_str(line).ok()?;
    (object["event"] == "listening").then(|| object["urls"][0].as_str().map(str::to_owned))?
}

/// A server that has exited.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The address of a server: enough for tests that only look at their own exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    addr: SocketAddr,
}

impl Door {
    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A new connection to it.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends a request of these bytes on its own connection, and reads the response.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// Sends a GET on its own connection, and reads the response.
    pub fn get(&self, target: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }
}

/// A server for all tests that need the same guest with the same flags, until this process ends. It only offers
/// [`Door`]. A test needs its own server to read the log or the statistics, to stop the server, to keep it busy, or to
/// rely on the numbers of exchanges. If a test fails, the end of the log is shown; the lines may be from other tests.
pub struct Shared(&'static Server);

impl Shared {
    /// The server for the guest with this name, without flags.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// The server for the guest with this name, with these flags.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn with(name: &str, flags: &[&str]) -> Self {
        static ALL: Mutex<BTreeMap<Vec<String>, &Server>> = Mutex::new(BTreeMap::new());
        let words = [&[name], flags].concat().into_iter().map(str::to_owned).collect();
        // If the server does not start, the panic poisons the lock, and the next test fails for the same reason.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        Self(all.entry(words).or_insert_with(|| {
            let launch = Launch::program(name).flags(flags).until_we_end();
            Box::leak(Box::new(launch.start()))
        }))
    }
}

impl Deref for Shared {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.0.door
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.show_if_panicking();
    }
}

/// A running server. It is killed when it is dropped, and its log is shown if a test fails.
pub struct Server {
    child: Child,
    door: Door,
    log: Arc<Log>,
}

impl Deref for Server {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Server {
    /// Starts a server for the guest with this name, without flags.
    #[must_use]
    pub fn start(program: &str) -> Self {
        Launch::program(program).start()
    }

    fn wait_until_ready(mut self) -> Self {
        let ready = self.line(|line| url(line).is_some());
        let url = url(&ready).expect("the line has a URL");
        self.door.addr =
            url.strip_prefix("http://").and_then(|addr| addr.parse().ok()).expect("the URL has an address");
        self
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first log line that matches.
    ///
    /// # Panics
    ///
    /// There is no such line.
    pub fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let find = |state: &State| state.lines.iter().find(|line| is_it(line)).cloned();
        let found = find(&self.log.wait_while(|state| !state.is_at_end && find(state).is_none()));
        found.expect("the log has the line")
    }

    /// Waits until this many log lines match, and returns them.
    ///
    /// # Panics
    ///
    /// There are not enough lines.
    pub fn lines(&self, count: usize, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let find = |state: &State| state.lines.iter().filter(|line| is_it(line)).cloned().collect::<Vec<_>>();
        let found = find(&self.log.wait_while(|state| !state.is_at_end && find(state).len() < count));
        assert!(found.len() >= count, "the log has enough lines");
        found
    }

    /// Waits for the first log line that contains this text.
    ///
    /// # Panics
    ///
    /// There is no such line.
    pub fn line_with(&self, part: &str) -> String {
        self.line(|line| line.contains(part))
    }

    /// Waits until the lines of the log are enough, and returns all of them; the lines so far if that takes too long.
    #[must_use]
    pub fn log_with(&self, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let state = self.log.wait_while(|state| !state.is_at_end && !is_enough(&state.lines));
        state.lines.clone()
    }

    /// All lines of the log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().lines.clone()
    }

    /// Waits until this many new versions of handlers are being served.
    pub fn served_anew(&self, times: usize) {
        self.lines(times, |line| line.contains("serving the new"));
    }

    /// Waits until a new version was rejected this many times, and returns the lines that report it.
    pub fn kept(&self, times: usize) -> Vec<String> {
        self.lines(times, |line| line.ends_with("still serving the previous version"))
    }

    /// Whether the server watches files through the kernel (inotify).
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn watches(&self) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc is readable");
        let mut links = open.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        links.any(|link| link.ends_with("anon_inode:inotify"))
    }

    /// Prints the end of the log if a test has failed.
    fn show_if_panicking(&self) {
        if thread::panicking() {
            let lines = self.log();
            let last = lines.len().saturating_sub(50);
            let mut text = format!("--- log of {} ({last} lines left out)\n", self.door.addr);
            for line in &lines[last..] {
                _ = writeln!(text, "{line}");
            }
            #[expect(clippy::print_stderr, reason = "it shows why a test failed")]
            {
                eprint!("{text}");
            }
        }
    }

    /// Closes the read end of its stdout.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.child.stdout = None;
        self
    }

    /// Resumes reading its stderr.
    pub fn read_on(&self) {
        self.log.lock().is_paused = false;
        self.log.changed.notify_all();
    }

    /// Waits until it exits, without reading what it writes, and returns the exit code.
    ///
    /// # Panics
    ///
    /// It does not exit.
    #[must_use]
    pub fn wait_unread(mut self) -> Option<i32> {
        // The pipe is closed when the server has exited.
        let mut stdout = self.child.stdout.take().expect("stdout is piped");
        let (ended, end) = mpsc::channel();
        thread::spawn(move || _ = stdout.read_to_end(&mut Vec::new()).map(|_| ended.send(())));
        assert!(end.recv_timeout(TIMEOUT).is_ok(), "the server does not exit");
        self.child.wait().expect("it is our child").code()
    }

    /// Limits its file descriptors from now on.
    ///
    /// # Panics
    ///
    /// It has exited, or the limit is too high.
    pub fn limit_descriptors(&self, limit: usize) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(limit as u64), maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit)
            .expect("we may set the limits of our child");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// It has exited.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Asks for the running handlers until the log satisfies `is_enough`. Needed where nothing else shows how far a
    /// handler is. A response on another connection shows nothing, because each core has its own thread.
    ///
    /// # Panics
    ///
    /// The log never satisfies it.
    pub fn ask_by(&self, signal: Signal, is_enough: impl Fn(&[String]) -> bool) {
        let is_report = |line: &&String| line.ends_with(" running:") || *line == "no handler is running";
        let reports = |log: &[String]| log.iter().filter(is_report).count();
        let deadline = Instant::now() + TIMEOUT;
        let mut asked = reports(&self.log());
        loop {
            self.signal(signal);
            asked += 1;
            let log = self.log_with(|log| reports(log) >= asked);
            if is_enough(&log) {
                return;
            }
            assert!(Instant::now() < deadline, "{log:#?}");
        }
    }

    /// Sends a signal to its process group, as Ctrl-C does: see [`as_a_group`](Launch::as_a_group).
    ///
    /// # Panics
    ///
    /// It has exited.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Waits until it exits, and returns the exit code and the whole log.
    ///
    /// # Panics
    ///
    /// It does not exit.
    #[must_use]
    pub fn wait(mut self) -> (Option<i32>, Vec<String>) {
        let is_at_end = self.log.wait_while(|state| !state.is_at_end).is_at_end;
        assert!(is_at_end, "the server does not exit; its threads:\n{}", threads(self.child.id()));
        let code = self.child.wait().expect("it is our child").code();
        (code, self.log())
    }

    /// Waits until it exits, and returns the exit code and all that it has written.
    ///
    /// # Panics
    ///
    /// It does not exit.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        if let Some(pipe) = &mut self.child.stdout {
            pipe.read_to_string(&mut stdout).expect("stdout is UTF-8");
        }
        let (code, lines) = self.wait();
        Ended { code, stdout, stderr: lines.iter().flat_map(|line| [line, "\n"]).collect() }
    }

    /// Stops it as an administrator would, and returns the whole log.
    ///
    /// # Panics
    ///
    /// The exit code is not 0.
    pub fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (code, lines) = self.wait();
        assert_eq!(code, Some(0), "{lines:#?}");
        lines
    }

    /// How many file descriptors it has open.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc is readable").count()
    }

    /// How many of its descriptors are images of component memories. The server creates an image when an instance needs
    /// it, and closes it with the pool.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn images(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc is readable");
        let targets = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        targets.filter(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")).count()
    }

    /// The size of its descriptor table. The kernel enlarges it when it is full.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn descriptor_room(&self) -> u64 {
        self.status("FDSize:")
    }

    /// Its CPU time, all threads together.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc is readable");
        let fields = stat.rsplit_once(')').expect("the name is in parentheses").1.split_whitespace();
        // utime and stime, fields 14 and 15.
        let ticks: u64 =
            fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("the field is a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:") << 10
    }

    /// Its peak resident memory since the start or the last [`forget_peak`](Self::forget_peak), in bytes.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:") << 10
    }

    /// Resets [`peak`](Self::peak).
    ///
    /// # Panics
    ///
    /// This is not Linux.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("we may reset the peak of our child");
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc is readable");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the status has this line");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("the field is a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A shell that waits for the end of its stdin kills the program.
        if self.child.stdin.take().is_none() {
            _ = self.child.kill();
        }
        // Both fail only if it has exited.
        _ = self.child.wait();
        self.read_on();
        self.show_if_panicking();
    }
}

/// What a server has written to stderr.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    is_at_end: bool,
    is_paused: bool,
    is_closed: bool,
}

/// What the threads of a process do, as far as the system shows it: their names, states, times and calls.
fn threads(id: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let read = |task: &Path, name: &str| fs::read_to_string(task.join(name)).unwrap_or_else(|error| error.to_string());
    let show = |task: &Path| {
        let stat = read(task, "stat");
        let numbers: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let shown = [0, 11, 12].map(|at| numbers.get(at).copied().unwrap_or_default());
        format!(
            "{} {shown:?} {} {}",
            read(task, "comm").trim(),
            read(task, "wchan").trim(),
            read(task, "syscall").trim()
        )
    };
    tasks.map(|task| show(&task.path())).collect::<Vec<_>>().join("\n")
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// Waits until this is no longer true, or until the timeout.
    fn wait_while(&self, goes_on: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), TIMEOUT, |state| goes_on(state));
        waited.expect("no thread panics while it holds the lock").0
    }

    /// Reads until the server closes its stderr, so that the server never blocks on it; or pauses after a line for
    /// which `goes_on` is false.
    fn read(&self, stderr: ChildStderr, goes_on: impl Fn(&str) -> bool) {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut state = self.lock();
            state.is_paused = !goes_on(&line);
            state.lines.push(line);
            self.changed.notify_all();
            let state = self.changed.wait_while(state, |state| state.is_paused);
            if state.expect("no thread panics while it holds the lock").is_closed {
                break;
            }
        }
        self.lock().is_at_end = true;
        self.changed.notify_all();
    }
}
