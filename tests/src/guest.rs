//! Guest components and the server, built by cargo when a test first needs them.
//!
//! Cargo itself reports where everything is, so no test runs a stale build. Guests that no compiler would generate are
//! written as text, in `tests/programs/*.wat`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{LazyLock, Mutex, PoisonError},
};

use serde_json::{Deserializer, Value};

use crate::{place, server::Launch};

/// Packages whose binaries are guests.
const PACKAGES: [&str; 2] = ["--package=wasmserve-examples", "--package=wasmserve-test-programs"];

/// Packages whose binaries are guests for the benchmark.
const MEASURED_PACKAGES: [&str; 2] = ["--package=wasmserve-examples", "--package=wasmserve-bench-guests"];

type Built = Result<BTreeMap<String, PathBuf>, String>;

static GUESTS: LazyLock<Built> = LazyLock::new(|| {
    let mut guests = build(&[&PACKAGES[..], &["--bins", "--target=wasm32-wasip2"]].concat())?;
    guests.extend(translate()?);
    guests.extend(python()?);
    Ok(guests)
});
/// Built in the same profile as the server; the guests of the tests are debug builds.
static MEASURED: LazyLock<Built> =
    LazyLock::new(|| build(&[&MEASURED_PACKAGES[..], &["--bins", "--target=wasm32-wasip2"], PROFILE].concat()));
static SERVER: LazyLock<Built> = LazyLock::new(|| build(&[&["--workspace", "--bin=wasmserve"], PROFILE].concat()));
static EXAMPLE_HOST: LazyLock<Built> = LazyLock::new(|| build(&[&["--workspace", "--example=host"], PROFILE].concat()));
static BENCHMARK: LazyLock<Built> =
    LazyLock::new(|| build(&[&["--workspace", "--bin=wasmserve-bench"], PROFILE].concat()));

/// The server is built in the profile of the tests, so that a release test measures a release build.
const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// The component with this name, from `examples/` or `tests/programs/`, or the file in `tests/python/`.
///
/// # Panics
///
/// There is no such guest, or the guests do not build.
#[must_use]
pub fn program(name: &str) -> &'static Path {
    let guests = GUESTS.as_ref().unwrap_or_else(|problem| panic!("{problem}"));
    guests.get(name).unwrap_or_else(|| panic!("no guest is named `{name}`; there are {:?}", guests.keys()))
}

/// What `wasmserve export` makes of the program with this name.
///
/// # Panics
///
/// It cannot be exported.
#[must_use]
pub fn exported(name: &str) -> &'static Path {
    static ALL: Mutex<BTreeMap<String, &Path>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(name.to_owned()).or_insert_with(|| {
        let path = place::guests().join(format!("{name}.exported.{}.wasm", process::id()));
        let ended = Launch::bare().flags(["export"]).flags([program(name)]).flags(["-o"]).flags([&path]).run();
        assert_eq!(ended.code, Some(0), "{name} cannot be exported: {ended:?}");
        Box::leak(path.into_boxed_path())
    })
}

/// The component with this name, from `examples/` or `tests/bench/guests/`, built in the profile of the server.
///
/// # Panics
///
/// There is no such guest, or the guests do not build.
#[must_use]
pub fn measured(name: &str) -> &'static Path {
    let guests = MEASURED.as_ref().unwrap_or_else(|problem| panic!("{problem}"));
    guests.get(name).unwrap_or_else(|| panic!("no guest is named `{name}`; there are {:?}", guests.keys()))
}

/// The server: `wasmserve`.
///
/// # Panics
///
/// It does not build.
#[must_use]
pub fn server() -> &'static Path {
    &SERVER.as_ref().unwrap_or_else(|problem| panic!("{problem}"))["wasmserve"]
}

/// The host in the documentation of `wasmserve-gateway`.
///
/// # Panics
///
/// It does not build.
#[must_use]
pub fn example_host() -> &'static Path {
    &EXAMPLE_HOST.as_ref().unwrap_or_else(|problem| panic!("{problem}"))["host"]
}

/// The benchmark: `wasmserve-bench`.
///
/// # Panics
///
/// It does not build.
#[must_use]
pub fn benchmark() -> &'static Path {
    &BENCHMARK.as_ref().unwrap_or_else(|problem| panic!("{problem}"))["wasmserve-bench"]
}

/// Builds binaries with cargo, and returns their names and paths.
fn build(what: &[&str]) -> Built {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The variables that cargo has set for this program must not reach build scripts that read them. They would run
    // again and their dependents would be compiled again, in turn with `cargo test` itself.
    for (name, _) in env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let output = command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(what)
        // Flags for the tests must not apply to what they test.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(problem(what, &String::from_utf8_lossy(&output.stderr)));
    }
    let messages = Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let built = messages.filter_map(|message| {
        let message = message.expect("cargo prints JSON");
        Some((message["target"]["name"].as_str()?.to_owned(), message["executable"].as_str()?.into()))
    });
    Ok(built.collect())
}

/// The applications in Python, which nothing is built of.
fn python() -> Built {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/python")).map_err(|error| error.to_string())?;
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
    Ok(files.flatten().filter_map(|file| named(file.path())).collect())
}

/// Translates the guests that are written as text.
fn translate() -> Built {
    let directory = place::guests();
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/programs")).map_err(|error| error.to_string())?;
    let texts = files.flatten().map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "wat"));
    let translated = texts.map(|text| {
        let bytes = wat::parse_file(&text).map_err(|error| error.to_string())?;
        let name = text.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = directory.join(&name).with_extension("wasm");
        // Another process may be reading it.
        let new = directory.join(format!("{name}.{}", process::id()));
        fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path)).map_err(|error| error.to_string())?;
        Ok((name, path))
    });
    translated.collect()
}

/// Describes a failed build, with the remedy if it is known.
fn problem(what: &[&str], stderr: &str) -> String {
    let has_no_std = ["E0463", "can't find crate for `core`", "can't find crate for `std`"];
    if has_no_std.iter().any(|sign| stderr.contains(sign)) {
        return "the wasm32-wasip2 target is missing. This adds it:\n\n    rustup target add wasm32-wasip2\n".into();
    }
    format!("`cargo build {}` failed:\n\n{stderr}", what.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_is_reported_with_its_remedy() {
        let stderr =
            "error[E0463]: can't find crate for `core`\n  = note: the `wasm32-wasip2` target may not be installed";
        assert!(problem(&[], stderr).contains("rustup target add wasm32-wasip2"));
        assert!(problem(&["--bins"], "error: no").contains("`cargo build --bins` failed:\n\nerror: no"));
    }
}
