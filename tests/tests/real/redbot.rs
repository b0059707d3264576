//! `redbot`, which checks the responses of each example.

use wasmserve_tests::{
    real::{python, stdout_of},
    server::Server,
};

use super::url;

/// Prints the level and the summary of each note on the response, and on the responses to redbot's further requests.
const CHECK: &str = r#"
import configparser, sys
import thor
from redbot.resource import HttpResource

config = configparser.ConfigParser()
config.read_dict({"redbot": {"enable_local_access": "True"}})
resource = HttpResource(config["redbot"])
resource.set_request(sys.argv[1])

@thor.events.on(resource)
def check_done():
    thor.stop()

resource.check()
thor.run()
for fetched in [resource, *resource.subreqs.values()]:
    if fetched.fetch_error is not None:
        print("bad", fetched.check_id, fetched.fetch_error.desc)
    for note in [*fetched.request.notes, *fetched.response.notes]:
        print(note.level.value, fetched.check_id, note.summary)
print("status", resource.response.status_code, resource.response.complete)
"#;

/// Redbot's notes on a URL.
fn checked(url: &str) -> String {
    stdout_of(python().args(["-", url]), CHECK)
}

#[test]
fn redbot_finds_nothing_bad_in_the_examples() {
    for (example, path, status) in [
        ("hello", "", 200),
        ("environ", "", 200),
        ("echo", "", 200),
        ("dump", "", 200),
        ("verbs", "", 200),
        ("router", "greet/you", 200),
        ("json", "", 415),
        ("cookies", "", 200),
        ("middleware", "", 401),
        ("form", "?a=b", 200),
        ("logsink", "?msg=hi", 204),
        ("ticks", "?n=2", 200),
        ("upload", "", 200),
        ("webhook", "github", 405),
    ] {
        let server = Server::start(example);
        let notes = checked(&format!("{}{path}", url(&server)));
        assert!(notes.ends_with(&format!("status {status} True\n")), "{example}: {notes}");
        assert!(!notes.lines().any(|note| note.starts_with("bad ")), "{example}: {notes}");
    }
}

#[test]
fn redbot_finds_nothing_bad_in_the_servers_own_responses() {
    let server = Server::start("traps");
    let notes = checked(&url(&server));
    assert!(notes.ends_with("status 500 True\n") && !notes.contains("\nbad "), "{notes}");
}

#[test]
fn redbot_notices_a_truncated_response() {
    let server = Server::start("traps_after_first_write");
    let notes = checked(&url(&server));
    assert!(notes.ends_with("status 200 False\n") && notes.contains("bad "), "{notes}");
}
