//! Compiling in a process of its own: a component that the compiler cannot cope with ends that process, and no other.
//!
//! The process is this program again, with the component on its stdin. It puts what it has compiled into the cache, from
//! which the server then loads it; nothing that it says is run.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use super::{
    cache::{self, Known},
    settings,
};
use crate::{
    base::{
        exit::{Exit, StartError},
        hex::hex,
        limits::EngineLimits,
        size,
    },
    event::{Events, notice::Level},
};

/// After which time somebody who waits wants to know what for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a component is compiled: in a process of its own, within limits.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The program to run: this one.
    pub program: PathBuf,
    /// How long it may take, and how much time of processors it may use.
    pub timeout: Duration,
    /// Octets that it may use.
    pub memory: u64,
    /// What decides how it compiles.
    pub engine_limits: EngineLimits,
}

impl CompileOptions {
    /// How long compiling may take without any flag.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

    /// How many bytes it may use without any flag.
    pub const DEFAULT_MEMORY: u64 = 2 << 30;

    /// By this program, within the limits without any flag.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            timeout: Self::DEFAULT_TIMEOUT,
            memory: Self::DEFAULT_MEMORY,
            engine_limits: EngineLimits::DEFAULT,
        }
    }
}

/// Has components compiled in another process.
pub(super) struct Compiler {
    compile: CompileOptions,
    /// What else decides how a component is compiled: wasmtime's version, its settings, the processor.
    settings: u64,
    known: Known,
    events: Arc<Events>,
}

impl Compiler {
    pub(super) fn new(compile: CompileOptions, engine: &Engine, events: Arc<Events>) -> Self {
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        Self { compile, settings: settings.finish(), known: Known::open(), events }
    }

    /// Makes sure that a component compiles within the limits. One that did so before need not show it again.
    ///
    /// # Errors
    ///
    /// It does not, or it is no component.
    pub(super) fn check(&self, name: &str, octets: &[u8]) -> anyhow::Result<()> {
        let key = self.key(octets);
        if self.known.has(&key) {
            return Ok(());
        }
        let (status, said) = self.run(name, octets)?;
        self.judge(status, &said)?;
        self.known.add(&key);
        Ok(())
    }

    /// A name for this component, compiled by this program.
    fn key(&self, octets: &[u8]) -> String {
        let mut hash = Sha256::new_with_prefix(self.settings.to_le_bytes());
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(octets);
        hex(&hash.finalize())
    }

    /// Runs the other process to its end: how it ended, `None` if it took too long, and what it said.
    fn run(&self, name: &str, octets: &[u8]) -> anyhow::Result<(Option<ExitStatus>, String)> {
        let mut child = Command::new(&self.compile.program)
            .arg("--compile-only")
            .arg(format!("--compile-timeout={}ms", self.compile.timeout.as_millis()))
            .arg(format!("--compile-memory={}", self.compile.memory))
            .args(self.compile.engine_limits.lines.then_some("--debug"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot be compiled by `{}`", self.compile.program.display()))?;
        let said = self.converse(&mut child, name, octets);
        if said.is_none() {
            // It fails only if the child has ended just now.
            _ = child.kill();
        }
        let status = child.wait().context("has lost its compiler")?;
        Ok((said.is_some().then_some(status), said.unwrap_or_default()))
    }

    /// Gives the component to the other process, and hears it out; `None` if it takes too long.
    fn converse(&self, child: &mut Child, name: &str, octets: &[u8]) -> Option<String> {
        let begun = Instant::now();
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        thread::scope(|scope| {
            let (done, is_done) = mpsc::channel();
            scope.spawn(move || {
                // It fails only if the process has ended, and how it has ended says more.
                _ = stdin.map(|mut stdin| stdin.write_all(octets));
                let mut said = Vec::new();
                _ = stderr.map(|mut stderr| stderr.read_to_end(&mut said));
                _ = done.send(String::from_utf8_lossy(&said).into_owned());
            });
            let left = || self.compile.timeout.saturating_sub(begun.elapsed());
            let mut said = is_done.recv_timeout(PATIENCE.min(left()));
            if said == Err(RecvTimeoutError::Timeout) && !left().is_zero() {
                self.events.notice(Level::Info, format!("compiling `{name}`, which is new .."));
                said = is_done.recv_timeout(left());
            }
            if said.is_err() {
                // Else the thread would wait for it without end.
                _ = child.kill();
            }
            said.ok()
        })
    }

    /// What the end of the process says of the component.
    fn judge(&self, status: Option<ExitStatus>, said: &str) -> anyhow::Result<()> {
        let Some(status) = status else {
            let limit = self.compile.timeout.as_secs_f32();
            bail!("takes longer than {limit} s to compile; --compile-timeout gives it more");
        };
        if status.success() {
            return Ok(());
        }
        if is_out_of_time(status) {
            let limit = self.compile.timeout.as_secs_f32();
            bail!("takes more than {limit} s of processor time to compile; --compile-timeout gives it more");
        }
        if ["memory allocation of", "out of memory", "(os error 12)"].iter().any(|sign| said.contains(sign)) {
            bail!("needs more than {} to be compiled; --compile-memory gives it more", size::text(self.compile.memory));
        }
        if status.code() == Some(Exit::Handler.code().into()) {
            bail!("is not a valid component: {said}");
        }
        let said: Vec<&str> = said.lines().take(2).collect();
        bail!("makes the compiler fail ({status}): {}", said.join(" "))
    }
}

#[cfg(unix)]
fn is_out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(rustix::process::Signal::XCPU.as_raw())
}

#[cfg(not(unix))]
fn is_out_of_time(_: ExitStatus) -> bool {
    false
}

/// The other process: limits itself, reads a component from stdin, and compiles it into the cache.
///
/// # Errors
///
/// It is no component ([`Exit::Handler`]), or the process cannot be limited or read ([`Exit::Failed`]). The text is for the
/// server, which puts it into a sentence of its own.
pub(crate) fn compile_only(compile: &CompileOptions) -> Result<Exit, StartError> {
    let failed = |error: anyhow::Error| StartError::bare(Exit::Failed, &error);
    limit(compile).context("no limits").map_err(failed)?;
    let mut octets = Vec::new();
    io::stdin().read_to_end(&mut octets).context("no component").map_err(failed)?;
    let (cache, _) = cache::open();
    let engine = settings::without_pool(cache, &compile.engine_limits).map_err(failed)?;
    match Component::from_binary(&engine, &octets) {
        Ok(_) => Ok(Exit::Done),
        Err(error) => Err(StartError::bare(Exit::Handler, &anyhow::Error::msg(error.root_cause().to_string()))),
    }
}

/// Limits this process: beyond its processor time the system ends it, and beyond its memory it ends itself.
#[cfg(unix)]
fn limit(compile: &CompileOptions) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let set = |resource, soft: u64, hard: u64| {
        // A limit that is lower already stays.
        let hard = rustix::process::getrlimit(resource).maximum.map_or(hard, |maximum| maximum.min(hard));
        setrlimit(resource, Rlimit { current: Some(soft.min(hard)), maximum: Some(hard) })
    };
    // With the end of the server there is nobody who waits for it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let seconds = compile.timeout.as_secs().max(1);
    set(Resource::Cpu, seconds, seconds + 1)?;
    // Not the address space, of which threads and the engine take much that they never use.
    set(Resource::Data, compile.memory, compile.memory)?;
    // What ends it is no reason to write gigabytes to a disk.
    set(Resource::Core, 0, 0)?;
    // Refused where the process is nicer than that already.
    _ = nice(10);
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: &CompileOptions) -> io::Result<()> {
    Ok(())
}
