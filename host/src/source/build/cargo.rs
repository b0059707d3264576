//! Runs cargo to build a handler, and relays and keeps its messages.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirEntry},
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::SystemTime,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::{
    dep_info::{self, sources},
    failure::Failure,
    freshness,
    options::Messages,
    phrases,
};

/// The target that handlers are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// How many bytes of cargo's messages are printed.
const SHOWN_MAX: usize = 1 << 20;

/// How many bytes of cargo's messages are kept.
const KEPT_MAX: usize = 64 << 10;

/// The longest part of a line that is read at once, in bytes.
const LINE_MAX: u64 = 64 << 10;

/// The result of a successful build.
#[derive(Debug)]
pub(super) struct Built {
    /// The component's file.
    pub(super) component: PathBuf,
    /// The files that it was built from, except for those that never change.
    pub(super) sources: Vec<PathBuf>,
}

/// One run of cargo.
#[derive(Debug)]
pub(super) struct Cargo<'a> {
    /// The working directory, which determines the toolchain and cargo's configuration.
    pub(super) directory: &'a Path,
    /// The package's manifest.
    pub(super) manifest: &'a Path,
    /// The program to build.
    pub(super) program: &'a str,
    /// Where cargo writes what it compiles.
    pub(super) output: &'a Path,
    /// Whether that is the target directory of Rust files, and not the crate's own choice.
    pub(super) has_own_output: bool,
    /// Prefixes of paths to replace in the component and in messages. If two match, the later one wins.
    pub(super) renamed: &'a [(&'a Path, &'a Path)],
    /// Whether the component gets line tables.
    pub(super) lines: bool,
    /// Where messages go.
    pub(super) messages: &'a Messages,
}

impl Cargo<'_> {
    /// Runs the build, and adds the wasm target to the toolchain if it is missing. Blocks until cargo has finished.
    ///
    /// # Errors
    ///
    /// The build fails, or a tool is missing.
    pub(super) fn build(&self) -> Result<Built, Failure> {
        let mut built = self.build_once();
        if let Err(Failure { output, .. }) = &built
            && phrases::is_compiler_lost(output)
            && self.has_own_output
        {
            // Cargo caches what it knows about the compiler, even that it failed to run in a directory that no longer
            // exists.
            _ = fs::remove_file(self.output.join(".rustc_info.json"));
            built = self.build_once();
        }
        if let Err(Failure { output, .. }) = &built
            && phrases::is_target_missing(output, TARGET)
            && add_target(self.directory, self.messages)?
        {
            return self.build_once();
        }
        built
    }

    /// Builds the program's tests for this machine, and returns the path of the program that runs them. Blocks until cargo
    /// has finished.
    ///
    /// # Errors
    ///
    /// The build fails, or cargo is not installed.
    pub(super) fn build_tests(&self) -> Result<PathBuf, Failure> {
        let mut command = tool("cargo", self.directory);
        command.args(["rustc", "--profile=test"]);
        self.run(command)
    }

    fn build_once(&self) -> Result<Built, Failure> {
        let mut command = tool("cargo", self.directory);
        command.args(["rustc", "--release"]).arg(format!("--target={TARGET}"));
        if self.lines {
            command.args(["--config", "profile.release.debug=\"line-tables-only\""]);
        }
        let release = self.output.join(TARGET).join("release");
        freshness::forget_changed(self.manifest, &release);
        let component = self.run(command)?;
        let mut sources = sources(&component.with_extension("d"));
        sources.retain(|source| !self.is_output(source));
        freshness::record(self.manifest, &release, &sources);
        Ok(Built { component, sources })
    }

    /// Runs cargo, and returns the path of the program that it built.
    fn run(&self, mut command: Command) -> Result<PathBuf, Failure> {
        let begun = SystemTime::now();
        command.arg("--bin").arg(self.program);
        set_messages(&mut command, self.manifest, self.messages);
        if self.has_own_output {
            command.arg("--target-dir").arg(self.output);
            // Flags for a target replace those for all targets, which in a user's configuration are for the host.
            command.arg("--config").arg(format!("target.{TARGET}.rustflags=[\"--cfg=wasmserve\"]"));
        }
        // So that stacks name the types of generic functions: one of the SDK's often has the handler's function in it.
        command.args(["--", "-Csymbol-mangling-version=v0"]);
        for (from, to) in self.renamed {
            let renamed = [from.as_os_str(), "=".as_ref(), to.as_os_str()];
            command.arg("--remap-path-prefix").arg(renamed.into_iter().collect::<OsString>());
        }
        let program = |message: &Value| {
            let is_it = message["target"]["name"] == self.program;
            message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
        };
        let (status, built, output) = run(&mut command, self.manifest, self.messages, program)?;
        match (status.success(), built) {
            (true, Some(built)) => Ok(built),
            (true, None) => Err(anyhow!("cargo built no program from `{}`", self.program).into()),
            (false, _) => {
                let sources = self.sources_of_failure(&output, begun);
                let line = match phrases::hint(&output, self.has_own_output) {
                    Some(hint) => anyhow!("does not build; {hint}"),
                    None => anyhow!("does not build"),
                };
                Err(Failure { output, line, sources })
            }
        }
    }

    /// The files that a build which began at `begun` and failed has read or looked for, as far as it shows.
    fn sources_of_failure(&self, output: &str, begun: SystemTime) -> Vec<PathBuf> {
        // Rustc lists what it has read if it came far enough.
        let is_new = |entry: &DirEntry| {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            written.is_ok_and(|at| at >= begun)
        };
        let lists = dep_info::lists(&self.output.join(TARGET).join("release"));
        let mut sources: Vec<PathBuf> = lists.filter(is_new).flat_map(|list| sources(&list.path())).collect();
        sources.extend(phrases::paths(output).map(PathBuf::from));
        // The paths are relative to a directory that depends on the workspace, or begin as the user typed them.
        let is_root = |directory: &&Path| *directory == self.directory || directory.join("Cargo.toml").exists();
        let mut roots: Vec<PathBuf> = self.directory.ancestors().filter(is_root).map(Path::to_owned).collect();
        roots.extend(env::current_dir().ok());
        let places = sources.iter().flat_map(|source| roots.iter().map(move |root| root.join(source)));
        places.filter(|place| !self.is_output(place)).collect()
    }

    /// Whether cargo or a build script has written this file, which is not a source then.
    fn is_output(&self, file: &Path) -> bool {
        file.starts_with(self.output.join(TARGET))
    }
}

