//! Bindings are generated once and committed, so that nothing that is compiled for wasm has to compile the generator.

use std::{env, fs, path::Path};

use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::{Opts, Ownership, WithOption};

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_committed_bindings_of_the_sdk_are_up_to_date() {
    // The SDK's own errors have readable messages. Generated ones would print only their names.
    let errors = [
        ("input@0.1.0/read-error", "crate::ReadError"),
        ("response@0.1.0/start-error", "crate::StartError"),
        ("response@0.1.0/write-error", "crate::WriteError"),
    ];
    let with = errors.map(|(wit, rust)| {
        let wit = format!("wasmserve:gateway/{wit}");
        (wit, WithOption::Path(rust.to_owned()))
    });
    // The host borrows header fields instead of getting copies.
    let ownership = Ownership::Borrowing { duplicate_if_necessary: true };
    let options = Opts { ownership, pub_export_macro: true, with: with.into(), ..Opts::default() };
    let fresh = generate(&["wit"], "application", options);
    check("guest-sdk/src/bindings.rs", &fresh);
}

#[test]
fn the_committed_bindings_of_filters_are_up_to_date() {
    // What filters import has the SDK's bindings already.
    let gateway = "crate::bindings::wasmserve::gateway";
    let with = ["environ", "input", "errors", "response"].map(|interface| {
        (format!("wasmserve:gateway/{interface}@0.1.0"), WithOption::Path(format!("{gateway}::{interface}")))
    });
    let options = Opts { pub_export_macro: true, with: with.into(), ..Opts::default() };
    let fresh = generate(&["wit"], "middleware", options);
    check("guest-sdk/src/filter/bindings.rs", &fresh);
}

#[test]
fn the_committed_bindings_of_the_provider_are_up_to_date() {
    let fresh = generate(
        &[
            "wit",
            "host/provider/wit/wasi-io.wit",
            "host/provider/wit/wasi-cli.wit",
            "host/provider/wit/wasi-http.wit",
            "host/provider/wit/python.wit",
            "host/provider/wit/provider.wit",
        ],
        "provider",
        Opts::default(),
    );
    check("host/provider/src/bindings.rs", &fresh);
}

fn check(path: &str, fresh: &str) {
    let file = Path::new(ROOT).join(path);
    if env::var_os("WASMSERVE_REGENERATE").is_some() {
        fs::write(&file, fresh).expect("the bindings can be written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == fresh,
        "{path} does not match its WIT; regenerate it:\n\n    \
        WASMSERVE_REGENERATE=1 cargo test --test fast bindings\n",
    );
}

/// The bindings of a world in the last of these packages. The others are those that it uses.
fn generate(packages: &[&str], world: &str, options: Opts) -> String {
    let options =
        Opts { format: true, runtime_path: Some("wit_bindgen::rt".to_owned()), generate_all: true, ..options };
    let mut resolve = Resolve::default();
    let mut package = None;
    for packages in packages {
        let pushed = resolve.push_path(Path::new(ROOT).join(packages));
        package = Some(pushed.unwrap_or_else(|error| panic!("{packages}: {error:#}")).0);
    }
    let world = resolve.select_world(package.as_slice(), Some(world)).expect("it has the world");
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("the bindings can be generated");
    let (_, bindings) = files.iter().next().expect("one generated file");
    String::from_utf8(bindings.to_vec()).expect("Rust is UTF-8")
}
