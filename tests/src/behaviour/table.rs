//! A table of behaviours, each with its rule.

use super::{
    model::part,
    stage::{Record, Stage},
};
use crate::{
    client::{Client, Close, End, Head, Response},
    host::Host,
    kind::{Difference, Kind},
};
use wasmserve_test_programs::{self as script, Step};

/// The end of a response that the client sees to be incomplete, on its line.
const CUT: &str = " (cut)";

/// The end of a response without a Date, on its line.
const UNDATED: &str = " (no date)";

/// A connection that is closed without a response.
const NOTHING: &str = "(nothing)";

/// A response on one line: status, fields (without `Date` and our `Server`), how the body is framed, the body.
pub(super) fn render(client: &mut Client, is_head: bool) -> Option<String> {
    let head = client.head()?;
    if head.status == 100 {
        return Some(format!("100, {}", render(client, is_head)?));
    }
    let is_bodyless = is_head || matches!(head.status, 204 | 205 | 304);
    let mut chunks = Vec::new();
    let mut end = End::Whole;
    if !is_head {
        let mut body = client.body(&head);
        chunks.extend(body.by_ref());
        end = body.end();
    }
    if let Some(fault) = head.field("wasmserve-fault") {
        let text = String::from_utf8_lossy(&chunks.concat()).into_owned();
        assert!(is_head || text.starts_with(&head.status.to_string()) && end == End::Whole, "{head:?}: {text}");
        return Some(format!("{} {fault}", head.status));
    }
    let body = if is_bodyless {
        assert!(chunks.is_empty(), "{head:?} has a body: {chunks:?}");
        "none".to_owned()
    } else if head.field("transfer-encoding").is_some() {
        format!("chunks {}", chunks.iter().map(|chunk| part(chunk)).collect::<Vec<_>>().join(", "))
    } else if head.field("content-length").is_some() {
        format!("length {}", part(&chunks.concat()))
    } else {
        format!("until close {}", part(&chunks.concat()))
    };
    let cut = if end == End::Cut { CUT } else { "" };
    let dated = if head.field("date").is_some() { "" } else { UNDATED };
    Some(format!("{} {}{}|{body}{cut}{dated}", head.status, head.reason, fields(&head)))
}

/// The fields in alphabetical order, without the ones that are in every response and those that frame the body.
fn fields(head: &Head) -> String {
    let is_ours = |name: &str, value: &str| name == "server" && value.starts_with("wasmserve/");
    let frames = |name: &str| matches!(name, "date" | "connection" | "keep-alive" | "transfer-encoding");
    let mut fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    fields.retain(|(name, value)| !frames(name) && !is_ours(name, value));
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields.iter().map(|(name, value)| format!("|{name}: {value}")).collect()
}

/// A request that carries a script.
pub(super) fn request(line: &str, fields: &str, steps: &[Step], body: &[u8]) -> Vec<u8> {
    let head = format!("{line}\r\nHost: test\r\n{fields}{}: {}\r\n\r\n", script::FIELD, script::to_field(steps));
    [head.as_bytes(), body].concat()
}

/// A row of the table.
struct Row {
    rule: &'static str,
    line: &'static str,
    fields: &'static str,
    body: &'static str,
    steps: Vec<Step>,
    answer: &'static str,
    reported: &'static [&'static str],
    fault: Option<&'static str>,
    goes_on: bool,
}

fn start(status: &str, fields: &[(&str, &str)]) -> Step {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Step::Start { status: status.into(), fields, exc_info: None }
}

fn restart(status: &str, fields: &[(&str, &str)]) -> Step {
    let Step::Start { status, fields, .. } = start(status, fields) else {
        unreachable!("`start` returns this variant")
    };
    Step::Start { status, fields, exc_info: Some("boom".into()) }
}

fn respond(status: &str, fields: &[(&str, &str)], body: &str) -> Step {
    let Step::Start { status, fields, .. } = start(status, fields) else {
        unreachable!("`start` returns this variant")
    };
    Step::Respond { status, fields, body: body.into() }
}

fn write(chunk: &str) -> Step {
    Step::Write(chunk.into())
}

fn finish(last: &str) -> Step {
    Step::Finish(last.into())
}

/// A GET with this script.
fn row(rule: &'static str, steps: impl IntoIterator<Item = Step>, answer: &'static str) -> Row {
    let steps = steps.into_iter().collect();
    let (line, fields, body) = ("GET", "", "");
    Row { rule, line, fields, body, steps, answer, reported: &[], fault: None, goes_on: true }
}

