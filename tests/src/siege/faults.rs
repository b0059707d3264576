//! Injects every fault that a handler can cause, many times, beside ordinary requests.

mod inject;

mod kinds;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Barrier,
    thread,
    time::Duration,
};

use self::{
    inject::{Injected, inject},
    kinds::{End, Kind, Limits, Until},
};
use super::{
    Report, Scale, crowd,
    prober::{self, Latencies, Prober},
    report::{growth, in_ms},
};
use crate::{
    guest,
    server::{Launch, Server},
};

/// How many exchanges may run at once. If none is leaked, the same number fits again. Enough for all whose clients have
/// just left.
const PLACES: usize = 256;

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Faults of handlers",
        &["fault", "guest", "expected result", "faults", "wrong statuses", "wrong kinds", "lines missing", "slowest"],
    );
    let kinds = kinds::all();
    let (count, hogs) = (scale.of(100, 2), scale.of(64, 8));
    let mut by_limits = BTreeMap::<Limits, Vec<&Kind>>::new();
    for kind in &kinds {
        by_limits.entry(kind.until.limits()).or_default().push(kind);
    }
    let mut sums = Sums::default();
    for (limits, kinds) in by_limits {
        let hogs = if limits == Until::Itself.limits() { hogs } else { 0 };
        sums.add(besiege_server(limits, &kinds, (count, hogs), scale, &mut report));
    }
    report.count("faults injected", (kinds.len() * count + hogs) as u64, sums.injected);
    report.count(
        "kinds F1 to F25 and F27 that are missing (F5 is below F3, F26 cannot be injected)",
        0,
        missing(&kinds),
    );
    report.count("wrong statuses", 0, sums.statuses);
    report.count("wrong kinds", 0, sums.kinds);
    report.count("faults without their line in the log", 0, sums.lines);
    report.count("other requests that were not answered", 0, sums.unanswered);
    report.count("leaked descriptors", 0, sums.descriptors);
    report.count("memory images that outlive their pool", 0, sums.images);
    report.count("leaked instances", 0, sums.instances);
    report.count("bugs of the host", 0, sums.bugs);
    refused(scale.of(10, 1), &mut report);
    report.count("crashes", 0, sums.crashes);
    report
}

/// Attacks a server that has these limits with all kinds of faults that need them, and then with this many hogs.
fn besiege_server(
    limits: Limits,
    kinds: &[&Kind],
    (count, hogs): (usize, usize),
    scale: Scale,
    report: &mut Report,
) -> Sums {
    let programs: BTreeSet<&str> = kinds.iter().map(|kind| kind.program).chain(["hello", "sleeps"]).collect();
    let server = server(&programs, limits);
    let addr = server.addr();
    let hog = hog();
    // Inject each fault once before anything is counted, so that buffers have reached their final sizes.
    drop(crowd::each(kinds.len(), kinds.len(), |number| inject(addr, kinds[number])));
    if scale == Scale::Full {
        places(&server);
        drop(crowd::each(hogs, hogs, |_| inject(addr, &hog)));
    }
    let before = prober::probe(addr, "/hello", scale.of(500, 20));
    let (descriptors, resident) = (lasting_descriptors(&server), at_rest(&server, scale));
    let prober = Prober::start(addr, "/hello");
    let mut sums = Sums::default();
    for kind in kinds {
        sums.add(besiege(&server, kind, count, report));
    }
    if hogs > 0 {
        sums.add(besiege_with_hogs(&server, &hog, hogs, report));
    }
    let beside = prober.stop();

    let flags = limits.flags().join(" ");
    report.note(format!("Other requests, {flags}, before: {before}; beside the faults: {beside}."));
    if let Some(failure) = beside.failure() {
        report.note(format!("The first failure: {failure}"));
    }
    let grown = growth(resident, at_rest(&server, scale));
    report.measure(&format!("memory afterwards, {flags}"), "<= +16 MiB", format!("{grown:+.1} MiB"), grown <= 16.0);
    sums.unanswered = beside.failed();
    sums.descriptors = leaked_descriptors(&server, descriptors);
    sums.images = server.images().saturating_sub(programs.len()) as u64;
    sums.instances = (PLACES - places(&server)) as u64;
    sums.bugs = server.log().iter().filter(|line| line.contains(" host-bug: ")).count() as u64;
    sums.crashes = u64::from(has_crashed(server));
    sums
}

