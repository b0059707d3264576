//! Marks on connections that several requests share: in sequence, pipelined, and as streams of HTTP/2.

use rustix::process::Signal;
use wasmserve_test_programs::mark::{self, Mark};

use super::{
    findings::Findings,
    trial::{self, ENDINGS, Ending, Guest},
};
use crate::{
    client::{Client, Head},
    http2::{self, Http2},
    server::{Launch, Server},
    siege::{Report, Scale, crowd},
};

const TRAPS: Ending = ENDINGS[2];

/// How many requests each connection carries.
const REQUESTS: usize = 12;

/// A way to send all of them.
type Way = fn(&Server, usize) -> u64;

const WAYS: [(&str, Way); 3] = [
    ("one connection, in sequence", one_by_one),
    ("one connection, pipelined", pipelined),
    ("one HTTP/2 connection, concurrent streams", streams),
];

pub(super) fn lay(scale: Scale, findings: &mut Findings, report: &mut Report) {
    let names = [Guest::Spy.name(), Guest::Filler.name()];
    let server = Launch::mounted(&names).flags(["--cpu-time", "1s"]).start();
    for (name, way) in WAYS {
        let connections = scale.of(400, 4);
        let foreign: u64 = crowd::each(connections, 4, |number| way(&server, number)).into_iter().sum();
        findings.add("foreign marks in answers", foreign);
        report.row(vec![format!("answers: {name}"), (connections * REQUESTS).to_string(), foreign.to_string()]);
    }
    server.signal(Signal::TERM);
    let (code, log) = server.wait();
    findings.add("exits of the server", u64::from(code != Some(0)));
    findings.judge_log(&log, &[]);
}

/// What the request with this number does: it returns or fails, and the connection stays open.
fn plan(connection: usize, number: usize) -> (Guest, Ending, Mark) {
    (Guest::of(connection + number / 2), ENDINGS[usize::from(number % 3 == 2)], trial::new_mark())
}

fn request((guest, ending, mark): &(Guest, Ending, Mark)) -> String {
    let target = ending.target(*guest, mark);
    format!("POST {target} HTTP/1.1\r\nHost: siege\r\nX-Mark: {mark}\r\nContent-Length: {}\r\n\r\n{mark}", mark::LENGTH)
}

fn one_by_one(server: &Server, connection: usize) -> u64 {
    let mut client = server.connect();
    let mut foreign = 0;
    for number in 0..REQUESTS {
        let plan = plan(connection, number);
        client.send(request(&plan));
        foreign += next_answer(&mut client, plan);
    }
    foreign
}

fn pipelined(server: &Server, connection: usize) -> u64 {
    let mut client = server.connect();
    let plans: Vec<_> = (0..REQUESTS).map(|number| plan(connection, number)).collect();
    client.send(plans.iter().map(request).collect::<String>());
    plans.into_iter().map(|plan| next_answer(&mut client, plan)).sum()
}

/// Counts foreign marks in the next response, plus one if the request's own mark is missing.
fn next_answer(client: &mut Client, (guest, ending, mark): (Guest, Ending, Mark)) -> u64 {
    let response = client.response();
    judge(&response.head, &response.body, guest, ending, mark)
}

fn judge(head: &Head, body: &[u8], guest: Guest, ending: Ending, mark: Mark) -> u64 {
    let fields = head.fields.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value.as_bytes(), b"\n"]);
    let all = [head.reason.as_bytes(), b"\n", &fields.collect::<Vec<_>>().concat(), body].concat();
    let is_silent = ending.is_silent(guest);
    let is_there = mark::all(&all).any(|found| found == mark) != is_silent;
    let is_status_right = head.status == if is_silent { 500 } else { 200 };
    trial::foreign_in(&all, guest, ending, &mark) + u64::from(!is_there || !is_status_right)
}

/// A quarter of them trap, and are reset; a sixth are reset by the client.
fn streams(server: &Server, connection: usize) -> u64 {
    let mut client = Http2::connect(server.addr());
    let begun: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let (guest, ending, mark) = plan(connection, number);
            let ending = if number % 4 == 3 { TRAPS } else { ending };
            let (target, text) = (ending.target(guest, &mark), mark.to_string());
            let mut fields = http2::fields("POST", &target);
            fields.push(("x-mark", &text));
            let stream = client.begin(&fields);
            client.last(stream, &text);
            let is_taken_back = number % 6 == 5;
            if is_taken_back {
                client.reset(stream);
            }
            (stream, guest, ending, mark, is_taken_back)
        })
        .collect();
    let mut foreign = 0;
    for (stream, guest, ending, mark, _) in begun.into_iter().filter(|(.., is_taken_back)| !is_taken_back) {
        let head = client.head(stream);
        let mut body = Vec::new();
        while let Some(piece) = client.piece(stream) {
            body.extend(piece);
        }
        foreign += match head {
            // How much of the response arrives does not matter here.
            _ if ending == TRAPS => trial::foreign_in(&body, guest, ending, &mark),
            Some(head) => judge(&head, &body, guest, ending, mark),
            None => 1,
        };
    }
    foreign
}
