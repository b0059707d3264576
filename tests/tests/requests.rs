//! The cases of `tests/requests`: each on a connection to a real server, and each by the functions that make an environ.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    sync::LazyLock,
};

use serde_json::Value;
use wasmserve::{
    Limits,
    gateway::{
        environ::{self, Facts, Peer, Variable},
        forwarded,
        mounts::Mount,
        request::{RequestHead, RequestLimits},
    },
};
use wasmserve_tests::{
    case::{Case, check::Logged, octets::Ends, told::Told},
    server::{Launch, Server},
};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("requests");
    Case::all(&directory).unwrap_or_else(|problems| panic!("{problems}"))
});

#[test]
fn every_case_is_as_its_file_says() {
    let mut by_flags = BTreeMap::<&[String], Vec<&Case>>::new();
    for case in CASES.iter() {
        by_flags.entry(&case.flags).or_default().push(case);
    }
    let mut problems = Vec::new();
    for (flags, cases) in by_flags {
        let mut server = None;
        for case in cases {
            let Run { server: running, logged } = server.get_or_insert_with(|| Run::start(flags));
            let result = case.check(|| running.connect()).and_then(|()| has_logged(running, logged, case));
            if let Err(problem) = result {
                problems.push(problem);
                // The next case has nothing to do with it.
                server = None;
            }
        }
        if let Some(Run { server, logged }) = server {
            let log = server.stop();
            if exchanges(&log) != logged {
                problems.push(format!("{flags:?}: the log has more than was asked for:\n{}", log.join("\n")));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// A server, and the exchanges that must be in its log.
struct Run {
    server: Server,
    logged: Vec<Logged>,
}

impl Run {
    fn start(flags: &[String]) -> Self {
        let launch = Launch::program("tells_its_request").flags(flags);
        Self { server: launch.flags(["--access-log-format", "json"]).start(), logged: Vec::new() }
    }
}

/// Waits until the log has all exchanges of a case besides those that it must have, and adds them to these.
fn has_logged(server: &Server, logged: &mut Vec<Logged>, case: &Case) -> Result<(), String> {
    let before = logged.len();
    logged.extend(case.logged());
    let handled = |exchanges: &[Logged]| exchanges.iter().filter(|it| it.is_handled).count();
    let log = exchanges(&server.log_with(|log| {
        let log = exchanges(log);
        log.len() >= logged.len() && handled(&log) >= handled(logged)
    }));
    if log == *logged {
        return Ok(());
    }
    let (expected, got) = (&logged[before..], log.get(before..).unwrap_or_default());
    Err(format!("{}.case: L5, X5: expected in the log {expected:?}, got {got:?}", case.name))
}

/// The exchanges in an access log of JSON lines, and which of them a handler has seen.
fn exchanges(log: &[String]) -> Vec<Logged> {
    let handled: BTreeSet<u64> =
        log.iter().filter_map(|line| line.strip_prefix('[')?.strip_suffix("] log: handled")?.parse().ok()).collect();
    let access = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    access
        .filter_map(|line| {
            let (id, status) = (line["id"].as_u64()?, line["status"].as_u64()?);
            Some(Logged { status: u16::try_from(status).ok()?, is_handled: handled.contains(&id) })
        })
        .collect()
}

/// What the flags of a case mean to the gateway's functions.
struct Settings {
    trusted: Vec<IpAddr>,
    env: Vec<Variable>,
    is_buffered: bool,
}

impl Settings {
    fn new(flags: &[String]) -> Self {
        let mut settings = Self { trusted: Vec::new(), env: Vec::new(), is_buffered: false };
        for pair in flags.chunks(2) {
            match pair {
                [flag, value] if flag == "--forwarded-allow-ips" => {
                    settings.trusted = value.split(',').map(|addr| addr.parse().expect("an address")).collect();
                }
                [flag, value] if flag == "--env" => settings.env.push(value.parse().expect("a variable")),
                [flag, _] if flag == "--buffer-body" => settings.is_buffered = true,
                _ => {}
            }
        }
        settings
    }
}

/// The head of the first request that a case sends, as it would come off the wire: without the empty lines before it.
fn first_head(case: &Case) -> RequestHead {
    let sent = case.sent_first();
    let blank = sent.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    let sent = &sent[blank..];
    let end = (0..sent.len()).find_map(|at| {
        let end = ["\n\r\n", "\n\n"].into_iter().find(|end| sent[at..].starts_with(end.as_bytes()))?;
        Some(at + end.len())
    });
    RequestHead::new(sent[..end.unwrap_or(sent.len())].to_vec().into())
}

#[test]
fn the_functions_of_the_gateway_agree_with_the_wire_on_every_case() {
    let peer = Peer { remote: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
    let ends = Ends { server_port: 8000, client_port: 5000, server: environ::SOFTWARE.into() };
    let mut problems = Vec::new();
    let mut refused = 0;
    for case in CASES.iter() {
        let head = first_head(case);
        let settings = Settings::new(&case.flags);
        let checked = head
            .check(RequestLimits::DEFAULT)
            .and_then(|()| forwarded::read(&head, peer.remote.ip(), &settings.trusted))
            .map_err(|fault| fault.status());
        let answer = case.answers().find(|answer| answer.status >= 200).expect("a case has an answer");
        match checked {
            Err(status) if status == answer.status => refused += 1,
            Err(status) => problems.push(format!("{}.case: refused with {status}", case.name)),
            Ok(forwarded) if answer.is_handled => {
                let is_chunked = head.values("transfer-encoding").next().is_some();
                let content_length = match head.values("content-length").next() {
                    Some(length) if !is_chunked => str::from_utf8(length).ok().and_then(|length| length.parse().ok()),
                    _ if is_chunked && settings.is_buffered => answer.body().map(|body| body.len() as u64),
                    _ => None,
                };
                let facts = Facts {
                    server_name: None,
                    mount: &Mount::ROOT,
                    peer,
                    content_length,
                    forwarded,
                    is_buffered: settings.is_buffered,
                    id: 1,
                    timeout: Limits::DEFAULT.timeout,
                    env: &settings.env,
                };
                let environ = environ::build(&head, &facts);
                let told = Told {
                    environ: environ.into_iter().map(|(name, value)| (name.into_owned(), value.to_vec())).collect(),
                    headers: head
                        .fields()
                        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                        .collect(),
                    raw_head: head.raw().to_vec(),
                    ..Told::default()
                };
                problems.extend(case.problems(answer, &told, &ends));
            }
            // The parser's affair, or the server's.
            Ok(_) => {}
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(refused > 0, "no case is refused by `RequestHead::check`");
}

#[test]
fn every_rule_of_targets_environ_and_headers_has_a_case() {
    let shown: BTreeSet<&str> = CASES.iter().flat_map(|case| &case.rules).map(String::as_str).collect();
    let groups = [('T', 13), ('E', 17), ('H', 11)];
    let rules = groups.into_iter().flat_map(|(group, last)| (1..=last).map(move |number| format!("{group}{number}")));
    let missing: Vec<String> = rules.filter(|rule| !shown.contains(&**rule)).collect();
    assert!(missing.is_empty(), "no case in tests/requests names {missing:?}");
}