fn server(programs: &BTreeSet<&str>, limits: Limits) -> Server {
    Launch::mounted(&programs.iter().copied().collect::<Vec<_>>())
        .flags(limits.flags())
        .flags(["--max-total-memory", "1GiB", "--min-rate", "0"])
        .flags(["--max-exchanges", &PLACES.to_string(), "--max-computing", &PLACES.to_string()])
        .start()
}

/// The counts, summed over all kinds.
#[derive(Default)]
struct Sums {
    injected: u64,
    statuses: u64,
    kinds: u64,
    lines: u64,
    unanswered: u64,
    descriptors: u64,
    images: u64,
    instances: u64,
    bugs: u64,
    crashes: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.injected += other.injected;
        self.statuses += other.statuses;
        self.kinds += other.kinds;
        self.lines += other.lines;
        self.unanswered += other.unanswered;
        self.descriptors += other.descriptors;
        self.images += other.images;
        self.instances += other.instances;
        self.bugs += other.bugs;
        self.crashes += other.crashes;
    }
}

/// Injects one kind of fault, and reports it in a row.
fn besiege(server: &Server, kind: &Kind, count: usize, report: &mut Report) -> Sums {
    let target = format!("/{}{}", kind.program, kind.target);
    let before = server.log().len();
    let injected = crowd::each(count, kind.until.at_once(), |_| inject(server.addr(), kind));
    let missing = |log: &[String]| {
        let of = |is_it: fn(&str, &Kind, &str) -> bool| log.iter().filter(|line| is_it(line, kind, &target)).count();
        // Repeated faults are summarized in fewer lines, but the first one is always logged.
        count.saturating_sub(of(ends)) + usize::from(kind.end.fault().is_some() && of(reports) == 0)
    };
    let log = server.log_with(|log| missing(&log[before..]) == 0);
    row(kind, &injected, missing(&log[before..]), report)
}

/// Whether a line is the access log line of an exchange.
fn ends(line: &str, kind: &Kind, target: &str) -> bool {
    let status = match kind.end {
        End::Answer(status) | End::Fault(status, _) => status,
        // The status that the client received.
        End::Cut(_) => 200,
        End::Left => 499,
    };
    line.contains(&format!("{target} HTTP/1.1\" {status} "))
}

/// Whether a line reports a fault, or several repeated ones, of any exchange.
fn reports(line: &str, kind: &Kind, target: &str) -> bool {
    let Some((status, name)) = kind.end.fault() else { return false };
    let reported = |before: &str| line.split_once(&format!("{before} {status} ")).map(|(_, reported)| reported);
    let is_it = |reported: Option<&str>| {
        reported.and_then(|reported| reported.split_once(": ")).is_some_and(|(reported, _)| reported.ends_with(name))
    };
    is_it(reported("]")) && line.ends_with(&format!("{target} HTTP/1.1)")) || is_it(reported(" more times:"))
}

