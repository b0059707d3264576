//! The SDK's bindings are generated once and committed, so that no handler has to compile the generator.

use std::{env, fs, path::Path};

use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::{Opts, Ownership, WithOption};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/src/bindings.rs");

#[test]
fn the_committed_bindings_are_up_to_date() {
    let fresh = generate(Path::new(WIT));
    if env::var_os("WASMSERVE_REGENERATE").is_some() {
        fs::write(BINDINGS, &fresh).expect("the bindings can be written");
    }
    let committed = fs::read_to_string(BINDINGS).unwrap_or_default();
    assert!(
        committed == fresh,
        "guest-sdk/src/bindings.rs does not match wit/; regenerate it:\n\n    \
        WASMSERVE_REGENERATE=1 cargo test --test fast bindings\n",
    );
}

fn generate(wit: &Path) -> String {
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
    let options = Opts {
        format: true,
        // The host borrows header fields instead of getting copies.
        ownership: Ownership::Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        runtime_path: Some("wit_bindgen::rt".to_owned()),
        with: with.into(),
        generate_all: true,
        ..Opts::default()
    };

    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).expect("wit/ is valid");
    let world = resolve.select_world(&[package], Some("application")).expect("wit/ has the world");
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("the bindings can be generated");
    let (_, bindings) = files.iter().next().expect("one generated file");
    String::from_utf8(bindings.to_vec()).expect("Rust is UTF-8")
}
