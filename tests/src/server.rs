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
    PATIENCE,
    client::{Client, Response},
    guest, place,
};

/// A server to be started.
pub struct Launch {
    command: Command,
}

/// Runs a server that must not start, and checks that it says why in one line.
///
/// # Panics
///
/// It starts, or says something else.
pub fn refuses(launch: Launch, code: i32, parts: &[&str]) -> String {
    let ended = launch.run();
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let text = ended.stderr.strip_suffix('\n').expect("it ends in a line end");
    // A machine that has much else to do may be told that compiling takes its time.
    let notice = text.lines().next().filter(|line| line.starts_with("wasmserve: compiling `") && line.ends_with(".."));
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
    /// One that serves the guest of that name on a free port.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self::file(guest::program(name))
    }

    /// One that serves a file on a free port.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self::bare().flags([path]).flags(["--addr", "127.0.0.1:0"])
    }

    /// One that serves guests on a free port, each below its name: `hello` at `/hello`.
    #[must_use]
    pub fn mounted(names: &[&str]) -> Self {
        let mount = |name: &&str| [String::from("--mount"), format!("/{name}={}", guest::program(name).display())];
        Self::bare().flags(["--addr", "127.0.0.1:0"]).flags(names.iter().flat_map(mount))
    }

    /// `wasmserve` without a word behind it.
    #[must_use]
    pub fn bare() -> Self {
        let mut command = Command::new(guest::server());
        command.envs(place::environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// The same with more words behind it.
    #[must_use]
    pub fn flags(mut self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(flags);
        self
    }

    /// The same with another variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same with so many file descriptors at first, and so many if it asks for them.
    #[must_use]
    pub fn descriptors(self, soft: u32, hard: u32) -> Self {
        self.within_shell(&format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\""), Stdio::null())
    }

    /// The same with so many KiB of addresses.
    #[must_use]
    pub fn addresses(self, kib: u64) -> Self {
        self.within_shell(&format!("ulimit -v {kib} && exec \"$0\" \"$@\""), Stdio::null())
    }

    /// The same with a socket passed to it as systemd does it: as descriptor 3, and variables that say so, of which these
    /// may be others.
    #[must_use]
    pub fn passing(self, socket: impl Into<OwnedFd>, variables: &str) -> Self {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 {variables} exec \"$0\" \"$@\" 3<&0 0</dev/null");
        self.within_shell(&script, socket.into().into())
    }

    /// The same in a process group of its own, as a shell starts it for somebody at a terminal.
    #[must_use]
    pub fn as_a_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// The same, killed when this process ends, however that is: nobody drops what is static.
    fn until_we_end(self) -> Self {
        // The other end of its stdin is ours.
        let script = "exec 3<&0; \"$0\" \"$@\" 3<&- </dev/null & read -r _ <&3; kill -9 $!";
        self.within_shell(script, Stdio::piped())
    }

    /// The same by a shell that runs this with the command line as its words.
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

    /// The same with its stdout in a file.
    ///
    /// # Panics
    ///
    /// It cannot be written.
    #[must_use]
    pub fn into_file(mut self, path: &Path) -> Self {
        self.command.stdout(File::create(path).expect("it is writable"));
        self
    }

    /// The same in another directory.
    #[must_use]
    pub fn at(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Starts it, waits until it listens, and from then on does not read what it writes to stderr: see
    /// [`read_on`](Server::read_on).
    ///
    /// # Panics
    ///
    /// It does not come to that.
    #[must_use]
    pub fn start_unread(self) -> Server {
        self.spawn_and_read(|line| !line.starts_with(READY)).wait_until_ready()
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// It does not come to that.
    #[must_use]
    pub fn start(self) -> Server {
        self.spawn().wait_until_ready()
    }

    /// Runs one that is not to listen to its end: what it says, and how it ends.
    ///
    /// # Panics
    ///
    /// It listens.
    #[must_use]
    pub fn run(self) -> Ended {
        let server = self.spawn();
        let goes_on = |state: &State| !state.is_at_end && !state.lines.iter().any(|line| line.starts_with(READY));
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

    /// Starts one whose stderr is read up to the first line of which this is not true.
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

/// How the line begins by which a server says that it listens.
const READY: &str = "listening on http://";

/// A server that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// What it wrote there.
    pub stdout: String,
    /// What it wrote there.
    pub stderr: String,
}

/// Where a server listens: all that is needed by those who only look at their own exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    addr: SocketAddr,
}

impl Door {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A new connection to it.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The response to a request of these octets on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// The response to a GET on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }
}

/// A server that runs for all tests that want the same guest with the same flags, for as long as this process does. So there is
/// only its door: whoever wants to read its log or its statistics, to stop it or to keep it busy needs one of their own, and
/// so does whoever cares for the numbers of exchanges. When a test fails the end of its log is shown, of whichever tests.
pub struct Shared(&'static Server);

impl Shared {
    /// The one that serves the guest of that name without any flag.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// The one that serves the guest of that name with these flags.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn with(name: &str, flags: &[&str]) -> Self {
        static ALL: Mutex<BTreeMap<Vec<String>, &Server>> = Mutex::new(BTreeMap::new());
        let words = [&[name], flags].concat().into_iter().map(str::to_owned).collect();
        // A server that does not start has told one test why, and tells the next one.
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

/// A server that runs. It is killed when it is dropped, and when a test fails its log is shown.
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
    /// Serves the guest of that name without any flag.
    #[must_use]
    pub fn start(program: &str) -> Self {
        Launch::program(program).start()
    }

    fn wait_until_ready(mut self) -> Self {
        let ready = self.line(|line| line.starts_with(READY));
        self.door.addr = ready[READY.len()..].parse().expect("the line ends in an address");
        self
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of the log of which this is true, as soon as it is there.
    ///
    /// # Panics
    ///
    /// It never comes.
    pub fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let find = |state: &State| state.lines.iter().find(|line| is_it(line)).cloned();
        let found = find(&self.log.wait_while(|state| !state.is_at_end && find(state).is_none()));
        found.expect("the line comes")
    }

    /// The lines of the log of which this is true, as soon as there are so many.
    ///
    /// # Panics
    ///
    /// There are never so many.
    pub fn lines(&self, count: usize, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let find = |state: &State| state.lines.iter().filter(|line| is_it(line)).cloned().collect::<Vec<_>>();
        let found = find(&self.log.wait_while(|state| !state.is_at_end && find(state).len() < count));
        assert!(found.len() >= count, "the lines come");
        found
    }

    /// The first line of the log with this in it, as soon as it is there.
    ///
    /// # Panics
    ///
    /// It never comes.
    pub fn line_with(&self, part: &str) -> String {
        self.line(|line| line.contains(part))
    }

    /// All lines of the log, as soon as they are enough; or what there is of them when that does not come.
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

    /// Waits until so many new handlers are served.
    pub fn served_anew(&self, times: usize) {
        self.lines(times, |line| line.contains("serving the new"));
    }

    /// Waits until its handler was so often not as it should be: what it says of that.
    pub fn kept(&self, times: usize) -> Vec<String> {
        self.lines(times, |line| line.ends_with("still serving the previous version"))
    }

    /// Whether it has the system tell it of changes.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn watches(&self) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("Linux tells");
        let mut links = open.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        links.any(|link| link.ends_with("anon_inode:inotify"))
    }

    /// Shows the end of its log if a test has failed.
    fn show_if_panicking(&self) {
        if thread::panicking() {
            let lines = self.log();
            let last = lines.len().saturating_sub(50);
            let mut text = format!("--- log of {} ({last} lines left out)\n", self.door.addr);
            for line in &lines[last..] {
                _ = writeln!(text, "{line}");
            }
            #[expect(clippy::print_stderr, reason = "it helps to see why a test failed")]
            {
                eprint!("{text}");
            }
        }
    }

    /// From now on nobody can read its stdout.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.child.stdout = None;
        self
    }

    /// From now on its stderr is read.
    pub fn read_on(&self) {
        self.log.lock().is_paused = false;
        self.log.news.notify_all();
    }

    /// Waits for its end without reading what it writes: the exit code.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[must_use]
    pub fn wait_unread(mut self) -> Option<i32> {
        // That is closed when it has ended.
        let mut stdout = self.child.stdout.take().expect("stdout is piped");
        let (ended, end) = mpsc::channel();
        thread::spawn(move || _ = stdout.read_to_end(&mut Vec::new()).map(|_| ended.send(())));
        assert!(end.recv_timeout(PATIENCE).is_ok(), "the server does not end");
        self.child.wait().expect("it is our child").code()
    }

    /// From now on it may have so many file descriptors.
    ///
    /// # Panics
    ///
    /// It has ended, or it may not have that many.
    pub fn limit_descriptors(&self, limit: usize) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(limit as u64), maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("Linux lets us");
    }

    /// Asks it to stop.
    ///
    /// # Panics
    ///
    /// It has ended already.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Asks it what runs until this is true of its log, which has to be where nothing else tells how far a handler is: what
    /// another connection's says about it is nothing, as each core has a thread of its own.
    ///
    /// # Panics
    ///
    /// It never is.
    pub fn ask_by(&self, signal: Signal, is_enough: impl Fn(&[String]) -> bool) {
        let is_report = |line: &&String| line.ends_with(" running:") || *line == "no handler is running";
        let reports = |log: &[String]| log.iter().filter(is_report).count();
        let deadline = Instant::now() + PATIENCE;
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

    /// Asks its whole process group to stop, as Ctrl-C does: see [`as_a_group`](Launch::as_a_group).
    ///
    /// # Panics
    ///
    /// It has ended already.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Waits for its end: the exit code and the whole log.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[must_use]
    pub fn wait(mut self) -> (Option<i32>, Vec<String>) {
        let is_at_end = self.log.wait_while(|state| !state.is_at_end).is_at_end;
        assert!(is_at_end, "the server does not end");
        let code = self.child.wait().expect("it is our child").code();
        (code, self.log())
    }

    /// Waits for its end: how it ended, and all that it has written.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        let pipe = self.child.stdout.as_mut().expect("stdout is piped");
        pipe.read_to_string(&mut stdout).expect("the server speaks UTF-8");
        let (code, lines) = self.wait();
        Ended { code, stdout, stderr: lines.iter().flat_map(|line| [line, "\n"]).collect() }
    }

    /// Has it stop as an administrator would: the whole log.
    ///
    /// # Panics
    ///
    /// It does not end well.
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
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("Linux tells").count()
    }

    /// How many of them are images of components' memories, which it makes when an instance needs one and gives back with its
    /// pool.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn images(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("Linux tells");
        let targets = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        targets.filter(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")).count()
    }

    /// How many the system has room for before it makes more.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn descriptor_room(&self) -> u64 {
        self.status("FDSize:")
    }

    /// How long it has computed, on all threads together.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    #[must_use]
    pub fn computed(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux tells");
        let fields = stat.rsplit_once(')').expect("the name is in parentheses").1.split_whitespace();
        // utime and stime, the 14th and the 15th of all.
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("it is a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// How much memory it occupies, in octets.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:") << 10
    }

    /// The most memory that it ever occupied since the start or [`forget_peak`](Self::forget_peak), in octets.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:") << 10
    }

    /// From now on [`peak`](Self::peak) is counted anew.
    ///
    /// # Panics
    ///
    /// This is not Linux.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("Linux lets us");
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux tells");
        let line = status.lines().find(|line| line.starts_with(name)).expect("it is one of the lines");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
        self.read_on();
        self.show_if_panicking();
    }
}

/// What a server has written to stderr.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    is_at_end: bool,
    is_paused: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics in here")
    }

    /// Waits until this is no longer true, or until it takes too long.
    fn wait_while(&self, goes_on: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.news.wait_timeout_while(self.lock(), PATIENCE, |state| goes_on(state));
        waited.expect("nobody panics in here").0
    }

    /// Reads until the server closes it, so that it never has to wait for us; or pauses where it does not go on.
    fn read(&self, stderr: ChildStderr, goes_on: impl Fn(&str) -> bool) {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut state = self.lock();
            state.is_paused = !goes_on(&line);
            state.lines.push(line);
            self.news.notify_all();
            drop(self.news.wait_while(state, |state| state.is_paused).expect("nobody panics in here"));
        }
        self.lock().is_at_end = true;
        self.news.notify_all();
    }
}
