//! Puts into the program what it carries with it: the SDK's sources, and handlers that are useful every day.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is how cargo is told something")]

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

/// What handlers are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// The examples that are in the program as components.
const GUESTS: [&str; 2] = ["echo", "logsink"];

/// What the guests are made of, and how, below the workspace's directory.
const INGREDIENTS: [&str; 6] =
    ["Cargo.lock", "Cargo.toml", "examples/Cargo.toml", "guest-sdk/Cargo.toml", "guest-sdk/src", "host/build.rs"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where this package is"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    let workspace = here.join("..");
    let examples = GUESTS.map(|name| format!("examples/{name}.rs"));
    for ingredient in INGREDIENTS.into_iter().chain(examples.iter().map(String::as_str)) {
        println!("cargo::rerun-if-changed={}", workspace.join(ingredient).display());
    }
    embed_sdk(&workspace.join("guest-sdk"), &out);
    provide_target();
    build_guests(&workspace, &out);
}

/// Adds the target to the toolchain if it is missing: rustup takes it from rust-toolchain.toml only when it installs the
/// toolchain, and most have that already.
fn provide_target() {
    // rustup's proxies have told the toolchain in RUSTUP_TOOLCHAIN, so that all who are asked here speak of the same one.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let ask = |what| PathBuf::from(said(Command::new(&rustc).args(["--print", what, "--target", TARGET])));
    let (sysroot, libraries) = (ask("sysroot"), ask("target-libdir"));
    // If it is gone one day, this runs again, and brings it for the tests as well.
    println!("cargo::rerun-if-changed={}", libraries.display());

    // Two rustups at once can leave a target that is neither there nor missing. What is locked is the toolchain, so that no file
    // is left behind; where a directory cannot be locked, as on Windows, two builds that begin together may have to be repeated.
    let _toolchain = File::open(sysroot).and_then(|sysroot| sysroot.lock().map(|()| sysroot));
    if libraries.is_dir() {
        return;
    }
    let adds = format!("rustup target add {TARGET}");
    match Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).output() {
        Err(_) => {
            fail(&format!("this Rust has no target {TARGET}, and there is no rustup to add it: see https://rustup.rs"))
        }
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("{said}");
            let why = said.lines().rfind(|line| line.starts_with("error")).unwrap_or("it does not say why");
            fail(&format!("the target {TARGET} is missing, and this has failed to add it: {adds} ({why})"));
        }
        Ok(_) if !libraries.is_dir() => fail(&format!(
            "rustup has added the target {TARGET}, but not to the Rust that builds this: {}",
            rustc.display()
        )),
        Ok(_) => println!("cargo::warning=the target {TARGET} was missing and has been added: {adds}"),
    }
}

/// Has cargo build the guests, small, in a directory of their own: the one of who builds us is locked.
fn build_guests(workspace: &Path, out: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args(["build", "--locked", "--release", "--target", TARGET]);
    cargo.args(["--package=wasmserve-examples", "--target-dir"]).arg(out.join("guests"));
    cargo.args(GUESTS.map(|name| format!("--bin={name}")));
    cargo.envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"), ("CARGO_PROFILE_RELEASE_LTO", "true")]);
    // What wraps our compiler, as clippy does, and what it was told, is not for guests; nor are our places in its queue.
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS"]
    {
        cargo.env_remove(name);
    }
    let output = cargo.stdin(Stdio::null()).output().expect("cargo, which runs this, starts once more");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        fail("the handlers that the program carries with it do not build, see above");
    }
}

/// What a program prints, without the end of its line.
fn said(command: &mut Command) -> OsString {
    let output = command.stdin(Stdio::null()).output().expect("rustc, which compiles this, starts once more");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        fail("rustc does not tell about itself, see above");
    }
    String::from_utf8_lossy(&output.stdout).trim_end().into()
}

fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    process::exit(1)
}

/// Writes a list of the SDK's files as an expression: pairs of the path and the text.
fn embed_sdk(sdk: &Path, out: &Path) {
    let manifest = read(&sdk.join("Cargo.toml")).replace("\n[lints]\nworkspace = true\n", "");
    // The comment on top speaks to those who see the workspace.
    let manifest = manifest.trim_start_matches(|char| char != '[');
    assert!(!manifest.contains("workspace"), "guest-sdk/Cargo.toml must not inherit what it has not got elsewhere");
    let mut files = vec![format!("({:?}, {manifest:?})", "Cargo.toml")];

    let mut sources = Vec::new();
    collect(&sdk.join("src"), &mut sources);
    sources.sort();
    for source in sources {
        let name = source.strip_prefix(sdk).expect("it is below").to_string_lossy().replace('\\', "/");
        files.push(format!("({name:?}, include_str!({source:?}))"));
    }
    fs::write(out.join("sdk.rs"), format!("&[\n{}\n]", files.join(",\n"))).expect("cargo's directory is writable");
}

/// All files in a directory, however deep.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("it is readable").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
