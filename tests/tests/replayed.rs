//! Every case of `tests/requests`, random streams, and a handler in which everything varies: captured, and then replayed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::Instant,
};

use serde_json::{Value, json};
use wasmserve::capture::{
    message::Message,
    record::{Origin, Record},
    warc,
};
use wasmserve_tests::{
    TIMEOUT,
    behaviour::{Stage, play_mangled, play_random},
    captured::Taps,
    case::{CASES, Case},
    guest,
    kind::Kind,
    place::Place,
    server::Launch,
    viewed::Viewed,
};

/// All that a directory has captured: the originals by their seq, and the replays of each in order.
fn read(directory: &Path) -> (BTreeMap<u64, Record>, BTreeMap<u64, Vec<Record>>) {
    let mut files = warc::read_path(directory).expect("the captures are readable");
    let (mut originals, mut replays) = (BTreeMap::new(), BTreeMap::<u64, Vec<Record>>::new());
    for record in files.by_ref() {
        match record.origin {
            Origin::Client => drop(originals.insert(record.seq, record)),
            Origin::Replay { of, .. } => replays.entry(of.expect("the store had it")).or_default().push(record),
        }
    }
    assert_eq!(files.problems(), Vec::<String>::new());
    replays.values_mut().for_each(|replays| replays.sort_by_key(|replay| replay.seq));
    (originals, replays)
}

/// What its handler has got and its client was sent, without what the host alone decides. `is_live` leaves out the id of
/// the request.
fn outcome(record: &Record, is_live: bool) -> String {
    // Whether a connection stays open may depend on how much of a body has arrived.
    const OF_THE_HOST: [&str; 5] = ["date", "content-length", "transfer-encoding", "connection", "keep-alive"];
    let response = Message::response(record);
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut lines = vec![shown(&response.line)];
    for (name, value) in response.fields.iter().chain(&response.trailers) {
        if !OF_THE_HOST.into_iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
            lines.push(format!("{}: {}", shown(name), shown(value)));
        }
    }
    let id = record.id;
    let ids = [format!("environ wasmserve.request_id {id}"), format!("(exchange {id})")];
    for line in response.body.split(|byte| *byte == b'\n').map(shown) {
        let id = ids.iter().find(|id| is_live && line.ends_with(&***id));
        lines.push(id.map_or_else(|| line.clone(), |id| line.replace(&**id, "the id of the request")));
    }
    lines.push(format!("whole: {}, facts: {}", response.is_whole, json!(record.facts)));
    lines.join("\n")
}

/// How many exchanges are replayed by one process: a busy machine must not take too long for them.
const AT_ONCE: usize = 150;

/// Replays the exchanges of a capture that have these ids, with these flags, and compares everything. Returns why each is not
/// alike, if it is not.
fn replay(place: &Place, handler: &Path, flags: &[String], ids: &[u64]) -> BTreeMap<u64, Option<String>> {
    let mut results = BTreeMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let only = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let launch = Launch::bare().at(place).flags(["replay", "captures"]).flags([handler]);
        // It may be longer than what fits into a pipe.
        let report = place.join("report");
        let ended = launch.flags(["--json", "--only", &only]).flags(flags).into_file(&report).run();
        let report = fs::read_to_string(report).expect("it was written");
        let mut lines: Vec<Value> =
            report.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
        let counts = lines.pop().unwrap_or_else(|| panic!("there is no report: {ended:?}"));
        let count = |what: &str| counts[what].as_u64().unwrap_or_else(|| panic!("no {what}: {counts}"));
        assert_eq!(count("alike") + count("differ") + count("failed"), ids.len() as u64, "{counts}");
        for line in lines {
            // Framing may depend on time, and what is denied is not denied again. Neither counts.
            let differences = line["comparison"]["differences"].as_array();
            let is_same = differences.is_some_and(|all| all.iter().all(|each| each["counts"] == json!(false)));
            let is_alike = line["verdict"] == "alike" && is_same && line["left"].is_null();
            results.insert(line["id"].as_u64().expect("it has an id"), (!is_alike).then(|| line.to_string()));
        }
        assert!(ids.iter().all(|id| results.contains_key(id)), "{counts}");
    }
    results
}