impl Row {
    fn line(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    fn sends(self, fields: &'static str, body: &'static str) -> Self {
        Self { line: "POST", fields, body, ..self }
    }

    fn reports(self, reported: &'static [&'static str]) -> Self {
        Self { reported, ..self }
    }

    fn fault(self, fault: &'static str) -> Self {
        Self { fault: Some(fault), ..self }
    }

    fn closes(self) -> Self {
        Self { goes_on: false, ..self }
    }

    /// What a handler of this kind reports: of reading in all kinds, and of the rest in the words of our own world.
    fn reported_by(&self, kind: &Kind) -> Vec<String> {
        let is_reading = |step: &Step| match step {
            Step::Trailers => kind.has_trailers(),
            _ => matches!(step, Step::Read(_) | Step::ReadAll | Step::Get(_)),
        };
        let reported = self.steps.iter().zip(self.reported);
        let reported = reported.filter(|(step, _)| kind.is_gateway() || is_reading(step));
        let exception = |step: &Step| match step {
            // On other hosts it is a line of the same log.
            Step::Start { exc_info, .. } if kind.is_exported => exc_info.clone(),
            _ => None,
        };
        reported.flat_map(|(step, line)| exception(step).into_iter().chain([(*line).to_owned()])).collect()
    }
}

fn table() -> Vec<Row> {
    let ok = || start("200 OK", &[]);
    let length = |length: &'static str| start("200 OK", &[("Content-Length", length)]);
    vec![
        // start_response
        row("S1", [ok(), Step::Fail("no".into())], "500 exception").reports(&["ok"]).fault("exception"),
        row("S2", [ok(), start("201 No", &[]), finish("a")], "200 OK|content-length: 1|length <a>").reports(&[
            "ok",
            "already-started",
            "ok",
        ]),
        row(
            "S3",
            [start("200 OK", &[("A", "b")]), restart("503 Sorry", &[("C", "d")])],
            "503 Sorry|c: d|content-length: 0|length <>",
        )
        .reports(&["ok", "ok"]),
        row("S4", [ok(), write("a"), restart("503 Sorry", &[])], "200 OK|chunks <a> (cut)")
            .reports(&["ok", "ok", "headers-sent"])
            .fault("exception")
            .closes(),
        row("S5", [start("nonsense", &[]), ok()], "500 bad-response-head")
            .reports(&["bad-status", "already-started"])
            .fault("bad-response-head"),
        row("S5", [start("nonsense", &[]), restart("200 OK", &[])], "200 OK|content-length: 0|length <>")
            .reports(&["bad-status", "ok"]),
        row("S6", [start("099 Low", &[])], "500 bad-response-head").reports(&["bad-status"]).fault("bad-response-head"),
        row("S6", [start("1000 High", &[])], "500 bad-response-head")
            .reports(&["bad-status"])
            .fault("bad-response-head"),
        row("S6", [start("101 Switching Protocols", &[])], "500 bad-response-head")
            .reports(&["bad-status"])
            .fault("bad-response-head"),
        row("S6", [start("999", &[])], "999 |content-length: 0|length <>").reports(&["ok"]),
        row("S7", [start("200 Fine by me", &[])], "200 Fine by me|content-length: 0|length <>").reports(&["ok"]),
        row("S7", [start("200 ", &[])], "200 |content-length: 0|length <>").reports(&["ok"]),
        row("S8", [start("200 OK", &[("X", "a\r\nSet-Cookie: evil")])], "500 bad-response-head")
            .reports(&["bad-header"])
            .fault("bad-response-head"),
        row("S8", [start("200 OK", &[("X Y", "a")])], "500 bad-response-head")
            .reports(&["bad-header"])
            .fault("bad-response-head"),
        row(
            "S8",
            [start("200 OK", &[("X", " \tcaf\u{e9} ")])],
            "200 OK|content-length: 0|x: caf\u{c3}\u{a9}|length <>",
        )
        .reports(&["ok"]),
        row("S9", [start("200 OK", &[("Connection", "close")])], "500 bad-response-head")
            .reports(&["hop-by-hop"])
            .fault("bad-response-head"),
        row("S9", [start("200 OK", &[("Transfer-Encoding", "chunked")])], "500 bad-response-head")
            .reports(&["hop-by-hop"])
            .fault("bad-response-head"),
        row("S10", [start("200 OK", &[("Content-Length", "1"), ("Content-Length", "1")])], "500 bad-response-head")
            .reports(&["bad-header"])
            .fault("bad-response-head"),
        row("S10", [start("200 OK", &[("Content-Length", "1, 1")])], "500 bad-response-head")
            .reports(&["bad-header"])
            .fault("bad-response-head"),
        row(
            "S11",
            [start("200 OK", &[("Set-Cookie", "a"), ("B", "x"), ("Set-Cookie", "c")])],
            "200 OK|b: x|content-length: 0|set-cookie: a|set-cookie: c|length <>",
        )
        .reports(&["ok"]),
        row("S12", [start("200 OK", &[("Server", "mine")])], "200 OK|content-length: 0|server: mine|length <>")
            .reports(&["ok"]),
        // Bodies
        row("B1", [length("2"), write("abc"), write("d")], "200 OK|content-length: 2|length <ab>").reports(&[
            "ok",
            "past-content-length",
            "past-content-length",
        ]),
        row("B1", [length("2"), write("ab"), write("")], "200 OK|content-length: 2|length <ab>")
            .reports(&["ok", "ok", "ok"]),
        row("B2", [length("5"), write("ab")], "200 OK|content-length: 5|length <ab> (cut)")
            .reports(&["ok", "ok"])
            .fault("short-body")
            .closes(),
        row("B2", [length("5"), finish("ab")], "200 OK|content-length: 5|length <ab> (cut)")
            .reports(&["ok", "ok"])
            .fault("short-body")
            .closes(),
        row("B3", [respond("200 OK", &[], "abc")], "200 OK|content-length: 3|length <abc>").reports(&["ok"]),
        row("B3", [ok(), finish("abc")], "200 OK|content-length: 3|length <abc>").reports(&["ok", "ok"]),
        row("B4", [ok(), write("a"), write(""), write("bc")], "200 OK|chunks <a>, <bc>")
            .reports(&["ok", "ok", "ok", "ok"]),
        row("B4", [ok(), write("a"), finish("bc")], "200 OK|chunks <a>, <bc>").reports(&["ok", "ok", "ok"]),
        row("B4", [ok(), write("a"), write("bc")], "200 OK|until close <abc>")
            .line("GET 1.0")
            .reports(&["ok", "ok", "ok"])
            .closes(),
        row("X3", [ok(), write("a"), Step::Fail("no".into())], "200 OK|until close <a> (cut)")
            .line("GET 1.0")
            .reports(&["ok", "ok"])
            .fault("exception")
            .closes(),
        row("B5", [ok(), write(""), restart("503 Later", &[])], "503 Later|content-length: 0|length <>")
            .reports(&["ok", "ok", "ok"]),
        row("B6", [ok()], "200 OK|content-length: 0|length <>").reports(&["ok"]),
        row("B6", [ok(), write("")], "200 OK|content-length: 0|length <>").reports(&["ok", "ok"]),
        row("B9", [ok(), write("a"), write("b")], "200 OK|none").line("HEAD").reports(&["ok", "ok", "ok"]),
        row("B9", [ok(), finish("abc")], "200 OK|content-length: 3|none").line("HEAD").reports(&["ok", "ok"]),
        row("B9", [length("7"), write("abc")], "200 OK|content-length: 7|none").line("HEAD").reports(&["ok", "ok"]),
        row("B10", [start("204 No Content", &[("Content-Length", "3")]), write("abc")], "204 No Content|none")
            .reports(&["ok", "ok"]),
        row("B10", [start("205 Reset Content", &[]), write("abc")], "205 Reset Content|content-length: 0|none")
            .reports(&["ok", "ok"]),
        row(
            "B10",
            [start("304 Not Modified", &[("ETag", "\"x\"")]), write("abc")],
            "304 Not Modified|etag: \"x\"|none",
        )
        .reports(&["ok", "ok"]),
        row("B10", [start("304 Not Modified", &[("Content-Length", "7")])], "304 Not Modified|content-length: 7|none")
            .reports(&["ok"]),
        row("B11", [ok(), finish("a\r\nb\nc\0")], "200 OK|content-length: 7|length <a\\r\\nb\\nc\\x00>")
            .reports(&["ok", "ok"]),
        row("B12", [ok(), finish("abc"), Step::Fail("late".into())], "200 OK|content-length: 3|length <abc>")
            .reports(&["ok", "ok"])
            .fault("exception"),
        row("B12", [ok(), finish("a"), write("b"), finish("c")], "200 OK|content-length: 1|length <a>").reports(&[
            "ok",
            "ok",
            "disconnected",
            "disconnected",
        ]),
        row("B13", [ok(), write("a"), write("b")], "200 OK|chunks <a>, <b>")
            .sends("TE: trailers\r\nContent-Length: 0\r\n", "")
            .reports(&["ok", "ok", "ok"]),
        row("B14", [start("103 Early Hints", &[]), restart("200 OK", &[])], "200 OK|content-length: 0|length <>")
            .reports(&["bad-status", "ok"]),
        // Errors
        row("K4", [ok(), Step::Fail("no".into())], "500 exception").reports(&["ok"]).fault("exception"),
        row("X1", [Step::Fail("no".into())], "500 exception").fault("exception"),
        row("X2", [], "500 no-start-response").fault("no-start-response"),
        row("X2", [write("a"), finish("b")], "500 no-start-response")
            .reports(&["not-started", "not-started"])
            .fault("no-start-response"),
        row("X3", [ok(), write("a"), Step::Fail("no".into())], "200 OK|chunks <a> (cut)")
            .reports(&["ok", "ok"])
            .fault("exception")
            .closes(),
        row("X3", [length("9"), write("a"), Step::Fail("no".into())], "200 OK|content-length: 9|length <a> (cut)")
            .reports(&["ok", "ok"])
            .fault("exception")
            .closes(),
        row("X1", [Step::Trap], "500 trap").fault("trap"),
        row("X3", [ok(), write("a"), Step::Trap], "200 OK|chunks <a> (cut)")
            .reports(&["ok", "ok"])
            .fault("trap")
            .closes(),
        row("X3", [length("9"), write("a"), Step::Trap], "200 OK|content-length: 9|length <a> (cut)")
            .reports(&["ok", "ok"])
            .fault("trap")
            .closes(),
        // Input
        row(
            "I1",
            [Step::ReadAll, Step::ReadAll, Step::Read(9), respond("200 OK", &[], "")],
            "200 OK|content-length: 0|length <>",
        )
        .sends("Content-Length: 5\r\n", "hello")
        .reports(&["5 octets, a430d84680aabd0b", "0 octets, cbf29ce484222325", "", "ok"]),
        row("I2", [Step::ReadAll, respond("200 OK", &[], "")], "200 OK|content-length: 0|length <>")
            .sends("Content-Length: 2\r\n", "hi")
            .reports(&["2 octets, 08ba5f07b55ec3da", "ok"]),
        row("I3", [Step::ReadAll, respond("200 OK", &[], "")], "200 OK|content-length: 0|length <>")
            .line("POST")
            .reports(&["0 octets, cbf29ce484222325", "ok"]),
        row(
            "I4",
            [Step::Trailers, Step::ReadAll, Step::Trailers, respond("200 OK", &[], "")],
            "200 OK|content-length: 0|length <>",
        )
        .sends("Transfer-Encoding: Chunked\r\n", "3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n")
        .reports(&["", "5 octets, a430d84680aabd0b", "x-sum: 7", "ok"]),
        row("I6", [Step::ReadAll, respond("200 OK", &[], "")], "200 OK|content-length: 0|length <>")
            .sends("Transfer-Encoding: chunked\r\n", "zz\r\n")
            .reports(&["0 octets, cbf29ce484222325, then malformed", "ok"])
            .closes(),
        row("I9", [Step::Get("HTTP_EXPECT".into()), respond("200 OK", &[], "")], "200 OK|content-length: 0|length <>")
            .sends("Expect: 100-continue\r\n", "")
            .reports(&["100-continue", "ok"]),
        row(
            "E4",
            [Step::Get("CONTENT_LENGTH".into()), Step::Get("HTTP_CONTENT_LENGTH".into()), respond("200 OK", &[], "")],
            "200 OK|content-length: 0|length <>",
        )
        .sends("Content-Length: 2\r\n", "hi")
        .reports(&["2", "absent", "ok"]),
        row("K5", [respond("200 OK", &[], "unread")], "200 OK|content-length: 6|length <unread>")
            .sends("Content-Length: 5\r\n", "hello")
            .reports(&["ok"]),
        row("K6", [respond("200 OK", &[], "unread")], "200 OK|content-length: 6|length <unread>")
            .sends("Content-Length: 35\r\n", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n\n")
            .reports(&["ok"]),
    ]
}

impl Difference {
    /// Changes the row that it is about.
    fn apply(&self, rows: &mut [Row]) -> Result<(), String> {
        let (rule, number) = self.row;
        let Some(row) = rows.iter_mut().filter(|row| row.rule == rule).nth(number - 1) else {
            return Err(format!("{rule} has no row {number}"));
        };
        let before = (row.answer, row.fault, row.goes_on, if self.reported.is_empty() { &[] } else { row.reported });
        (row.answer, row.fault, row.goes_on, row.reported) = (self.answer, self.fault, self.goes_on, self.reported);
        if before == (row.answer, row.fault, row.goes_on, row.reported) {
            return Err(format!("row {number} of {rule} does not differ, although {}", self.why));
        }
        Ok(())
    }
}

/// Runs a row on its own connection, and collects the differences from the expectation.
fn play(stage: &Stage, number: usize, row: &Row) -> Vec<String> {
    let target = format!("/{number}");
    let (method, version) = row.line.split_once(' ').unwrap_or((row.line, "1.1"));
    let mut client = stage.connect();
    let steps = [stage.mark(), row.steps.clone()].concat();
    client.send(request(&format!("{method} {target} HTTP/{version}"), row.fields, &steps, row.body.as_bytes()));
    let answer = render(&mut client, method == "HEAD").unwrap_or_else(|| NOTHING.into());
    let reported = row.reported_by(&stage.kind);
    let wanted = Record { status: 0, fault: row.fault.map(str::to_owned), reported };
    let record = stage.record(&target, &wanted);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, got: String, expected: String| {
        if got != expected {
            wrong.push(format!("{} on {}: {what}\n     got {got}\nexpected {expected}", row.rule, stage.name));
        }
    };
    let answer = match stage.kind.host {
        Host::Example if answer.starts_with("500 ") && row.answer.starts_with("500 ") => row.answer.to_owned(),
        Host::Example => answer.replace(UNDATED, ""),
        _ => answer,
    };
    let head = |answer: &str| answer.split(" <").next().map(str::to_owned);
    let is_lost = stage.kind.host.may_drop_what_is_cut()
        && !row.goes_on
        && (answer == NOTHING
            || answer.ends_with(CUT) && head(&unframed(&answer, row)) == head(&unframed(row.answer, row)));
    match stage.kind.frames_by_itself() {
        _ if is_lost => {}
        true => compare("answer", answer, row.answer.into()),
        false => compare("answer", unframed(&answer, row), unframed(row.answer, row)),
    }
    compare("reported", format!("{:?}", record.reported), format!("{:?}", wanted.reported));
    compare("fault", format!("{:?}", record.fault), format!("{:?}", wanted.fault));
    if row.goes_on {
        client.send(request("GET /next HTTP/1.1", "", &[respond("200 OK", &[], "next")], b""));
        let next = client.try_response().as_ref().map(Response::text).map(str::to_owned);
        compare("the next request", format!("{next:?}"), format!("{:?}", Some("next")));
    } else if !stage.kind.host.ends_with_what_is_cut() {
        let (rest, close) = client.rest();
        compare("the close", format!("{rest:?} {close:?}"), format!("[] {:?}", Close::Orderly));
    }
    wrong
}

/// A response without what depends on time: whether the length of a body was known when it began, if the handler did not
/// declare it.
fn unframed(answer: &str, row: &Row) -> String {
    let declares = |fields: &[(String, Vec<u8>)]| fields.iter().any(|(name, _)| name == "Content-Length");
    let is_declared = row.steps.iter().any(|step| match step {
        Step::Start { fields, .. } | Step::Respond { fields, .. } => declares(fields),
        _ => false,
    });
    if is_declared {
        return answer.to_owned();
    }
    let fields = answer.split('|').filter(|part| !part.starts_with("content-length: "));
    let fields = fields.map(|part| match part.split_once(" <") {
        Some(("length" | "chunks" | "until close", body)) => format!("body <{}", body.replace(">, <", "")),
        _ => part.to_owned(),
    });
    fields.collect::<Vec<_>>().join("|")
}

/// Runs the whole table.
///
/// # Panics
///
/// The result of a row differs from the table.
pub fn play_all(mut stage: Stage) {
    let mut rows = table();
    if !stage.has_traps() {
        // An exception stands for a trap.
        rows.iter_mut().filter(|row| row.fault == Some("trap")).for_each(|row| row.fault = Some("exception"));
        rows.iter_mut().filter(|row| row.answer == "500 trap").for_each(|row| row.answer = "500 exception");
    }
    let mut wrong: Vec<String> =
        stage.kind.differs.iter().filter_map(|difference| difference.apply(&mut rows).err()).collect();
    for (number, row) in rows.iter().enumerate() {
        wrong.extend(play(&stage, number, row));
        let is_broken =
            row.answer.ends_with(CUT) || row.fault.is_some() && !row.goes_on || row.answer.starts_with("400");
        if stage.kind.host.ends_with_what_is_cut() && is_broken {
            stage.restart();
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    stage.stop();
}