/// Documents the library with this manifest, with all of its features and for this machine, and returns the path of the
/// first page. Blocks until cargo has finished.
///
/// # Errors
///
/// The documentation cannot be built, or cargo is not installed.
pub(super) fn document(
    directory: &Path,
    manifest: &Path,
    target: &Path,
    messages: &Messages,
) -> Result<PathBuf, Failure> {
    let mut command = tool("cargo", directory);
    command.args(["doc", "--lib", "--no-deps", "--all-features"]).arg("--target-dir").arg(target);
    set_messages(&mut command, manifest, messages);
    // Instead of the user's flags, and without the lints of newer compilers.
    command.env_remove("CARGO_ENCODED_RUSTDOCFLAGS").env("RUSTDOCFLAGS", "--cap-lints=allow");
    let page = |message: &Value| {
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        files.map(PathBuf::from).find(|file| file.ends_with("index.html"))
    };
    let (status, page, output) = run(&mut command, manifest, messages, page)?;
    match (status.success(), page) {
        (true, Some(page)) => Ok(page),
        (true, None) => Err(anyhow!("is missing after cargo has built it").into()),
        (false, _) => {
            let line = anyhow!("does not build; cargo's messages above say why");
            Err(Failure { line, output, sources: Vec::new() })
        }
    }
}

/// Sets how cargo reports what it does, whatever the environment or the user's configuration says: the messages are for
/// the handler's author.
fn set_messages(command: &mut Command, manifest: &Path, messages: &Messages) {
    command.arg("--message-format=json-render-diagnostics").arg("--manifest-path").arg(manifest);
    command.args(["--color", if messages.has_colors() { "always" } else { "never" }]);
    command.args(["--config", "term.verbose=false", "--config", "term.progress.when=\"never\""]);
}

/// Runs cargo to the end and relays its messages. Returns its exit status, the path that `find` takes from the last
/// artifact that has one, and the beginning of the messages.
///
/// # Errors
///
/// Cargo is not installed or cannot be run.
fn run(
    command: &mut Command,
    manifest: &Path,
    messages: &Messages,
    find: impl Fn(&Value) -> Option<PathBuf> + Send,
) -> Result<(ExitStatus, Option<PathBuf>, String), Failure> {
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (found, output) = thread::scope(|scope| {
        let found = scope.spawn(move || stdout.and_then(|stdout| artifact(stdout, find)));
        let output = stderr
            .map(|stderr| relay(BufReader::new(stderr), |line| messages.line(line), manifest))
            .unwrap_or_default();
        (found.join().ok().flatten(), output)
    });
    let status = child.wait().context("cannot wait for cargo")?;
    Ok((status, found, output))
}

