//! Cargo, run for a handler: what it says goes on to the terminal as it comes, and is kept for who has to see it later.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::failure::Failure;

/// What handlers are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// How much of what cargo says is shown.
const SHOWN_MAX: usize = 1 << 20;

/// How much of it is kept.
const KEPT_MAX: usize = 64 << 10;

/// A line, or a part of one that has no end.
const LINE_MAX: u64 = 64 << 10;

/// A build that went well.
#[derive(Debug)]
pub(super) struct Built {
    /// The component's file.
    pub(super) component: PathBuf,
    /// The files that it was built from, as far as they may change.
    pub(super) sources: Vec<PathBuf>,
}

/// How to run cargo.
#[derive(Debug)]
pub(super) struct Cargo<'a> {
    /// Where, which decides about the toolchain and about cargo's configuration.
    pub(super) directory: &'a Path,
    /// The package's manifest.
    pub(super) manifest: &'a Path,
    /// The program to build.
    pub(super) program: &'a str,
    /// Cargo's target directory; what cargo takes itself if `None`.
    pub(super) target: Option<PathBuf>,
    /// What of paths is shown as something else: prefixes, and what is shown instead. Of two that fit, the later one counts.
    pub(super) renamed: &'a [(&'a Path, &'a Path)],
    /// Whether the component gets files and lines for its stacks.
    pub(super) lines: bool,
    /// Whether what is said may have colours.
    pub(super) color: bool,
}

impl Cargo<'_> {
    /// Builds. What is missing of the toolchain is added, and said.
    ///
    /// # Errors
    ///
    /// It does not build, or the tools for it are not there.
    pub(super) fn build(&self) -> Result<Built, Failure> {
        let mut built = self.build_once();
        if let Err(Failure { output, .. }) = &built
            && output.contains("failed to run `rustc`")
            && let Some(target) = &self.target
        {
            // Cargo keeps what it has learnt of the compiler, even that it could not run in a directory that was gone.
            _ = fs::remove_file(target.join(".rustc_info.json"));
            built = self.build_once();
        }
        if let Err(Failure { output, .. }) = &built
            && output.contains("E0463")
            && output.contains(TARGET)
            && add_target(self.directory)?
        {
            return self.build_once();
        }
        built
    }

    fn build_once(&self) -> Result<Built, Failure> {
        let mut command = tool("cargo", self.directory);
        command.args(["rustc", "--release", "--message-format=json-render-diagnostics"]);
        command.arg(format!("--target={TARGET}")).arg("--bin").arg(self.program);
        command.arg("--manifest-path").arg(self.manifest);
        command.args(["--color", if self.color { "always" } else { "never" }]);
        if let Some(target) = &self.target {
            command.arg("--target-dir").arg(target);
        }
        if self.lines {
            command.args(["--config", "profile.release.debug=\"line-tables-only\""]);
        }
        command.arg("--");
        for (from, to) in self.renamed {
            let renamed = [from.as_os_str(), "=".as_ref(), to.as_os_str()];
            command.arg("--remap-path-prefix").arg(renamed.into_iter().collect::<OsString>());
        }
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let (component, output) = self.listen(&mut child);
        let status = child.wait().context("cargo is lost")?;
        match (status.success(), component) {
            (true, Some(component)) => Ok(Built { sources: sources(&component), component }),
            (true, None) => Err(anyhow!("cargo has built no component of `{}`", self.program).into()),
            (false, _) => Err(Failure { output, line: anyhow!("does not build") }),
        }
    }

    /// Hears cargo out: where the component is, and what was said.
    fn listen(&self, child: &mut Child) -> (Option<PathBuf>, String) {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            let component = scope.spawn(move || stdout.and_then(|stdout| component(stdout, self.program)));
            let output =
                stderr.map(|stderr| relay(BufReader::new(stderr), io::stderr(), self.manifest)).unwrap_or_default();
            (component.join().ok().flatten(), output)
        })
    }
}

/// Passes on what cargo says, except for what says nothing: that it has finished, and that it compiles a package of ours. Gives
/// the beginning of it.
fn relay(mut said: impl BufRead, mut terminal: impl io::Write, manifest: &Path) -> String {
    let ours = format!("({})", manifest.parent().unwrap_or(manifest).display());
    let (mut kept, mut shown, mut left_out) = (String::new(), 0, 0);
    let mut line = Vec::new();
    while said.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if !(text.contains("Finished") && text.contains("target(s) in") || text.contains(&ours)) {
            shown += line.len();
            if kept.len() + text.len() <= KEPT_MAX {
                kept += &text;
            }
            if shown <= SHOWN_MAX {
                // If nobody reads it, building goes on.
                _ = terminal.write_all(&line);
            } else {
                left_out += 1;
            }
        }
        line.clear();
    }
    if left_out > 0 {
        _ = writeln!(terminal, "({left_out} lines more)");
    }
    kept
}

