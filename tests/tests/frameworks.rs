//! The tutorials of Python's frameworks, in `tests/python/frameworks`, served as their users would serve them.
//!
//! wasmserve installs the frameworks with uv or pip, from their index or from what those have in their caches. Each
//! directory has a `visit.py`, which uses the application through a real client and checks what it gets.

use std::path::{Path, PathBuf};

use wasmserve_tests::{
    place::Place,
    real::{python, stdout_of},
    server::Launch,
};

/// What the server reports if nothing can be installed.
const NO_INDEX: [&str; 2] = ["cannot reach the package index", "neither uv nor a python3 with pip"];

fn directory(framework: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/frameworks").join(framework)
}

/// Serves an application from its directory, and visits it. Says so if its framework cannot be installed.
fn visit(framework: &str, application: &str) {
    let (directory, data) = (directory(framework), Place::new());
    let launch = || Launch::bare().at(&directory);
    let inspected = launch().flags(["inspect", application]).run();
    if NO_INDEX.iter().any(|sign| inspected.stderr.contains(sign)) {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing has to say so")]
        {
            eprintln!("skipped, because {framework} cannot be installed: {}", inspected.stderr);
        }
        return;
    }
    assert_eq!(inspected.code, Some(0), "{inspected:#?}");
    let grant = format!("{}::/data", data.display());
    let server = launch().flags([application, "--addr", "127.0.0.1:0", "--dir", &grant]).start();
    let url = format!("http://{}", server.addr());
    let text = stdout_of(python().arg(directory.join("visit.py")).arg(url), "");
    assert_eq!(text, "every claim holds\n", "{:#?}", server.log());
}

#[test]
fn flasks_tutorial_works_as_it_is() {
    visit("flask", "flaskr:create_app()");
}

#[test]
fn djangos_tutorial_works_as_it_is() {
    visit("django", ".");
}

#[test]
fn pyramids_tutorial_works_as_it_is() {
    visit("pyramid", "wsgi.py");
}

#[test]
fn bottles_tutorial_works_as_it_is() {
    visit("bottle", "app.py");
}

#[test]
fn falcons_tutorial_works_as_it_is() {
    visit("falcon", "app.py");
}

/// Flask is missing, because it reads bodies in a way that the validator does not allow: without a length.
#[test]
fn pythons_validator_accepts_all_that_frameworks_and_the_server_do_with_each_other() {
    for framework in ["bottle", "django", "falcon", "pyramid"] {
        visit(framework, "validated.py");
    }
}