#[test]
fn o6_every_case_is_replayed_with_the_same_bytes_and_the_same_environ() {
    let mut by_flags = BTreeMap::<&[String], Vec<&Case>>::new();
    for case in CASES.iter() {
        by_flags.entry(&case.flags).or_default().push(case);
    }
    let (mut problems, mut count) = (Vec::new(), 0);
    for (flags, cases) in by_flags {
        let (place, taps) = (Place::new(), Taps::default());
        let launch = Kind::GATEWAY.tells().flags(flags).at(&place).flags(["--access-log-format", "none"]);
        let memory = ["--ui-memory", "2GiB", "--capture-body", "64MiB"];
        let viewed = Viewed::start(launch.flags(["--capture", "captures"]).flags(memory));
        let mut exceptions = Kind::GATEWAY.exceptions();
        let mut expected = 0;
        for case in &cases {
            // What is answered is checked elsewhere.
            _ = case.check(&mut exceptions, || taps.tap(viewed.server.connect()));
            expected += case.logged().count() as u64;
        }
        // Also those whose clients have left.
        let begun = Instant::now();
        while viewed.ask("state", None).1["counts"]["seen"] != json!(expected) {
            assert!(begun.elapsed() < TIMEOUT, "not all of {expected} exchanges are captured with {flags:?}");
            thread::yield_now();
        }
        for seq in 1..=expected {
            for exact in [true, false] {
                let (status, answer) = viewed.ask(&format!("exchanges/{seq}/replay"), Some(&json!({ "exact": exact })));
                if status != 200 {
                    problems.push(format!("exchange {seq} with {flags:?} is not replayed: {answer}"));
                }
            }
        }
        viewed.server.stop();
        let (originals, replays) = read(&place.join("captures"));
        assert_eq!(taps.check(originals.values()), originals.len());
        // Each case has one connection, and they were made one after the other.
        let case = |record: &Record| &*cases[usize::try_from(record.connection).expect("it is small") - 1].name;
        for (seq, original) in &originals {
            count += 1;
            let name = case(original);
            let replays = replays.get(seq).map_or(&[][..], |replays| replays);
            if replays.len() != 2 {
                problems.push(format!("{name}: {} replays", replays.len()));
            }
            for (replay, is_live) in replays.iter().zip([false, true]) {
                let [before, after] = [original, replay].map(|record| outcome(record, is_live));
                if before != after {
                    problems.push(format!("{name}: before:\n{before}\nafter:\n{after}\n"));
                }
                let [before, after] = [original, replay].map(|record| &record.request.bytes);
                // A client need not send the rest of what was refused.
                let is_refused = Message::response(original).status() >= 400;
                let is_enough = is_refused && after.len() >= original.request.head().len() && before.starts_with(after);
                if before != after && !is_enough {
                    let [before, after] = [before, after].map(|bytes| bytes.escape_ascii());
                    problems.push(format!("{name}: sent:\n{before}\nsent again:\n{after}\n"));
                }
            }
        }
        let ids: Vec<u64> = originals.values().map(|original| original.id).collect();
        for (id, problem) in replay(&place, guest::program("tells_its_request"), flags, &ids) {
            let original = originals.values().find(|original| original.id == id).expect("it is an original");
            problems.extend(problem.map(|problem| format!("{}: {problem}", case(original))));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(count > CASES.len(), "{count}");
}

#[test]
fn o6_random_streams_are_alike_when_they_are_replayed() {
    for play in [play_random, play_mangled] {
        let place = Place::new();
        play(Stage::capturing_into(&place.join("captures")), 150);
        let ids: Vec<u64> = read(&place.join("captures")).0.values().map(|original| original.id).collect();
        let results = replay(&place, guest::program("follows_a_script"), &[], &ids);
        let problems: Vec<&String> = results.values().flatten().collect();
        assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), results.len(), json!(problems));
        assert!(results.len() >= 150);
    }
}

/// Another server, which counts its connections.
struct Other(SocketAddr);

