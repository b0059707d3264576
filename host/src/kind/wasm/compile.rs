//! Compiles components in a child process, so that a compiler failure cannot take the server down.
//!
//! The child is this program again, with the component on its stdin. It puts the compiled code into the cache, and the
//! server loads it from there. The server never runs anything that the child prints.

use std::{
    ffi::OsStr,
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
use wasmtime::{Engine, Module, component::Component};

use super::{
    cache::{self, Known},
    phrases, preview1,
    settings::{self, Abi},
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

/// The first argument of the child process. It is not a flag for users, so that no help and no completion has it.
fn first_argument(abi: Abi) -> &'static str {
    match abi {
        Abi::Sync => "--compile-only",
        Abi::Async => "--compile-only-async",
    }
}

/// What this process is to compile for, if it is such a child.
pub(crate) fn is_child(first: &OsStr) -> Option<Abi> {
    [Abi::Sync, Abi::Async].into_iter().find(|abi| first == first_argument(*abi))
}

/// How long compiling may take before a notice explains the wait.
const NOTICE_AFTER: Duration = Duration::from_secs(1);

/// How the child process compiles a component, and within which limits.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The path of this program.
    pub program: PathBuf,
    /// How long compiling may take, in wall-clock time and in processor time.
    pub timeout: Duration,
    /// How many bytes of memory the child may use.
    pub memory: u64,
    /// The engine limits, which are part of the compiler's settings.
    pub engine_limits: EngineLimits,
}

impl CompileOptions {
    /// The default of `--compile-timeout`.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

    /// The default of `--compile-memory`, in bytes.
    pub const DEFAULT_MEMORY: u64 = 2 << 30;

    /// Options with the default limits. `program` is the path of this program.
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

/// How long compiling our own code may take: ten seconds of processor time, on a machine that is busy with other work.
const OWN_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs the child processes that compile components.
pub(super) struct Compiler {
    compile: CompileOptions,
    known: Known,
    events: Arc<Events>,
}

impl Compiler {
    pub(super) fn new(compile: CompileOptions, events: Arc<Events>) -> Self {
        Self { compile, known: Known::open(), events }
    }

    /// Checks that a component compiles within the limits for `engine`, which is one of this ABI. Returns at once if it
    /// is known to; otherwise blocks until the child has compiled it.
    ///
    /// # Errors
    ///
    /// Compiling exceeds a limit or fails, or the bytes are not a component.
    pub(super) fn check(&self, abi: Abi, engine: &Engine, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.check_within(self.compile.timeout, abi, engine, name, bytes)
    }

    /// Like [`check`](Self::check), for code of our own, for which the user has set no limit of time.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub(super) fn check_own(&self, engine: &Engine, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.check_within(OWN_TIMEOUT, Abi::Sync, engine, name, bytes)
    }

    fn check_within(
        &self,
        timeout: Duration,
        abi: Abi,
        engine: &Engine,
        name: &str,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let key = key(engine, bytes);
        if self.known.has(&key) {
            return Ok(());
        }
        let (status, output) = self.run(timeout, abi, name, bytes)?;
        judge(status, &output, timeout, self.compile.memory)?;
        self.known.add(&key);
        Ok(())
    }