/// The component's file, out of cargo's messages.
fn component(stdout: ChildStdout, program: &str) -> Option<PathBuf> {
    let mut stdout = BufReader::new(stdout);
    let (mut line, mut found) = (String::new(), None);
    while stdout.read_line(&mut line).is_ok_and(|length| length > 0) {
        if let Ok(message) = serde_json::from_str::<Value>(&line)
            && message["reason"] == "compiler-artifact"
            && message["target"]["name"] == program
            && let Some(file) = message["executable"].as_str()
        {
            found = Some(PathBuf::from(file));
        }
        line.clear();
    }
    found
}

/// The files that a component was built from, out of the list that cargo writes beside it.
fn sources(component: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_to_string(component.with_extension("d")).unwrap_or_default();
    let (_, list) = list.split_once(": ").unwrap_or_default();
    // A space in a name has a backslash before it.
    let names = list.trim_end().replace("\\ ", "\0");
    names.split(' ').filter(|name| !name.is_empty()).map(|name| name.replace('\0', " ").into()).collect()
}

/// Adds the target to the toolchain if it is missing, and says so. Gives whether it was.
///
/// # Errors
///
/// It is missing, and cannot be added.
pub(super) fn add_target(directory: &Path) -> Result<bool, Failure> {
    let mut rustc = tool("rustc", directory);
    let output = rustc.args(["--print=target-libdir", "--target", TARGET]).output();
    let libraries = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        // Cargo says better what is wrong.
        _ => return Ok(false),
    };
    if Path::new(&libraries).is_dir() {
        return Ok(false);
    }
    let adds = format!("rustup target add {TARGET}");
    // Its stdout would be taken for ours.
    let rustup = tool("rustup", directory).args(["target", "add", TARGET]).stdout(Stdio::null()).spawn();
    let Ok(mut rustup) = rustup else {
        let remedy = "there is no rustup to add it; install Rust from https://rustup.rs";
        return Err(anyhow!("needs the target {TARGET}, which this Rust has not, and {remedy}").into());
    };
    _ = writeln!(io::stderr(), "wasmserve: the target {TARGET} is missing; adding it: {adds}");
    let status = rustup.wait().context("rustup is lost")?;
    if !status.success() {
        return Err(anyhow!("needs the target {TARGET}, and `{adds}` has failed ({status})").into());
    }
    Ok(true)
}

/// The one program of a crate that is a handler.
///
/// # Errors
///
/// It has none, or several and does not say which.
pub(super) fn program(directory: &Path, manifest: &Path) -> Result<String, Failure> {
    let mut command = tool("cargo", directory);
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output =
        spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output().context("cargo is lost")?;
    if !output.status.success() {
        return Err(Failure {
            line: anyhow!("is no crate that cargo knows"),
            output: relay(&*output.stderr, io::stderr(), manifest),
        });
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo speaks another language")?;
    Ok(choose(&metadata, manifest)?)
}

fn choose(metadata: &Value, manifest: &Path) -> anyhow::Result<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let is_it = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let Some(package) = packages.iter().find(is_it) else {
        let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
        bail!("is a workspace without a package of its own; name the directory of one of {}", names.join(", "));
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
            "has several programs ({}); say in its Cargo.toml which is meant: default-run = \"{}\"",
            names.join(", "),
            names[0]
        ),
    }
}

/// One of Rust's tools, as it is in that directory.
fn tool(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(directory).stdin(Stdio::null());
    command
}

fn spawn(command: &mut Command) -> Result<Child, Failure> {
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("is Rust, and there is no cargo to build it; install Rust from https://rustup.rs").into()
        }
        _ => anyhow!(error).context("cargo does not start").into(),
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
    fn a_crate_has_one_program_or_says_which_is_meant() {
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
    fn what_is_said_is_kept_up_to_a_bound() {
        let said =
            format!("{}\nshort\n    Finished `release` profile [optimized] target(s) in 0.1s\n", "x".repeat(200_000));
        let kept = relay(said.as_bytes(), io::sink(), Path::new("/p/Cargo.toml"));
        assert!(kept.len() <= KEPT_MAX && !kept.contains("Finished"));
    }
}