impl Other {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let addr = listener.local_addr().expect("it listens");
        thread::spawn(move || {
            let mut count = 0;
            for stream in listener.incoming() {
                let stream = stream.expect("there are descriptors");
                if Self::answer(&stream, count) == "count" {
                    continue;
                }
                count += 1;
            }
        });
        Self(addr)
    }

    /// Answers with the number of connections before. Returns the first line.
    fn answer(mut stream: &TcpStream, count: usize) -> String {
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let body = format!("{count}\n");
        let rest = format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        // Its client may have left.
        _ = stream.write_all(&[b"HTTP/1.1 200 OK\r\nX-Odd: \xe9\xff\r\n", rest.as_bytes()].concat());
        first
    }

    /// How many connections were made to it. They are accepted in order, so this sees all that were made before.
    fn connections(&self) -> usize {
        let mut stream = TcpStream::connect(self.0).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        stream.write_all(b"count\r\n\r\n").expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let answer = String::from_utf8_lossy(&answer);
        answer.lines().last().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("no number: {answer}"))
    }
}

#[test]
fn o7_of_a_hundred_runs_the_live_ones_differ_and_the_exact_ones_are_identical_and_send_nothing() {
    const RUNS: usize = 100;
    let other = Other::start();
    let target = format!("/?authority={}", other.0);
    let grants = ["--allow-net".to_owned(), other.0.to_string()];
    let viewed = Viewed::start(Launch::program("varies").flags(grants));
    let length = 100_000;
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let response = viewed.server.ask([head.into_bytes(), vec![b'x'; length]].concat());
    assert_eq!(response.status, 200, "{response:?}");
    let original = response.text().to_owned();
    assert!(original.contains("asked Ok(\"200 "), "{original}");
    let seq = viewed.find(&target)["seq"].clone();
    assert_eq!(other.connections(), 1);
    // The bodies of the responses to this many replays, several at a time: each sleeps if it is live.
    let replay = |exact: bool| -> Vec<String> {
        let run = || {
            let (status, new) = viewed.ask(&format!("exchanges/{seq}/replay"), Some(&json!({ "exact": exact })));
            assert_eq!(status, 200, "{new}");
            let new = &new["seq"];
            let (_, detail) = viewed.ask(&format!("exchanges/{new}"), None);
            assert_eq!(detail["record"]["left"], Value::Null, "{detail}");
            String::from_utf8(viewed.bytes(&format!("exchanges/{new}/response/body"))).expect("it is text")
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| [(); RUNS / 10].map(|()| run()))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it is replayed")).collect()
        })
    };
    let live: BTreeSet<String> = replay(false).into_iter().collect();
    assert_eq!((live.len(), live.contains(&original)), (RUNS, false), "{live:?}");
    assert_eq!(other.connections(), 1 + RUNS, "a live replay sends its request");
    for exact in replay(true) {
        assert_eq!(exact, original);
    }
    assert_eq!(other.connections(), 1 + RUNS, "an exact replay connects to nothing");
    viewed.server.stop();
}

#[test]
fn o7_what_other_servers_answer_is_repeated_also_if_it_is_not_read_or_an_error() {
    let place = Place::new();
    let other = Other::start();
    // Nothing listens there any more.
    let refuses = TcpListener::bind("127.0.0.1:0").expect("there are free ports").local_addr().expect("it listened");
    let addr = other.0;
    let grants = ["--allow-net".to_owned(), addr.to_string(), "--allow-net".to_owned(), refuses.to_string()];
    let server = Launch::program("varies").at(&place).flags(["--capture", "captures"]).flags(grants).start();
    for (query, seen) in [
        (format!("glance={addr}"), "glanced Ok(\"200 [[233, 255]]\")".to_owned()),
        (format!("authority={refuses}"), "asked Err(\"ErrorCode::ConnectionRefused\")".to_owned()),
        // It is not granted.
        ("authority=127.0.0.1:1".to_owned(), "asked Err(\"ErrorCode::HttpRequestDenied\")".to_owned()),
        (format!("authority={addr}&glance=127.0.0.1:1"), "glanced Err(\"ErrorCode::HttpRequestDenied\")".to_owned()),
    ] {
        let response = server.get(&format!("/?{query}"));
        assert!(response.text().contains(&seen), "{query}: {}", response.text());
    }
    server.stop();
    let asked = other.connections();
    let ids: Vec<u64> = read(&place.join("captures")).0.values().map(|original| original.id).collect();
    assert_eq!((ids.len(), asked), (4, 2));
    let results = replay(&place, guest::program("varies"), &[], &ids);
    assert_eq!(results.values().flatten().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(other.connections(), asked, "a replay sends nothing");
}