    /// Runs the child until it exits. Returns its exit status, `None` if it took too long, and its stderr.
    fn run(
        &self,
        timeout: Duration,
        abi: Abi,
        name: &str,
        bytes: &[u8],
    ) -> anyhow::Result<(Option<ExitStatus>, String)> {
        let mut child = Command::new(&self.compile.program)
            .arg(first_argument(abi))
            .arg(format!("--compile-timeout={}ms", timeout.as_millis()))
            .arg(format!("--compile-memory={}", self.compile.memory))
            .args(self.compile.engine_limits.lines.then_some("--debug"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot be compiled: failed to run `{}`", self.compile.program.display()))?;
        let output = self.communicate(&mut child, timeout, name, bytes);
        if output.is_none() {
            // Fails only if the child has just exited.
            _ = child.kill();
        }
        let status = child.wait().context("cannot be compiled: the compiler process was lost")?;
        Ok((output.is_some().then_some(status), output.unwrap_or_default()))
    }

    /// Writes the component to the child and returns its stderr; `None` if it takes too long.
    fn communicate(&self, child: &mut Child, timeout: Duration, name: &str, bytes: &[u8]) -> Option<String> {
        let begun = Instant::now();
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        thread::scope(|scope| {
            let (done, is_done) = mpsc::channel();
            scope.spawn(move || {
                // Fails only if the child has exited, and its exit status says more.
                _ = stdin.map(|mut stdin| stdin.write_all(bytes));
                let mut output = Vec::new();
                _ = stderr.map(|mut stderr| stderr.read_to_end(&mut output));
                _ = done.send(String::from_utf8_lossy(&output).into_owned());
            });
            let left = || timeout.saturating_sub(begun.elapsed());
            let mut output = is_done.recv_timeout(NOTICE_AFTER.min(left()));
            if output == Err(RecvTimeoutError::Timeout) && !left().is_zero() {
                self.events.notice(Level::Info, format!("compiling `{name}` for the first time…"));
                output = is_done.recv_timeout(left());
            }
            if output.is_err() {
                // Otherwise the thread would wait for the child forever.
                _ = child.kill();
            }
            output.ok()
        })
    }
}

/// Turns the child's exit status into a verdict on the component.
fn judge(status: Option<ExitStatus>, output: &str, timeout: Duration, memory: u64) -> anyhow::Result<()> {
    let Some(status) = status else {
        let limit = timeout.as_secs_f32();
        bail!("takes longer than {limit} s to compile; raise --compile-timeout");
    };
    if status.success() {
        return Ok(());
    }
    if is_out_of_time(status) {
        let limit = timeout.as_secs_f32();
        bail!("takes more than {limit} s of processor time to compile; raise --compile-timeout");
    }
    if phrases::is_out_of_memory(output) {
        bail!("needs more than {} of memory to compile; raise --compile-memory", size::text(memory));
    }
    if status.code() == Some(Exit::Handler.code().into()) {
        if phrases::is_cut_off(output) {
            bail!("is not a valid component: it is cut off; build or copy it again");
        }
        bail!("is not a valid component: {output}");
    }
    let lines: Vec<&str> = output.lines().take(2).collect();
    bail!("crashes the compiler ({status}): {}", lines.join(" "))
}

/// A unique name for this component as compiled by this program.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    // Everything else that affects compiling: wasmtime's version, its settings and the processor.
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let mut hash = Sha256::new_with_prefix(settings.finish().to_le_bytes());
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(bytes);
    hex(&hash.finalize())
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

/// The child process: limits itself, reads a component from stdin and compiles it into the cache.
///
/// # Errors
///
/// The input is not a component ([`Exit::Handler`]), or the process cannot set its limits or read its input
/// ([`Exit::Failed`]). The server embeds the text in a message of its own.
pub(crate) fn compile_only(abi: Abi, compile: &CompileOptions) -> Result<Exit, StartError> {
    let failed = |error: anyhow::Error| StartError::bare(Exit::Failed, &error);
    limit(compile).context("cannot set limits").map_err(failed)?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context("cannot read the component").map_err(failed)?;
    let (cache, _) = cache::open();
    let engine = settings::without_pool(abi, cache, &compile.engine_limits).map_err(failed)?;
    let compiled = match preview1::is_core_module(&bytes) {
        true => Module::from_binary(&engine, &bytes).map(drop),
        false => Component::from_binary(&engine, &bytes).map(drop),
    };
    match compiled {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(StartError::bare(Exit::Handler, &anyhow::Error::msg(error.root_cause().to_string()))),
    }
}

/// Limits this process. The system kills it when it exceeds its processor time; it aborts when it exceeds its memory.
#[cfg(unix)]
fn limit(compile: &CompileOptions) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let set = |resource, soft: u64, hard: u64| {
        // Keeps a limit that is already lower.
        let hard = rustix::process::getrlimit(resource).maximum.map_or(hard, |maximum| maximum.min(hard));
        setrlimit(resource, Rlimit { current: Some(soft.min(hard)), maximum: Some(hard) })
    };
    // Nothing needs the result once the server has exited.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let seconds = compile.timeout.as_secs().max(1);
    set(Resource::Cpu, seconds, seconds + 1)?;
    // Not the address space: threads and the engine reserve much more than they use.
    set(Resource::Data, compile.memory, compile.memory)?;
    // A core dump could take gigabytes of disk.
    set(Resource::Core, 0, 0)?;
    // Fails if the process already has a lower priority.
    _ = nice(10);
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: &CompileOptions) -> io::Result<()> {
    Ok(())
}