/// Relays cargo's messages line by line, except for the lines that it has finished and that it compiles our own
/// package. Returns the beginning of the messages.
fn relay(mut messages: impl BufRead, show: impl Fn(&[u8]), manifest: &Path) -> String {
    let directory = manifest.parent().unwrap_or(manifest).display().to_string();
    let (mut kept, mut shown, mut left_out) = (String::new(), 0, 0);
    let mut line = Vec::new();
    while messages.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if !phrases::is_progress_of(&text, &directory) {
            shown += line.len();
            if kept.len() + text.len() <= KEPT_MAX {
                kept += &text;
            }
            if shown <= SHOWN_MAX {
                show(line.strip_suffix(b"\n").unwrap_or(&line));
            } else {
                left_out += 1;
            }
        }
        line.clear();
    }
    if left_out > 0 {
        show(format!("({left_out} more lines)").as_bytes());
    }
    kept
}

/// Finds a path in cargo's JSON messages about artifacts. The last one counts.
fn artifact(stdout: ChildStdout, find: impl Fn(&Value) -> Option<PathBuf>) -> Option<PathBuf> {
    let mut stdout = BufReader::new(stdout);
    let (mut line, mut found) = (String::new(), None);
    while stdout.read_line(&mut line).is_ok_and(|length| length > 0) {
        if let Ok(message) = serde_json::from_str::<Value>(&line)
            && message["reason"] == "compiler-artifact"
            && let Some(file) = find(&message)
        {
            found = Some(file);
        }
        line.clear();
    }
    found
}

/// Adds the wasm target to the toolchain if it is missing, with a message. Returns whether it was added.
///
/// # Errors
///
/// The target is missing and cannot be added.
pub(super) fn add_target(directory: &Path, messages: &Messages) -> Result<bool, Failure> {
    let mut rustc = tool("rustc", directory);
    let output = rustc.args(["--print=target-libdir", "--target", TARGET]).output();
    let libraries = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        // Cargo reports the problem better.
        _ => return Ok(false),
    };
    if Path::new(&libraries).is_dir() {
        return Ok(false);
    }
    let adds = format!("rustup target add {TARGET}");
    // Its stdout would be mistaken for ours.
    let mut rustup = tool("rustup", directory);
    rustup.args(["target", "add", TARGET]).stdout(Stdio::null());
    if matches!(messages, Messages::Log(_)) {
        // Its progress is for a terminal.
        rustup.stderr(Stdio::null());
    }
    let rustup = rustup.spawn();
    let Ok(mut rustup) = rustup else {
        let remedy = "rustup, which could add it, is not installed; install Rust from https://rustup.rs";
        return Err(anyhow!("needs the target {TARGET}, which this toolchain does not have, and {remedy}").into());
    };
    messages.report(&format!("the target {TARGET} is missing; adding it with `{adds}`"));
    let status = rustup.wait().context("cannot wait for rustup")?;
    if !status.success() {
        return Err(anyhow!("needs the target {TARGET}, and `{adds}` failed ({status})").into());
    }
    Ok(true)
}

/// Runs the tests that [`Cargo::build_tests`] has built. Blocks until they have ended.
///
/// # Errors
///
/// The program cannot be run.
pub(super) fn run_tests(
    tests: &Path,
    directory: &Path,
    manifest: &Path,
    arguments: &[OsString],
) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new(tests);
    // As cargo sets it.
    command.env("CARGO_MANIFEST_DIR", manifest.parent().unwrap_or(directory));
    command.args(arguments).current_dir(directory).status().context("has tests that cannot be run")
}

/// Runs a crate's tests. Blocks until they have ended.
///
/// # Errors
///
/// Cargo is not installed.
pub(super) fn test(directory: &Path, arguments: &[OsString]) -> Result<ExitStatus, Failure> {
    let mut command = tool("cargo", directory);
    let mut child = spawn(command.arg("test").arg("--").args(arguments))?;
    Ok(child.wait().context("cannot wait for cargo")?)
}

