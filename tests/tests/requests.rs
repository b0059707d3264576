//! Runs the cases of `tests/requests` against a real server. `tests/cases.rs` checks them without one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wasmserve::capture::{record::Record, warc};
use wasmserve_tests::{
    captured::Taps,
    case::{CASES, Case, check::Logged},
    kind::{Exceptions, Kind},
    place::Place,
    server::Server,
};

#[test]
fn every_case_matches_its_file() {
    run(&Kind::GATEWAY);
}

#[test]
fn every_case_matches_its_file_as_far_as_other_kinds_have_words_for_it() {
    for kind in Kind::OTHERS {
        run(&kind);
    }
}

fn run(kind: &Kind) {
    let mut exceptions = kind.exceptions();
    let mut by_flags = BTreeMap::<&[String], Vec<&Case>>::new();
    for case in CASES.iter() {
        by_flags.entry(&case.flags).or_default().push(case);
    }
    let mut problems = Vec::new();
    for (flags, cases) in by_flags {
        let mut server = None;
        for case in cases {
            let Run { server: running, logged } = server.get_or_insert_with(|| Run::start(kind, flags));
            let result = case
                .check(&mut exceptions, || running.connect())
                .and_then(|()| has_logged(running, logged, case, &mut exceptions));
            if let Err(problem) = result {
                if !exceptions.excuse("answer", &case.name) {
                    problems.push(problem);
                }
                // The next case gets a new server.
                server = None;
            }
        }
        if let Some(Run { server, logged }) = server {
            let log = server.stop();
            if exchanges(&log) != logged {
                problems.push(format!("{flags:?}: the log has more exchanges than the cases:\n{}", log.join("\n")));
            }
        }
    }
    problems.extend(exceptions.unused());
    assert!(problems.is_empty(), "{}: {} problems:\n{}", kind.name, problems.len(), problems.join("\n"));
}

/// A server, and the exchanges that must be in its log.
struct Run {
    server: Server,
    logged: Vec<Logged>,
}

impl Run {
    fn start(kind: &Kind, flags: &[String]) -> Self {
        let launch = kind.tells().flags(flags);
        Self { server: launch.flags(["--access-log-format", "json"]).start(), logged: Vec::new() }
    }
}

/// Waits until the log has all exchanges of a case besides the earlier ones, and adds them to `logged`.
fn has_logged(
    server: &Server,
    logged: &mut Vec<Logged>,
    case: &Case,
    exceptions: &mut Exceptions,
) -> Result<(), String> {
    let before = logged.len();
    logged.extend(case.logged());
    if exceptions.excuse("handled", &case.name) {
        logged[before].is_handled = false;
    }
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

/// The exchanges in an access log of JSON lines, and whether a handler was called for them.
fn exchanges(log: &[String]) -> Vec<Logged> {
    let objects: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &'static str| objects.iter().filter(move |object| object["event"] == event);
    let handled: BTreeSet<u64> =
        of("output").filter(|line| line["text"] == "handled").filter_map(|line| line["id"].as_u64()).collect();
    of("request")
        .filter_map(|line| {
            let (id, status) = (line["id"].as_u64()?, line["status"].as_u64()?);
            Some(Logged { status: u16::try_from(status).ok()?, is_handled: handled.contains(&id) })
        })
        .collect()
}

#[test]
fn o1_every_case_is_captured_to_the_byte() {
    let mut by_flags = BTreeMap::<&[String], Vec<&Case>>::new();
    for case in CASES.iter() {
        by_flags.entry(&case.flags).or_default().push(case);
    }
    let mut exceptions = Kind::GATEWAY.exceptions();
    let mut exchanges = 0;
    for (flags, cases) in by_flags {
        let (place, taps) = (Place::new(), Taps::default());
        let launch = Kind::GATEWAY.tells().flags(flags);
        let server = launch.flags(["--capture"]).flags([&*place]).flags(["--access-log-format", "none"]).start();
        for case in cases {
            // What is answered is checked above.
            _ = case.check(&mut exceptions, || taps.tap(server.connect()));
        }
        let log = server.stop();
        assert!(!log.iter().any(|line| line.contains("not written")), "{log:#?}");
        let mut files = warc::read_path(&place).expect("the captures are readable");
        let records: Vec<Record> = files.by_ref().collect();
        assert_eq!(files.problems(), Vec::<String>::new());
        exchanges += taps.check(&records);
    }
    assert!(exchanges > CASES.len(), "{exchanges}");
}
