//! What handlers do wrong, and what is promised to come of it: the one table to look at when a promise changes.

use std::time::Duration;

/// A way to misbehave.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its number in the list of faults.
    pub(super) number: &'static str,
    /// The guest that does it.
    pub(super) program: &'static str,
    /// Below the guest's mount.
    pub(super) target: &'static str,
    /// What the client does.
    pub(super) client: Client,
    /// What comes of it.
    pub(super) end: End,
    /// Whether the handler goes on until a limit stops it, and by what.
    pub(super) until: Until,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Sends a GET and reads all.
    Gets,
    /// Sends a body of 1 MiB, and reads all.
    Posts,
    /// Sends a GET and reads nothing until the exchange has ended.
    Stalls,
    /// Sends a GET, and leaves when the response has begun.
    Leaves,
}

/// What comes of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The handler's own answer, whole.
    Answer(u16),
    /// The answer of the host, and a line of the log.
    Fault(u16, &'static str),
    /// A response that is visibly not whole, and a line of the log with this status and kind.
    Cut(u16, &'static str),
    /// A line in the access log for a client that has left.
    Left,
}

impl End {
    /// What the log tells of it.
    pub(super) fn fault(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Fault(status, kind) | Self::Cut(status, kind) => Some((status, kind)),
            Self::Answer(_) | Self::Left => None,
        }
    }
}

/// How long a handler goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It ends by itself.
    Itself,
    /// Its client leaves.
    Left,
    /// It has computed for as long as it may.
    Computed,
    /// It has been there for as long as it may.
    Late,
}

impl Until {
    /// How many of them at once do not keep each other from what they do.
    pub(super) fn at_once(self) -> usize {
        match self {
            Self::Itself | Self::Computed => 2,
            Self::Left | Self::Late => 40,
        }
    }

    /// The limits of the server for them. Each server has one that is short, or none, so that a machine that has much else to do
    /// changes nothing about which limit ends what.
    pub(super) fn limits(self) -> Limits {
        match self {
            Self::Itself | Self::Left => Limits { timeout: NEVER, cpu_time: NEVER },
            Self::Computed => Limits { timeout: NEVER, cpu_time: CPU_TIME },
            Self::Late => Limits { timeout: TIMEOUT, cpu_time: NEVER },
        }
    }
}

/// How long the handlers of a server may be there, and compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Limits {
    timeout: Duration,
    cpu_time: Duration,
}

impl Limits {
    /// What to say on the command line.
    pub(super) fn flags(self) -> [String; 4] {
        let in_ms = |limit: Duration| format!("{}ms", limit.as_millis());
        ["--timeout".into(), in_ms(self.timeout), "--cpu-time".into(), in_ms(self.cpu_time)]
    }
}

/// Longer than any siege.
const NEVER: Duration = Duration::from_secs(3600);

/// What no ordinary handler needs, even on a machine that has much else to do: what it does not give a handler counts as well.
const CPU_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 400 });

/// Time enough for a response to begin, before it is cut.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// What the kinds are called.
const TRAP: &str = "trap";
const STACK: &str = "stack-overflow";
const MEMORY: &str = "memory-limit";
const HANDLES: &str = "handle-limit";
const CPU: &str = "cpu-limit";
const WALL: &str = "wall-limit";
const HEAD: &str = "bad-response-head";

/// A guest that does it without being told.
fn kind(number: &'static str, program: &'static str, end: End) -> Kind {
    Kind { number, program, target: "", client: Client::Gets, end, until: Until::Itself }
}

/// A guest that computes for ever.
fn spinner(number: &'static str, program: &'static str) -> Kind {
    Kind { until: Until::Computed, ..kind(number, program, End::Fault(504, CPU)) }
}

/// All that are injected. F4's components with too many memories are refused at the start; F5 is F3 many times at once; a bug
/// in the host (F26) cannot be injected: after each siege there is none in the log. F28 is a siege of its own.
pub(super) fn all() -> Vec<Kind> {
    use Client::{Leaves, Posts, Stalls};
    use End::{Answer, Cut, Fault, Left};
    vec![
        spinner("F1", "spins"),
        Kind { target: "/late", end: Cut(504, CPU), ..spinner("F1", "spins") },
        spinner("F2", "fills_memory"),
        spinner("F2", "fills_a_table"),
        kind("F3", "grows_memory", Fault(500, MEMORY)),
        Kind { target: "/careful", ..kind("F3", "grows_memory", Answer(200)) },
        kind("F4", "grows_two_memories", Fault(500, MEMORY)),
        kind("F6", "overflows_the_stack", Fault(500, STACK)),
        kind("F7", "calls_the_host_from_deep_down", Fault(500, STACK)),
        kind("F8", "traps", Fault(500, TRAP)),
        kind("F8", "panics", Fault(500, TRAP)),
        Kind { target: "/late", ..kind("F8", "panics", Cut(500, TRAP)) },
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
        kind("F14", "short_body", Cut(500, "short-body")),
        Kind { target: "/?status=204%20No&chunk=a", ..kind("F15", "starts_as_told", Answer(204)) },
        Kind { until: Until::Late, ..kind("F16", "downloads", Cut(504, WALL)) },
        Kind { client: Stalls, until: Until::Late, ..kind("F17", "downloads", Cut(504, WALL)) },
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
    ]
}
