//! What `wasmserve export` writes, on the servers of other projects.

use wasmserve_tests::{
    behaviour::{Stage, play_all},
    case::CASES,
    kind::Kind,
};

#[test]
fn each_behaviour_of_an_exported_handler_is_right_on_wasmtime_serve() {
    play_all(Stage::real(Kind::ON_WASMTIME));
}

#[test]
fn each_behaviour_of_an_exported_handler_is_right_on_jco_serve() {
    play_all(Stage::real(Kind::ON_JCO));
}

#[test]
fn an_exported_handler_gets_what_every_case_says_on_wasmtime_serve() {
    run(&Kind::ON_WASMTIME);
}

#[test]
fn an_exported_handler_gets_what_every_case_says_on_jco_serve() {
    run(&Kind::ON_JCO);
}

/// Runs the cases in which only the handler answers: how a server reads and refuses requests is its own affair.
fn run(kind: &Kind) {
    let mut exceptions = kind.exceptions();
    let (mut server, mut problems) = (None, Vec::new());
    for case in CASES.iter().filter(|case| case.is_about_handlers()) {
        let running = server.get_or_insert_with(|| kind.tells().start());
        if let Err(problem) = case.check(&mut exceptions, || running.connect()) {
            if !exceptions.excuse("answer", &case.name) {
                problems.push(problem);
            }
            // It may have ended. The next case gets a new one.
            server = None;
        }
    }
    problems.extend(exceptions.unused());
    assert!(problems.is_empty(), "{}: {} problems:\n{}", kind.name, problems.len(), problems.join("\n"));
}