/// Finds the program of a crate that is the handler, and where cargo writes what it compiles.
///
/// # Errors
///
/// The crate has no program, or has several and does not set `default-run`.
pub(super) fn program(directory: &Path, manifest: &Path, messages: &Messages) -> Result<(String, PathBuf), Failure> {
    let mut command = tool("cargo", directory);
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?
        .wait_with_output()
        .context("cannot wait for cargo")?;
    if !output.status.success() {
        let output = relay(&*output.stderr, |line| messages.line(line), manifest);
        let sources = phrases::paths(&output).map(|path| directory.join(path)).collect();
        return Err(Failure { line: anyhow!("is not a crate that cargo can read"), output, sources });
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cannot parse the output of `cargo metadata`")?;
    // Cargo can be configured to separate the two.
    let output = metadata["build_directory"].as_str().or(metadata["target_directory"].as_str()).unwrap_or_default();
    Ok((choose(&metadata, manifest)?, PathBuf::from(output)))
}

fn choose(metadata: &Value, manifest: &Path) -> anyhow::Result<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let is_it = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let Some(package) = packages.iter().find(is_it) else {
        let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
        bail!("is a workspace without a root package; name the directory of one of {}", names.join(", "));
    };
    if let Some(name) = package["default_run"].as_str() {
        return Ok(name.to_owned());
    }
    let targets = list(&package["targets"]);
    let is_program = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "bin");
    let names: Vec<&str> = targets.iter().filter(is_program).filter_map(|target| target["name"].as_str()).collect();
    match *names {
        [name] => Ok(name.to_owned()),
        [] => bail!("has no program to serve; a handler is a `src/main.rs` with `handler!` in it"),
        _ => bail!(
            "has several programs ({}); choose one in its Cargo.toml, as in default-run = \"{}\"",
            names.join(", "),
            names[0]
        ),
    }
}

/// The variables with flags for the compiler that do not name a target. They are for the host: with
/// `-C target-cpu=native` rustc prints thousands of lines when it compiles for wasm, and wasm's linker knows no
/// `-fuse-ld`. `CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS` is for handlers, and stays.
const HOST_FLAGS: [&str; 3] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"];

/// A command that runs one of Rust's tools in a directory.
fn tool(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(directory).stdin(Stdio::null());
    for flags in HOST_FLAGS {
        command.env_remove(flags);
    }
    command
}

fn spawn(command: &mut Command) -> Result<Child, Failure> {
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("is built from Rust, and cargo is not installed; install Rust from https://rustup.rs").into()
        }
        _ => anyhow!(error).context("cannot run cargo").into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(names: &[&str], default_run: Option<&str>) -> Value {
        let mut targets: Vec<Value> = names.iter().map(|name| json!({ "name": name, "kind": ["bin"] })).collect();
        targets.push(json!({ "name": "library", "kind": ["lib"] }));
        let package =
            json!({ "name": "p", "manifest_path": "/p/Cargo.toml", "targets": targets, "default_run": default_run });
        json!({ "packages": [package] })
    }

    #[test]
    fn a_crate_has_one_program_or_sets_default_run() {
        let choose =
            |metadata: &Value, manifest: &str| choose(metadata, Path::new(manifest)).map_err(|e| e.to_string());
        assert_eq!(choose(&metadata(&["a"], None), "/p/Cargo.toml"), Ok("a".into()));
        assert_eq!(choose(&metadata(&["a", "b"], Some("b")), "/p/Cargo.toml"), Ok("b".into()));
        assert!(choose(&metadata(&[], None), "/p/Cargo.toml").is_err_and(|error| error.contains("no program")));
        let several = choose(&metadata(&["a", "b"], None), "/p/Cargo.toml");
        assert!(several.is_err_and(|error| error.contains("(a, b)") && error.contains("default-run = \"a\"")));
        assert!(choose(&metadata(&["a"], None), "/Cargo.toml").is_err_and(|error| error.contains("one of p")));
    }

    #[test]
    fn kept_messages_are_limited() {
        let messages =
            format!("{}\nshort\n    Finished `release` profile [optimized] target(s) in 0.1s\n", "x".repeat(200_000));
        let kept = relay(messages.as_bytes(), |_| {}, Path::new("/p/Cargo.toml"));
        assert!(kept.len() <= KEPT_MAX && !kept.contains("Finished"));
    }
}
