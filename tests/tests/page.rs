//! The viewer's page, in a real browser: Chromium, driven by the programs in `tests/clients/page`.
//!
//! Each of them opens the viewer of a real server, and fails if the page reports an error, a violation of its policy or a
//! dialog, too.

use std::{fs, path::Path, process::Command};

use wasmserve_tests::{
    place::Place,
    real::{Ended, node, run},
    server::{Launch, Server},
};

/// The guests that most programs send requests to, each mounted at its name.
const GUESTS: [&str; 5] = ["hello", "panics", "sleeps", "spins", "tells_its_request"];

/// The URL of the viewer, with its token.
fn viewer(server: &Server) -> String {
    let line = server.line(|line| line.contains("viewer on http://"));
    line.split_whitespace().last().expect("the line has a URL").to_owned()
}

/// Runs a program with a viewer, the server that it shows, and more arguments. Returns what it prints.
fn check(program: &str, server: &Server, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/page").join(program);
    let mut command: Command = node();
    command.arg(path).args([viewer(server), format!("http://{}", server.addr())]).args(arguments);
    let ended = run(&mut command, "");
    assert_eq!(ended.code, Some(0), "{program}: {ended:#?}");
    let Ended { stdout, .. } = ended;
    stdout
}

/// A handler that is edited while its viewer is open.
const ANSWER: &str = r#"use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result<String> {
    Ok(format!("{} bytes arrived\n", environ.input().read_all(1 << 20)?.len()))
}
"#;

fn serve_guests() -> Server {
    Launch::mounted(&GUESTS).flags(["--ui"]).start()
}

fn serve_bin() -> Server {
    Launch::bare().flags(["--ui", "--addr", "127.0.0.1:0"]).start()
}

#[test]
fn the_parts_of_the_page_compute_what_they_should() {
    check("units.mjs", &serve_bin(), &[]);
}

#[test]
fn every_tab_and_every_key_works_without_a_mouse() {
    check("keys.mjs", &serve_guests(), &[]);
}

#[test]
fn axe_finds_nothing_wrong_in_the_light() {
    check("axe.mjs", &serve_guests(), &["light"]);
}

#[test]
fn axe_finds_nothing_wrong_in_the_dark() {
    check("axe.mjs", &serve_guests(), &["dark"]);
}

/// Rule O10.
#[test]
fn o10_hostile_captures_are_text_and_nothing_else() {
    check("hostile.mjs", &serve_guests(), &[]);
}

/// Rule O9.
#[test]
fn o9_other_pages_of_the_browser_read_nothing() {
    check("strangers.mjs", &serve_bin(), &[]);
}

#[test]
fn what_runs_shows_its_stack_and_can_be_ended() {
    check("running.mjs", &serve_guests(), &[]);
}

#[test]
fn a_request_bin_shows_everything_and_answers_what_the_page_says() {
    check("bin.mjs", &serve_bin(), &[]);
}

#[test]
fn the_page_outlives_its_server_and_needs_its_token() {
    let server = serve_guests();
    check("ends.mjs", &server, &[&server.id().to_string()]);
}

#[test]
fn the_page_stays_small_whatever_arrives() {
    let figures = check("many.mjs", &serve_guests(), &[]);
    println!("{figures}");
}

#[test]
fn a_request_is_replayed_edited_kept_exported_and_compared_when_the_handler_is_saved() {
    let place = Place::new();
    let file = place.file("answer.rs", ANSWER);
    let server = Launch::file(&file).flags(["--ui"]).start();
    check("loop.mjs", &server, &[file.to_str().expect("the path is text")]);
}

#[test]
fn an_exact_replay_of_what_varies_gets_the_same_response() {
    let server = Launch::program("varies").flags(["--ui"]).start();
    check("exact.mjs", &server, &[]);
}

#[test]
fn a_replay_keeps_the_pauses_of_the_client_if_the_page_asks_for_it() {
    let server = Launch::program("echo").flags(["--ui"]).start();
    check("paced.mjs", &server, &[]);
}

#[test]
fn captures_in_files_are_shown_without_what_needs_a_handler() {
    let place = Place::new();
    let server = Launch::program("hello").at(&place).flags(["--capture", "captures"]).start();
    for _ in 0..2 {
        server.get("/one");
    }
    server.stop();
    let files = fs::read_dir(place.join("captures")).expect("there are captures");
    let file = files.map(|file| file.expect("it can be read").path()).find(|path| path.is_file());
    let file = file.expect("there is a file");
    let whole = fs::read(&file).expect("it can be read");
    fs::write(&file, &whole[..whole.len() - 10]).expect("it can be written");
    let viewed = Launch::bare().at(&place).flags(["ui", "captures", "--addr", "0"]).spawn();
    check("files.mjs", &viewed, &[]);
}

/// The types of the page's scripts, which are comments.
#[test]
fn the_types_of_the_page_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = node();
    command.args(["node_modules/typescript/bin/tsc", "--project"]).arg(root.join("tests/clients/page/tsconfig.json"));
    let ended = run(&mut command, "");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}
