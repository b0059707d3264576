//! `wasmserve export --for`: what is written for the platforms that run exported handlers.

use std::fs;

use serde_json::{Value, json};
use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, refuses},
};

/// Exports a handler into this place, with these flags.
fn export(place: &Place, flags: &[&str]) -> Launch {
    Launch::bare().at(place).flags(["export"]).flags([guest::program("hello")]).flags(flags)
}

/// The names of the files in it.
fn names(place: &Place) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().expect("files have names").to_string_lossy().into_owned();
    place.files().iter().map(name).collect()
}

#[test]
fn a_platform_gets_its_files_beside_the_component() {
    for (platform, files) in [
        ("wasmcloud", ["hello-http.wasm", "hello.workload.json", "hello.workload.yaml"]),
        ("spin", ["hello-http.wasm", "hello.spinapp.yaml", "spin.toml"]),
    ] {
        let place = Place::new();
        let ended = export(&place, &["--for", platform]).run();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "hello-http.wasm\n"), "{ended:#?}");
        assert_eq!(names(&place), files);
        assert!(files[1..].iter().all(|file| ended.stderr.contains(file)), "{ended:#?}");
    }
    let place = Place::new();
    assert_eq!(export(&place, &[]).run().code, Some(0));
    assert_eq!(names(&place), ["hello-http.wasm"]);
}

#[test]
fn flags_fill_in_what_the_files_say() {
    let place = Place::new();
    let flags = ["--image", "ghcr.io/me/hello:1", "--host", "hello.example.com", "--allow-net", "api.example.com:443"];
    let ended = export(&place, &[&["-o", "my_own name.wasm", "--for", "wasmcloud"], &flags[..]].concat()).run();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("wash oci push ghcr.io/me/hello:1 'my_own name.wasm'\n"), "{ended:#?}");
    let request = fs::read(place.join("my-own-name.workload.json")).expect("it is written");
    let request: Value = serde_json::from_slice(&request).expect("it is JSON");
    let world = &request["workload"]["witWorld"];
    assert_eq!(world["components"][0]["image"], "ghcr.io/me/hello:1");
    assert_eq!(world["components"][0]["localResources"]["allowedHosts"], json!(["api.example.com:443"]));
    assert_eq!(world["hostInterfaces"][0]["config"]["host"], "hello.example.com");
}

#[test]
fn files_that_the_user_has_changed_are_kept() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(export(&place, &["--for", "spin"]).run().code, Some(0));
    }
    place.file("spin.toml", "mine");
    fs::remove_file(place.join("hello-http.wasm")).expect("it was written");
    let ended = export(&place, &["--for", "spin"]).run();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("`spin.toml` exists with other content, and is kept; remove it, or"), "{ended:#?}");
    assert_eq!(fs::read(place.join("spin.toml")).expect("it is still there"), b"mine");
    assert!(place.join("hello-http.wasm").exists(), "the component is written first");
}

#[test]
fn mistakes_are_explained_before_anything_is_written() {
    let place = Place::new();
    for (flags, part) in [
        (&["--image", "ghcr.io/me/hello:1"][..], "--for <PLATFORM> is missing"),
        (&["--for", "heroku"], "it must be one of wasmcloud, spin"),
        (&["--for", "wasmcloud", "--image", "hello"], "write REGISTRY/NAME:TAG in lower case"),
        (&["--for", "wasmcloud", "--image", "ghcr.io/Me/hello"], "write REGISTRY/NAME:TAG in lower case"),
        (&["--for", "wasmcloud", "--host", "my_host"], "write a host name without a port"),
        (&["--for", "wasmcloud", "--host", "*.example.com"], "write a host name without a port"),
        (&["--for", "wasmcloud", "--allow-net", "api.example.com"], "write HOST:PORT"),
        (&["--for", "spin", "--host", "hello.example.com"], "leave it out with --for spin"),
        (&["--for", "spin", "-o", "-"], "--for writes files beside the component"),
        (&["--for", "wasmcloud", "-o", "/dev/null"], "--for writes files beside the component"),
    ] {
        refuses(export(&place, flags), 2, &[part]);
        assert_eq!(names(&place), [""; 0], "{flags:?}");
    }
}