fn row(kind: &Kind, injected: &[Injected], lines: usize, report: &mut Report) -> Sums {
    let wrong = |is_right: fn(&Injected) -> bool| injected.iter().filter(|one| !is_right(one)).count() as u64;
    let statuses = wrong(|one| one.is_status_right);
    let kinds = wrong(|one| one.is_kind_right);
    let slowest = Latencies::of(injected.iter().map(|one| one.taken).collect()).percentile(100);
    report.row(vec![
        kind.number.into(),
        format!("`{}{}`", kind.program, kind.target),
        format!("{:?}", kind.end),
        injected.len().to_string(),
        statuses.to_string(),
        kinds.to_string(),
        lines.to_string(),
        in_ms(slowest),
    ]);
    if let Some(one) = injected.iter().find(|one| !one.is_status_right || !one.is_kind_right) {
        report.note(format!("{} `{}{}`: {}", kind.number, kind.program, kind.target, one.outcome));
    }
    Sums { injected: injected.len() as u64, statuses, kinds, lines: lines as u64, ..Sums::default() }
}

/// F5: many handlers at once that need all available memory.
fn hog() -> Kind {
    let hog = kinds::all().into_iter().find(|kind| kind.number == "F3").expect("F3 is in the table");
    Kind { number: "F5", ..hog }
}

fn besiege_with_hogs(server: &Server, hog: &Kind, count: usize, report: &mut Report) -> Sums {
    server.forget_peak();
    let before = server.resident();
    let injected = crowd::each(count, count, |_| inject(server.addr(), hog));
    let peak = growth(before, server.peak());
    report.measure("memory of all hogs at once", "<= 1100 MiB", format!("{peak:.0} MiB"), peak <= 1100.0);
    // The injection of F3 has checked that each fault is reported.
    row(hog, &injected, 0, report)
}

/// How many of F1 to F27 have no guest.
fn missing(kinds: &[Kind]) -> u64 {
    let there: BTreeSet<&str> = kinds.iter().map(|kind| kind.number).chain(["F5", "F26"]).collect();
    (1..=27).filter(|number| !there.contains(&*format!("F{number}"))).count() as u64
}

/// The memory of the server once it was idle for a while.
fn at_rest(server: &Server, scale: Scale) -> u64 {
    let looks = (0..scale.of(150, 1)).map(|_| {
        thread::sleep(Duration::from_millis(100));
        server.resident()
    });
    looks.min().unwrap_or_default()
}

/// How many more descriptors are open than before.
fn leaked_descriptors(server: &Server, before: usize) -> u64 {
    // Connections are closed shortly after their clients have received everything.
    let left = (0..1000)
        .map(|_| {
            drop(server.get("/hello"));
            lasting_descriptors(server).saturating_sub(before + 1)
        })
        .find(|left| *left == 0);
    left.map_or_else(|| lasting_descriptors(server).saturating_sub(before), |_| 0) as u64
}

/// Its descriptors without memory images, whose number depends on when the server was last idle.
fn lasting_descriptors(server: &Server) -> usize {
    server.descriptors().saturating_sub(server.images())
}

/// How many exchanges run at once under the highest possible load.
fn places(server: &Server) -> usize {
    let mut most = 0;
    // A leak persists through all attempts, but a slow moment of the machine does not.
    for _ in 0..5 {
        // No client may leave before all know whether they were admitted.
        let all_know = Barrier::new(PLACES);
        let answers = crowd::each(PLACES, PLACES, |_| {
            let begun = inject::begin(server.addr(), "/sleeps/late");
            all_know.wait();
            begun.is_ok_and(|(_, status)| status == 200)
        });
        most = most.max(answers.into_iter().filter(|is_in| *is_in).count());
        if most == PLACES {
            break;
        }
    }
    most
}

/// F4: the server refuses to start with a component that has more memories than an instance may have.
fn refused(count: usize, report: &mut Report) {
    let refusals = (0..count).map(|_| Launch::file(guest::program("has_nine_memories")).run());
    let wrong = refusals.filter(|ended| ended.code != Some(4) || !ended.stderr.contains("memories")).count();
    report.count("components with nine memories that are not refused with exit code 4", 0, wrong as u64);
}

fn has_crashed(server: Server) -> bool {
    server.signal(rustix::process::Signal::TERM);
    server.wait().0 != Some(0)
}
