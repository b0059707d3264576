//! Embeds the SDK's sources, the built-in handlers, the provider of exported handlers and the parts of Python in the program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "build scripts communicate with cargo on stdout")]

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

/// The target that handlers are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// The target that the provider is compiled for: there, the standard library imports nothing.
const BARE_TARGET: &str = "wasm32-unknown-unknown";

/// The examples that are embedded as components: their names, and where they are in `examples/`.
const GUESTS: [(&str, &str); 5] = [
    ("echo", "echo.rs"),
    ("logsink", "logsink.rs"),
    ("auth", "filters/auth.rs"),
    ("cors", "filters/cors.rs"),
    ("delay-and-fail", "filters/delay_and_fail.rs"),
];

/// The files that the guests are built from, relative to the workspace.
const INPUTS: [&str; 12] = [
    "Cargo.lock",
    "Cargo.toml",
    "examples/Cargo.toml",
    "guest-sdk/Cargo.toml",
    "guest-sdk/src",
    "host/build.rs",
    "host/gateway/Cargo.toml",
    "host/gateway/src",
    "host/passwords/Cargo.toml",
    "host/passwords/src",
    "host/provider/Cargo.toml",
    "host/provider/src",
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let workspace = here.join("..");
    let examples = GUESTS.map(|(_, file)| format!("examples/{file}"));
    for input in INPUTS.into_iter().chain(examples.iter().map(String::as_str)) {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    embed_sdk(&workspace.join("guest-sdk"), &out);
    provide_target(TARGET);
    provide_target(BARE_TARGET);
    build_guests(&workspace, &out);
    build_provider(&workspace, &out);
    embed_python(&out);
}

/// The crate that contains CPython for wasm: its interpreter, its C library and its standard library. It is not a
/// dependency, because only these files are needed and not its code, which depends on another wasmtime.
const PYTHON: &str = "componentize-py";
const PYTHON_VERSION: &str = "0.25.1";

/// The files of that crate that are embedded.
const PYTHON_PARTS: [&str; 7] = [
    "libcomponentize_py_runtime_sync.so.zst",
    "libpython3.14.so.zst",
    "libc.so.zst",
    "libwasi-emulated-process-clocks.so.zst",
    "libwasi-emulated-getpid.so.zst",
    "libwasi-emulated-signal.so.zst",
    "python-lib.tar.zst",
];

/// Embeds the parts of Python. Without them the program works, except that it serves no Python.
fn embed_python(out: &Path) {
    println!("cargo::rustc-check-cfg=cfg(has_python)");
    println!("cargo::rerun-if-env-changed=WASMSERVE_PYTHON");
    let given = env::var_os("WASMSERVE_PYTHON").map(PathBuf::from);
    let Some(parts) = given.or_else(unpacked_python).or_else(|| download_python(out)) else {
        println!(
            "cargo::warning=this build cannot serve Python, because {PYTHON} {PYTHON_VERSION} is not in the registry's \
             cache and cannot be downloaded; set WASMSERVE_PYTHON to a directory with its files"
        );
        return;
    };
    println!("cargo::rerun-if-changed={}", parts.display());
    for part in PYTHON_PARTS {
        if let Err(error) = fs::copy(parts.join(part), out.join(part)) {
            fail(&format!("`{}` cannot be copied: {error}", parts.join(part).display()));
        }
    }
    println!("cargo::rustc-cfg=has_python");
}

/// The directory into which cargo has unpacked the crate.
fn unpacked_python() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?;
    let crates = registries.flatten().map(|entry| entry.path().join(format!("{PYTHON}-{PYTHON_VERSION}")));
    // Written when all files are there.
    crates.into_iter().find(|crate_| crate_.join(".cargo-ok").exists())
}

/// Has cargo download the crate, and nothing that it depends on. Cargo checks it against the registry's checksum.
fn download_python(out: &Path) -> Option<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Not in the workspace, whose lock file does not have the crate.
    cargo.current_dir(out).args(["info", "--quiet", &format!("{PYTHON}@{PYTHON_VERSION}")]);
    let output = cargo.stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    unpacked_python()
}

