//! The kinds of faults of handlers, with their promised results.
//!
//! This is the table to edit when a promise changes.

use std::time::Duration;

/// A kind of fault.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its number in the list of faults.
    pub(super) number: &'static str,
    /// The guest that causes it.
    pub(super) program: &'static str,
    /// The target below the guest's mount.
    pub(super) target: &'static str,
    /// What the client does.
    pub(super) client: Client,
    /// The promised result.
    pub(super) end: End,
    /// What ends the handler.
    pub(super) until: Until,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Sends a GET and reads everything.
    Gets,
    /// Sends a body of 1 MiB, and reads everything.
    Posts,
    /// Sends a GET and reads nothing until the exchange has ended.
    Stalls,
    /// Sends a GET, and leaves when the response has started.
    Leaves,
}

/// The result of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The handler's own response, complete.
    Answer(u16),
    /// A response of the host, and a log line.
    Fault(u16, &'static str),
    /// A visibly incomplete response with the handler's status 200, and a log line with that and this kind.
    Cut(&'static str),
    /// An access log line for a client that has left.
    Left,
}

impl End {
    /// The status and the kind in the log.
    pub(super) fn fault(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Fault(status, kind) => Some((status, kind)),
            Self::Cut(kind) => Some((200, kind)),
            Self::Answer(_) | Self::Left => None,
        }
    }
}

/// What ends a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It ends by itself.
    Itself,
    /// Its client leaves.
    Left,
    /// It exceeds its CPU time.
    Computed,
    /// It exceeds its timeout.
    Late,
}

impl Until {
    /// How many can run at once without affecting each other's results.
    pub(super) fn at_once(self) -> usize {
        match self {
            Self::Itself | Self::Computed => 2,
            Self::Left | Self::Late => 40,
        }
    }

    /// The limits of the server for these faults. Each server has at most one short limit, so that a busy machine does
    /// not change which limit ends a handler.
    pub(super) fn limits(self) -> Limits {
        match self {
            Self::Itself | Self::Left => Limits { timeout: NEVER, cpu_time: NEVER },
            Self::Computed => Limits { timeout: NEVER, cpu_time: CPU_TIME },
            Self::Late => Limits { timeout: TIMEOUT, cpu_time: NEVER },
        }
    }
}

/// The wall-clock and CPU limits of a server's handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Limits {
    timeout: Duration,
    cpu_time: Duration,
}

impl Limits {
    /// The flags for these limits.
    pub(super) fn flags(self) -> [String; 4] {
        let in_ms = |limit: Duration| format!("{}ms", limit.as_millis());
        ["--timeout".into(), in_ms(self.timeout), "--cpu-time".into(), in_ms(self.cpu_time)]
    }
}

/// Longer than any siege.
const NEVER: Duration = Duration::from_secs(3600);

/// More than any ordinary handler needs, even on a busy machine, which also counts the time during which it is
/// preempted.
const CPU_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 400 });

/// Enough time for a response to start before it is cut.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// The names of the kinds.
const TRAP: &str = "trap";
const STACK: &str = "stack-overflow";
const MEMORY: &str = "memory-limit";
const HANDLES: &str = "handle-limit";
const CPU: &str = "cpu-limit";
const WALL: &str = "wall-limit";
const HEAD: &str = "bad-response-head";

/// The guest of `wasi:http`, whose targets say what it does.
const HTTP: &str = "speaks_wasi_http";

/// A guest that causes the fault without a query.
fn kind(number: &'static str, program: &'static str, end: End) -> Kind {
    Kind { number, program, target: "", client: Client::Gets, end, until: Until::Itself }
}

/// A guest that computes forever.
fn spinner(number: &'static str, program: &'static str) -> Kind {
    Kind { until: Until::Computed, ..kind(number, program, End::Fault(504, CPU)) }
}

