//! Checks the cases of `tests/requests` with the gateway's functions. `tests/requests.rs` runs them over sockets.

use std::collections::BTreeSet;

use wasmserve::{
    Limits,
    gateway::{
        environ::{self, Facts, Peer, Variable},
        forwarded::{self, Proxies},
        mounts::Mount,
        request::{RequestHead, RequestLimits},
    },
};
use wasmserve_tests::{
    case::{CASES, Case, template::Ends, view::HandlerView},
    kind::Kind,
};

/// The flags of a case, as settings for the gateway's functions.
struct Settings {
    trusted: Vec<Proxies>,
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

/// The head of a case's first request as the gateway receives it, without the empty lines before it.
fn first_head(case: &Case) -> RequestHead {
    let sent = case.sent_first();
    let blank = sent.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
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
                    id: 1,
                    timeout: Limits::DEFAULT.timeout,
                    env: &settings.env,
                };
                let environ = environ::build(&head, &facts);
                let view = HandlerView {
                    environ: environ.into_iter().map(|(name, value)| (name.into_owned(), value.to_vec())).collect(),
                    headers: head
                        .fields()
                        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                        .collect(),
                    raw_head: head.raw().to_vec(),
                    ..HandlerView::default()
                };
                problems.extend(case.problems(answer, &view, &ends, &mut Kind::GATEWAY.exceptions()));
            }
            // The HTTP parser or the server itself answers these.
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
