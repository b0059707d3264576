//! Exported handlers on a cluster of wasmCloud: two hosts, which share nothing but NATS and a registry.

use std::{env, fs, path::Path, process};

use wasmserve_tests::{
    client::Response,
    cluster::{Cluster, Host, home},
    guest,
    place::Place,
    python,
    real::system,
    server::{Launch, Server},
};

/// What the server reports if nothing can be installed.
const NO_INDEX: [&str; 2] = ["cannot reach the package index", "neither uv nor a python3 with pip"];

/// An application with a dependency.
const FLASK: &str = r#"
# /// script
# dependencies = ["flask"]
# ///

from flask import Flask, request

app = Flask(__name__)


@app.get("/<name>")
def greet(name):
    return f"Hello, {name}!" * request.args.get("times", 1, type=int)
"#;

/// Exports a handler, publishes it with the command that the export prints, and starts it on each host with the request
/// that the export writes. Returns whether it could be exported: what it depends on may not be there.
fn deploy(cluster: &Cluster, hosts: &[Host], handler: &Path, name: &str, flags: &[&str]) -> bool {
    let place = Place::new();
    let component = place.join(format!("{name}.wasm"));
    let image = format!("{}/{name}:1", cluster.registry());
    let export = Launch::bare().flags(["export", "--for", "wasmcloud", "--image", &image]);
    let ended = export.flags([handler, Path::new("-o"), &component]).flags(flags).run();
    if NO_INDEX.iter().any(|sign| ended.stderr.contains(sign)) {
        #[expect(clippy::print_stderr, reason = "a test that does not check everything has to say so")]
        {
            eprintln!("without {name}, which cannot be built: {}", ended.stderr);
        }
        return false;
    }
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout, format!("{}\n", component.display()));
    let push = ended.stderr.lines().find_map(|line| line.trim().strip_prefix("wash ")).expect("the line is printed");
    cluster.wash(&push.split(' ').collect::<Vec<_>>());
    let request = fs::read(place.join(format!("{name}.workload.json"))).expect("the request is written");
    for host in hosts {
        assert_eq!(cluster.begin(host, &request), "WORKLOAD_STATE_RUNNING");
    }
    true
}

fn is(response: &Response, text: &str) -> bool {
    response.status == 200 && response.text() == text
}

#[test]
fn one_host_answers_everything_when_the_other_one_is_killed() {
    python::ready();
    let mut cluster = Cluster::start();
    let hosts = ["one", "two"].map(|name| cluster.host(name));
    assert!(deploy(&cluster, &hosts, guest::program("hello"), "hello", &[]));
    let place = Place::new();
    let app = place.file("greeting.py", FLASK);
    let has_flask = deploy(&cluster, &hosts, &app, "greeting", &[]);
    for host in &hosts {
        let response = host.get("hello.localhost", "/");
        assert!(is(&response, "Hello, World!\n"), "{response:?}");
        if has_flask {
            let response = host.get("greeting.localhost", "/cluster?times=2");
            assert!(is(&response, "Hello, cluster!Hello, cluster!"), "{response:?}");
            assert_eq!(host.get("greeting.localhost", "/a/b").status, 404);
        }
        assert_eq!(host.get("other.localhost", "/").status, 404);
    }
    let [killed, left] = hosts;
    let (mut killed, mut client) = (Some(killed), left.connect());
    for number in 0..1000 {
        if number == 100 {
            killed.take().map(Host::kill);
        }
        client.send("GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n");
        let response = client.response();
        assert!(is(&response, "Hello, World!\n"), "{number}: {response:?}");
    }
    if has_flask {
        let response = left.get("greeting.localhost", "/cluster");
        assert!(is(&response, "Hello, cluster!"), "{response:?}");
    }
}

#[test]
fn no_request_leaves_a_host_unless_the_export_allows_it() {
    let mut cluster = Cluster::start();
    let hosts = [cluster.host("one")];
    let [allowed, other] = [(); 2].map(|()| Server::start("hello"));
    let net = allowed.addr().to_string();
    for (name, flags) in [("without", &[][..]), ("with", &["--allow-net", &net])] {
        assert!(deploy(&cluster, &hosts, guest::program("requests"), name, flags));
    }
    let ask = |name: &str, server: &Server| {
        let response = hosts[0].get(&format!("{name}.localhost"), &format!("/?authority={}", server.addr()));
        response.text().to_owned()
    };
    assert_eq!(ask("with", &allowed), "Ok(200)");
    for refused in [ask("with", &other), ask("without", &allowed), ask("without", &other)] {
        assert!(refused.contains("HttpRequestDenied"), "{refused}");
    }
}

/// The commands of a page, in one script. Those for an administrator have run when the clients were installed.
fn commands(page: &str) -> String {
    let blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| Some(rest.split_once("\n```\n")?.0));
    let lines = blocks.flat_map(str::lines).filter(|line| !line.starts_with("sudo "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_commands_of_the_page_lead_from_a_handler_to_two_hosts() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale-out.md")).expect("it is readable");
    // An address of this process, where all ports are free.
    let [_, high, middle, low] = process::id().to_be_bytes();
    let commands = commands(&page).replace("127.0.0.1", &format!("127.{}.{middle}.{low}", 64 | high));
    let place = Place::new();
    let trap = "code=$?; [ $code = 0 ] || tail -n 50 *.log; echo \"ended with $code\"";
    let script = format!("set -euo pipefail\ntrap '{trap}' EXIT\n{commands}");
    let script = place.file("commands", script);
    let path = env::var("PATH").expect("the path is UTF-8");
    let program = guest::server().parent().expect("the server is in a directory");
    let mut command = system("bash");
    command.arg(script).envs(home(&place)).env("PATH", format!("{path}:{}", program.display()));
    let shell = Launch::foreign(command).at(&place).spawn();
    let ended = |lines: &[String]| lines.iter().any(|line| line.starts_with("ended with "));
    // Installing and building take longer than other tests wait.
    let lines = (0..5).map(|_| shell.log_with(ended)).find(|lines| ended(lines)).expect("the commands end");
    assert_eq!(lines.last().map(String::as_str), Some("ended with 0"), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| *line == "Hello, World!").count(), 2, "{lines:#?}");
    assert!(lines.iter().any(|line| line.trim() == "1000 200"), "{lines:#?}");
}