/// Adds the target to the toolchain if it is missing. rustup adds the targets in rust-toolchain.toml only when it installs
/// the toolchain, and many machines have it already.
fn provide_target(target: &str) {
    // rustup's proxies have set RUSTUP_TOOLCHAIN, so that every program here uses the same toolchain.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let ask = |what| PathBuf::from(output_of(Command::new(&rustc).args(["--print", what, "--target", target])));
    let (sysroot, libraries) = (ask("sysroot"), ask("target-libdir"));
    // If the target is removed later, this script runs again and adds it for the tests as well.
    println!("cargo::rerun-if-changed={}", libraries.display());

    // Two rustups that run at once can leave a half-installed target. The lock is on the toolchain's directory, so that no file
    // is left behind. Where a directory cannot be locked, as on Windows, two builds that start together may have to be repeated.
    let _toolchain = File::open(sysroot).and_then(|sysroot| sysroot.lock().map(|()| sysroot));
    if libraries.is_dir() {
        return;
    }
    let adds = format!("rustup target add {target}");
    match Command::new("rustup").args(["target", "add", target]).stdin(Stdio::null()).output() {
        Err(_) => {
            fail(&format!("this Rust has no target {target}, and there is no rustup to add it: see https://rustup.rs"))
        }
        Ok(output) if !output.status.success() => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            eprintln!("{stderr}");
            let why = stderr.lines().rfind(|line| line.starts_with("error")).unwrap_or("no reason given");
            fail(&format!("the target {target} is missing, and `{adds}` failed: {why}"));
        }
        Ok(_) if !libraries.is_dir() => fail(&format!(
            "rustup added the target {target}, but not to the toolchain of this build: {}",
            rustc.display()
        )),
        Ok(_) => println!("cargo::warning=the target {target} was missing; added it with `{adds}`"),
    }
}

/// Builds the built-in handlers, optimized for size.
fn build_guests(workspace: &Path, out: &Path) {
    let mut cargo = cargo("build", workspace, TARGET, out);
    cargo.arg("--package=wasmserve-examples").args(GUESTS.map(|(name, _)| format!("--bin={name}")));
    run(&mut cargo, "the built-in handlers do not build");
}

/// Builds the provider, with what has to be known to move its code and data to other addresses.
fn build_provider(workspace: &Path, out: &Path) {
    let mut cargo = cargo("rustc", workspace, BARE_TARGET, out);
    let flags = "-Clink-arg=--emit-relocs -Clink-arg=-zstack-size=65536";
    cargo
        .args(["--package=wasmserve-provider", "--lib", "--crate-type=cdylib"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
    run(&mut cargo, "the provider of exported handlers does not build");
    let built = out.join("guests").join(BARE_TARGET).join("release/wasmserve_provider.wasm");
    fs::copy(built, out.join("provider.wasm")).expect("cargo has built it");
}

/// A build for a target, optimized for size, in a separate target directory: the outer build has locked its own.
fn cargo(command: &str, workspace: &Path, target: &str, out: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args([command, "--locked", "--release", "--target", target]);
    cargo.arg("--target-dir").arg(out.join("guests"));
    cargo.envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"), ("CARGO_PROFILE_RELEASE_LTO", "true")]);
    // Wrappers such as clippy's and the host's flags do not apply to guests, and neither does the outer build's job
    // server.
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS"]
    {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs cargo. If that fails, the build fails with this message.
fn run(cargo: &mut Command, failure: &str) {
    let output = cargo.stdin(Stdio::null()).output().expect("cargo is running this script, so it can run again");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        fail(&format!("{failure}; see the errors above"));
    }
}

/// The output of a program, without the line end.
fn output_of(command: &mut Command) -> OsString {
    let output = command.stdin(Stdio::null()).output().expect("rustc compiled this script, so it can run again");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        fail("rustc cannot print its own paths; see the errors above");
    }
    String::from_utf8_lossy(&output.stdout).trim_end().into()
}

fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    process::exit(1)
}

/// Writes the SDK's files as a Rust expression: a list of pairs of path and text.
fn embed_sdk(sdk: &Path, out: &Path) {
    let manifest = read(&sdk.join("Cargo.toml")).replace("\n[lints]\nworkspace = true\n", "");
    // The comment at the top refers to the workspace.
    let manifest = manifest.trim_start_matches(|char| char != '[');
    assert!(
        !manifest.contains("workspace"),
        "guest-sdk/Cargo.toml must not inherit from the workspace, except for lints"
    );
    let mut files = vec![format!("({:?}, {manifest:?})", "Cargo.toml")];

    let mut sources = Vec::new();
    collect(&sdk.join("src"), &mut sources);
    sources.sort();
    for source in sources {
        let name = source
            .strip_prefix(sdk)
            .expect("the source is below the SDK's directory")
            .to_string_lossy()
            .replace('\\', "/");
        files.push(format!("({name:?}, include_str!({source:?}))"));
    }
    fs::write(out.join("sdk.rs"), format!("&[\n{}\n]", files.join(",\n"))).expect("cargo's directory is writable");
}

/// Collects all files below a directory.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("the directory is readable").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