/// All injected faults. Three are tested in other ways: components with too many memories (F4) are refused at the
/// start, F5 is F3 many times at once, and bugs in the host (F26) cannot be injected, so each siege checks that the log
/// has none. F28 has its own siege.
pub(super) fn all() -> Vec<Kind> {
    use Client::{Leaves, Posts, Stalls};
    use End::{Answer, Cut, Fault, Left};
    vec![
        spinner("F1", "spins"),
        Kind { target: "/late", end: Cut(CPU), ..spinner("F1", "spins") },
        spinner("F2", "fills_memory"),
        spinner("F2", "fills_a_table"),
        kind("F3", "grows_memory", Fault(500, MEMORY)),
        Kind { target: "/careful", ..kind("F3", "grows_memory", Answer(200)) },
        kind("F4", "grows_two_memories", Fault(500, MEMORY)),
        kind("F6", "overflows_the_stack", Fault(500, STACK)),
        kind("F7", "calls_the_host_from_deep_down", Fault(500, STACK)),
        kind("F8", "traps", Fault(500, TRAP)),
        kind("F8", "panics", Fault(500, TRAP)),
        Kind { target: "/late", ..kind("F8", "panics", Cut(TRAP)) },
        kind("F8", "divides_by_zero", Fault(500, TRAP)),
        kind("F8", "reads_out_of_bounds", Fault(500, TRAP)),
        kind("F8", "returns_an_error", Fault(500, "exception")),
        kind("F8", "exits", Fault(500, "exited")),
        Kind { client: Posts, ..kind("F9", "ignores_input", Answer(200)) },
        kind("F10", "returns_without_starting", Fault(500, "no-start-response")),
        kind("F11", "starts_twice", Fault(500, TRAP)),
        Kind { target: "/caught", ..kind("F11", "starts_twice", Answer(200)) },
        kind("F11", "writes_before_starting", Fault(500, "no-start-response")),
        Kind { target: "/?status=099", ..kind("F12", "starts_as_told", Fault(500, HEAD)) },
        Kind { target: "/?field=A:b%0D%0AEvil:1", ..kind("F12", "starts_as_told", Fault(500, HEAD)) },
        Kind { target: "/?field=Upgrade:x", ..kind("F12", "starts_as_told", Fault(500, HEAD)) },
        kind("F13", "long_body", Answer(200)),
        kind("F14", "short_body", Cut("short-body")),
        Kind { target: "/?status=204%20No&chunk=a", ..kind("F15", "starts_as_told", Answer(204)) },
        Kind { until: Until::Late, ..kind("F16", "downloads", Cut(WALL)) },
        Kind { client: Stalls, until: Until::Late, ..kind("F17", "downloads", Cut(WALL)) },
        spinner("F17", "writes_nothing"),
        Kind { target: "/?n=5&ms=20", ..kind("F18", "drips", Answer(200)) },
        Kind { until: Until::Late, ..kind("F19", "sleeps", Fault(504, WALL)) },
        spinner("F20", "polls_in_a_hurry"),
        kind("F21", "floods_logs", Answer(200)),
        kind("F22", "prints", Answer(200)),
        kind("F23", "hoards_handles", Fault(500, HANDLES)),
        kind("F23", "passes_long_lists", Fault(500, HEAD)),
        spinner("F24", "spins_at_start"),
        kind("F25", "forges_handles", Fault(500, TRAP)),
        Kind { target: "/late", client: Leaves, until: Until::Left, ..kind("F27", "spins", Left) },
        Kind { target: "/late", client: Leaves, until: Until::Left, ..kind("F27", "sleeps", Left) },
        // The same through `wasi:http`, whose response is moved by the host.
        Kind { target: "/spins", ..spinner("F1", HTTP) },
        Kind { target: "/spins-in-the-body", end: Cut(CPU), ..spinner("F1", HTTP) },
        Kind { target: "/fills-memory", ..kind("F3", HTTP, Fault(500, MEMORY)) },
        Kind { target: "/panics", ..kind("F8", HTTP, Fault(500, TRAP)) },
        Kind { target: "/panics-in-the-body", ..kind("F8", HTTP, Cut(TRAP)) },
        Kind { target: "/exits", ..kind("F8", HTTP, Fault(500, "exited")) },
        Kind { target: "/exits-in-the-body", ..kind("F8", HTTP, Cut("exited")) },
        Kind { target: "/sets-an-error", ..kind("F8", HTTP, Fault(500, "exception")) },
        Kind { target: "/drops-the-body", ..kind("F8", HTTP, Cut("exception")) },
        Kind { target: "/forgets-the-body", ..kind("F8", HTTP, Cut("exception")) },
        Kind { target: "/sets-nothing", ..kind("F10", HTTP, Fault(500, "no-start-response")) },
        Kind { target: "/drops-the-outparam", ..kind("F10", HTTP, Fault(500, "no-start-response")) },
        Kind { target: "/sets-a-status-of-100", ..kind("F12", HTTP, Fault(500, HEAD)) },
        Kind { target: "/writes-more-than-declared", ..kind("F13", HTTP, Answer(200)) },
        Kind { target: "/writes-less-than-declared", ..kind("F14", HTTP, Cut("short-body")) },
        Kind { target: "/sleeps", until: Until::Late, ..kind("F19", HTTP, Fault(504, WALL)) },
        Kind { target: "/spins-in-the-body", client: Leaves, until: Until::Left, ..kind("F27", HTTP, Left) },
    ]
}
