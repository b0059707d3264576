//! The kinds of handlers, and what each cannot express.
//!
//! The cases of `tests/requests` and the table of behaviours are run for each kind. What a kind has no words for is an
//! exception here, with its reason; one that is not needed fails the test.

use std::collections::BTreeSet;

use crate::{guest, host::Host, server::Launch};

/// A kind of handler.
#[derive(Debug)]
pub struct Kind {
    /// Its name in messages.
    pub name: &'static str,
    /// The server.
    pub host: Host,
    /// Whether its programs are what `wasmserve export` writes.
    pub(crate) is_exported: bool,
    /// The program that answers with a report of its request.
    teller: &'static str,
    /// The program that follows the script in its request.
    follower: &'static str,
    /// The stream of the log on which its programs report.
    pub(crate) stream: &'static str,
    /// What it cannot say of a request, and why: a variable, `header`, `raw-head`, `trailer` or `order`; `handled` if it is
    /// not even called, `answer` if the client gets another one; after `may:`, only sometimes. A `*` at the end stands for
    /// anything. After an `@`, the only cases that are meant.
    cannot_tell: &'static [Reasons],
    /// The rows of the table of behaviours that end otherwise.
    pub(crate) differs: &'static [Difference],
}

/// What cannot be said, and why.
type Reasons = &'static [(&'static str, &'static str)];

/// How a row of the table of behaviours ends otherwise.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The rule of the row, and its number among the rows of that rule, from 1.
    pub(crate) row: (&'static str, usize),
    /// What the client gets instead.
    pub(crate) answer: &'static str,
    /// The kind of the fault instead.
    pub(crate) fault: Option<&'static str>,
    /// Whether the connection stays open instead.
    pub(crate) goes_on: bool,
    /// What the handler reports instead, if the row differs in that too.
    pub(crate) reported: &'static [&'static str],
    /// Why, for the message if it does not.
    pub(crate) why: &'static str,
}

impl Difference {
    const fn of(
        row: (&'static str, usize),
        answer: &'static str,
        fault: Option<&'static str>,
        goes_on: bool,
        why: &'static str,
    ) -> Self {
        Self { row, answer, fault, goes_on, reported: &[], why }
    }

    const fn reports(self, reported: &'static [&'static str]) -> Self {
        Self { reported, ..self }
    }
}

impl Kind {
    /// Our own world, which can say everything.
    pub const GATEWAY: Self = Self {
        name: "gateway",
        host: Host::Wasmserve,
        is_exported: false,
        teller: "tells_its_request",
        follower: "follows_a_script",
        stream: "log",
        cannot_tell: &[],
        differs: &[],
    };

    /// Our own world, on the host of the documentation.
    pub const ON_THE_EXAMPLE: Self = Self {
        name: "gateway, on the example of a host",
        host: Host::Example,
        differs: &[Difference::of(("X3", 1), "200 OK|until close <a>", Some("exception"), false, NO_RESET)],
        ..Self::GATEWAY
    };

    /// The other kinds.
    pub const OTHERS: [Self; 5] = [CGI, WASI_HTTP, WASI_HTTP_3, PYTHON, EXPORTED];

    /// What is exported, on `wasmtime serve`.
    pub const ON_WASMTIME: Self = ON_WASMTIME;

    /// What is exported, on `jco serve`.
    pub const ON_JCO: Self = ON_JCO;

    /// Whether its programs use our own world.
    pub(crate) fn is_gateway(&self) -> bool {
        self.follower == Self::GATEWAY.follower
    }

    /// Whether it decides by what a handler calls, and not by when, if the length of a body is known.
    pub(crate) fn frames_by_itself(&self) -> bool {
        self.name == Self::GATEWAY.name
    }

    /// Whether its programs get the trailers of a body.
    pub(crate) fn has_trailers(&self) -> bool {
        !self.cannot_tell.iter().copied().flatten().any(|(what, _)| *what == "trailer")
    }

    /// A server of the program that answers with a report of its request.
    #[must_use]
    pub fn tells(&self) -> Launch {
        self.launch(self.teller)
    }

    /// A server of the program that follows the script in its request.
    pub(crate) fn follows(&self) -> Launch {
        self.launch(self.follower)
    }

    fn launch(&self, program: &str) -> Launch {
        let component = if self.is_exported { guest::exported(program) } else { guest::program(program) };
        self.host.launch(component)
    }

    /// The reasons of all that is different, each with a rule, a variable or a function that it concerns.
    fn by_reason(&self) -> Vec<(&'static str, String)> {
        let concern = |pattern: &str| match (pattern, pattern.trim_start_matches(MAY).split_once('@')) {
            (_, Some((_, case))) => case.split('_').next().unwrap_or_default().to_uppercase(),
            ("header" | "trailer", _) => format!("`{pattern}s`"),
            ("order", _) => "E17".to_owned(),
            ("GREETING", _) => "E15".to_owned(),
            _ => format!("`{pattern}`"),
        };
        let said = self.cannot_tell.iter().copied().flatten().map(|(pattern, why)| (*why, concern(pattern)));
        said.chain(self.differs.iter().map(|difference| (difference.why, difference.row.0.to_owned()))).collect()
    }

    /// The exceptions, to note which are needed.
    #[must_use]
    pub fn exceptions(&self) -> Exceptions {
        Exceptions { kind: self.name, all: self.cannot_tell, used: BTreeSet::new() }
    }
}

/// What is different for exported handlers on each host, as Markdown: a line for each reason, with the rules, variables and
/// functions that it concerns.
#[must_use]
pub fn table_of_hosts() -> String {
    const HOSTS: [(&str, &Kind); 3] =
        [("wasmserve", &EXPORTED), ("`wasmtime serve`", &ON_WASMTIME), ("`jco serve`", &ON_JCO)];
    let concerns = HOSTS.map(|(_, kind)| kind.by_reason());
    let mut reasons: Vec<&str> = Vec::new();
    for reason in concerns.iter().flatten().map(|(reason, _)| reason) {
        if !reasons.contains(reason) {
            reasons.push(reason);
        }
    }
    let rows = reasons.iter().map(|reason| {
        let cells = concerns.iter().map(|of_host| {
            let of_reason = of_host.iter().filter(|(other, _)| other == reason).map(|(_, what)| &**what);
            of_reason.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
        });
        [(*reason).to_owned()].into_iter().chain(cells).collect::<Vec<_>>().join(" | ")
    });
    let names = HOSTS.map(|(name, _)| name).join(" | ");
    let head = [format!("what is different, and why | {names}"), "--- | --- | --- | ---".to_owned()];
    head.into_iter().chain(rows).map(|row| format!("| {} |\n", row.replace("|  |", "| |"))).collect()
}

/// What a kind cannot say of a request, and what of that was needed.
#[derive(Debug)]
pub struct Exceptions {
    kind: &'static str,
    all: &'static [Reasons],
    used: BTreeSet<&'static str>,
}

/// The beginning of an exception that depends on time.
const MAY: &str = "may:";

impl Exceptions {
    /// Whether the kind cannot say this in this case. Notes that it did not.
    pub fn excuse(&mut self, what: &str, case: &str) -> bool {
        let found = self.all.iter().copied().flatten().map(|(pattern, _)| *pattern).find(|pattern| {
            let is_like = |pattern: &str, text: &str| {
                pattern.strip_suffix('*').map_or(pattern == text, |prefix| text.starts_with(prefix))
            };
            let pattern = pattern.trim_start_matches(MAY);
            let (pattern, only) = pattern.split_once('@').unwrap_or((pattern, case));
            is_like(pattern, what) && is_like(only, case)
        });
        self.used.extend(found);
        found.is_some()
    }

    /// A line for each exception that was not needed.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let is_unused = |pattern: &str| !self.used.contains(pattern) && !pattern.starts_with(MAY);
        let unused = self.all.iter().copied().flatten().filter(|(pattern, _)| is_unused(pattern));
        unused.map(|(pattern, _)| format!("the kind {} can say {pattern} after all", self.kind)).collect()
    }
}

/// A program needs `CONTENT_LENGTH`, so the host reads a body in chunks before the program starts.
const COUNTED: &str = "the host counts a body in chunks first";

const CGI: Kind = Kind {
    name: "CGI",
    host: Host::Wasmserve,
    is_exported: false,
    teller: "tells_its_request_in_cgi",
    follower: "follows_a_script_in_cgi",
    stream: "stderr",
    cannot_tell: &[&[
        ("header", "a program gets fields as variables only"),
        ("raw-head", "a program gets no bytes of the head"),
        ("trailer", "CGI has no word for trailers"),
        ("wsgi.*", "a name with a dot is no name of a variable in a shell"),
        ("wasmserve.*", "a name with a dot is no name of a variable in a shell"),
        ("order", "the variables of WSGI are missing"),
        ("CONTENT_LENGTH@e4_a_body_in_chunks_has_no_length", COUNTED),
        ("CONTENT_LENGTH@i4_a_body_in_chunks_arrives_without_its_framing", COUNTED),
        ("CONTENT_LENGTH@i4_trailers_that_frame_or_authenticate_are_dropped", COUNTED),
        ("CONTENT_LENGTH@k7_with_chunks_a_length*", COUNTED),
        ("HTTP_TRANSFER_ENCODING", "a body with a length is not in chunks"),
        ("answer@i6_broken_chunks_that_are_not_read_end_the_connection", COUNTED),
        ("answer@k5_more_chunks_than_are_drained_end_the_connection", COUNTED),
        ("handled@i2_a_head_never_gets_the_body_of_another_request", COUNTED),
        ("handled@i5_a_body_without_its_last_chunk_is_an_error", COUNTED),
        ("handled@i5_a_chunk*", COUNTED),
        ("handled@i5_a_last_chunk*", COUNTED),
        ("handled@i6_*", COUNTED),
        ("handled@i7_chunks_beyond_the_limit_are_an_error", COUNTED),
        ("HTTP_A@h8_octets_stay_as_they_are", "variables are text"),
        ("PATH_INFO@t10_digits_may_be_in_either_case", "variables are text"),
        ("PATH_INFO@t10_percents_are_decoded", "variables are text"),
        ("answer@t10_a_nul_in_percents_is_an_octet", "a variable ends at a NUL, so the host refuses the request"),
    ]],
    differs: &[
        Difference::of(("S1", 1), "500 exited", Some("exited"), true, EXITS),
        Difference::of(("S4", 1), "200 OK|chunks <a> (cut)", Some("exited"), false, EXITS),
        Difference::of(("S8", 1), "200 OK|content-length: 0|set-cookie: evil|x: a|length <>", None, true, HEAD),
        Difference::of(("S8", 2), "500 bad-cgi-head", Some("bad-cgi-head"), true, HEAD),
        Difference::of(("S9", 1), "200 OK|content-length: 0|length <>", None, true, HEAD),
        Difference::of(("S10", 1), "500 bad-cgi-head", Some("bad-cgi-head"), true, HEAD),
        Difference::of(("X3", 1), "200 OK|until close <a> (cut)", Some("exited"), false, EXITS),
        Difference::of(("B12", 1), "200 OK|chunks <abc> (cut)", Some("exited"), false, EXITS),
        Difference::of(("K4", 1), "500 exited", Some("exited"), true, EXITS),
        Difference::of(("X1", 1), "500 exited", Some("exited"), true, EXITS),
        Difference::of(("X2", 1), "500 bad-cgi-head", Some("bad-cgi-head"), true, HEAD),
        Difference::of(("X2", 2), "500 bad-cgi-head", Some("bad-cgi-head"), true, HEAD),
        Difference::of(("X3", 2), "200 OK|chunks <a> (cut)", Some("exited"), false, EXITS),
        Difference::of(("X3", 3), "200 OK|content-length: 9|length <a> (cut)", Some("exited"), false, EXITS),
        Difference::of(("I6", 1), "400 bad-input", Some("bad-input"), false, COUNTED),
    ],
};

/// How a program fails.
const EXITS: &str = "a program fails with its exit code, also after the end of its response";

/// How a program begins its response.
const HEAD: &str = "the head is text, whose lines are the program's, and which names no connection";

/// They are the server's, and a handler could copy them into requests of its own.
const HOP_BY_HOP: &str = "fields of the connection are left out";

/// A request of `wasi:http` always has an authority.
const NEEDS_AUTHORITY: &str = "without `Host`, the authority is where the connection arrived";

/// A target of `wasi:http` is a valid URI.
const TARGET: &str = "what a URI may not contain is encoded";

/// What becomes of a body that the handler has not read.
const STILL_READS: &str = "a response may begin before the handler has ended, which could still read the body";

/// What both versions of `wasi:http` cannot say.
const CANNOT_TELL: Reasons = &[
    ("header", "names are in lower case, and fields of one name are together"),
    ("raw-head", "a handler gets no bytes of the head"),
    ("order", "there is no order among names"),
    ("SERVER_*", "there is no word for the server"),
    ("REMOTE_*", "there is no word for the client"),
    ("GATEWAY_INTERFACE", "there is no word for the gateway"),
    ("wsgi.*", "there is no WSGI"),
    ("wasmserve.*", "there is no word for the exchange"),
    ("HTTP_CONNECTION", HOP_BY_HOP),
    ("HTTP_KEEP_ALIVE", HOP_BY_HOP),
    ("HTTP_PROXY_AUTHORIZATION", HOP_BY_HOP),
    ("HTTP_PROXY_CONNECTION", HOP_BY_HOP),
    ("HTTP_TRANSFER_ENCODING", HOP_BY_HOP),
    ("HTTP_UPGRADE", HOP_BY_HOP),
    ("HTTP_HOST@h4_a_request_of_http_1_0_needs_no_host", NEEDS_AUTHORITY),
    ("HTTP_HOST@h4_an_empty_host_is_taken", NEEDS_AUTHORITY),
    ("REQUEST_URI@t4_the_authority_of_a_url_replaces_host", "the authority and the path are apart"),
    ("*@e11_the_target_is_there_as_it_was_sent", TARGET),
    ("*@t11_*", TARGET),
    ("may:answer@k5_the_request_behind_chunks_that_are_not_read_is_served", STILL_READS),
];

const WASI_HTTP: Kind = Kind {
    name: "wasi:http 0.2",
    host: Host::Wasmserve,
    is_exported: false,
    teller: "tells_its_request_in_wasi_http",
    follower: "follows_a_script_in_wasi_http",
    stream: "stderr",
    cannot_tell: &[CANNOT_TELL],
    differs: &[
        Difference::of(("S3", 1), "503 Service Unavailable|c: d|content-length: 0|length <>", None, true, REASON),
        Difference::of(("S5", 1), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S6", 1), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S6", 2), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S7", 1), "200 OK|content-length: 0|length <>", None, true, REASON),
        Difference::of(("S7", 2), "200 OK|content-length: 0|length <>", None, true, REASON),
        Difference::of(("S8", 1), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S8", 2), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S9", 1), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S9", 2), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S10", 1), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("S10", 2), UNSET, Some("no-start-response"), true, NO_RESPONSE),
        Difference::of(("B5", 1), "503 Service Unavailable|content-length: 0|length <>", None, true, REASON),
        Difference::of(("X3", 3), "200 OK|content-length: 9|length <a> (cut)", Some("short-body"), false, UNFINISHED),
    ],
};

/// What the client gets if the handler sets no response.
const UNSET: &str = "500 no-start-response";

/// How a head is refused.
const NO_RESPONSE: &str = "the host refuses to make a response of it, so none is set";

/// How a response fails after its head.
const UNFINISHED: &str = "a body that is dropped unfinished has no reason, and one that is finished has no failure";

/// How a status is set.
const REASON: &str = "a status is a number";

const WASI_HTTP_3: Kind = Kind {
    name: "wasi:http 0.3",
    host: Host::Wasmserve,
    is_exported: false,
    teller: "tells_its_request_in_wasi_http_3",
    follower: "follows_a_script_in_wasi_http_3",
    stream: "stderr",
    cannot_tell: &[CANNOT_TELL],
    differs: &[
        Difference::of(("S3", 1), "503 Service Unavailable|c: d|content-length: 0|length <>", None, true, REASON),
        Difference::of(("S6", 4), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S7", 1), "200 OK|content-length: 0|length <>", None, true, REASON),
        Difference::of(("S7", 2), "200 OK|content-length: 0|length <>", None, true, REASON),
        Difference::of(("B5", 1), "503 Service Unavailable|content-length: 0|length <>", None, true, REASON),
        Difference::of(("B12", 1), "200 OK|content-length: 3|length <abc>", None, true, UNFINISHED),
        Difference::of(("S5", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S6", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S6", 2), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S8", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S8", 2), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S9", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S9", 2), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S10", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("S10", 2), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("X2", 1), RETURNED, Some("exception"), true, NO_RESPONSE),
        Difference::of(("X2", 2), RETURNED, Some("exception"), true, NO_RESPONSE),
    ],
};

/// What the client gets if the handler returns an error, as it has to without a response.
const RETURNED: &str = "500 exception";

const PYTHON: Kind = Kind {
    name: "Python",
    host: Host::Wasmserve,
    is_exported: false,
    teller: "tells_its_request.py",
    follower: "follows_a_script.py",
    stream: "log",
    cannot_tell: &[&[(
        "may:answer@k5_the_request_behind_chunks_that_are_not_read_is_served",
        "a response may end before the handler, which could still read the body",
    )]],
    differs: &[Difference::of(("B12", 1), "500 exception", Some("exception"), true, RETURNS)],
};

/// How a response of WSGI ends.
const RETURNS: &str = "an application that fails has returned no body";

/// How a server is known.
const BY_AUTHORITY: &str = "the server is known only by the `Host` of a request";

/// What an exported handler cannot say on any host.
const EXPORTED_CANNOT_TELL: Reasons = &[
    ("header", "names are in lower case, and fields of one name are together"),
    ("raw-head", "the head is made up"),
    ("REMOTE_*", "there is no word for the client"),
    ("SERVER_NAME", BY_AUTHORITY),
    ("SERVER_PORT", BY_AUTHORITY),
    ("SERVER_PROTOCOL", "there is no word for the version"),
    ("order", "some variables are missing from the order"),
    ("wasmserve.*", "there is no word for the exchange"),
    ("HTTP_CONNECTION", HOP_BY_HOP),
    ("HTTP_KEEP_ALIVE", HOP_BY_HOP),
    ("*@t11_*", TARGET),
];

/// What hosts in Rust leave out besides.
const FILTERED: Reasons = &[
    ("HTTP_PROXY_AUTHORIZATION", HOP_BY_HOP),
    ("HTTP_PROXY_CONNECTION", HOP_BY_HOP),
    ("HTTP_TRANSFER_ENCODING", HOP_BY_HOP),
    ("HTTP_UPGRADE", HOP_BY_HOP),
    ("REQUEST_URI@t4_the_authority_of_a_url_replaces_host", "the authority and the path are apart"),
    ("*@e11_the_target_is_there_as_it_was_sent", TARGET),
];

/// What goes to the log if an exception comes too late for the client.
const TOO_LATE: &str = "an exception after the first byte is in the log without its kind";

/// The reason of a status.
const fn reason(row: (&'static str, usize), answer: &'static str) -> Difference {
    Difference::of(row, answer, None, true, REASON)
}

const EXPORTED: Kind = Kind {
    name: "exported",
    host: Host::Wasmserve,
    is_exported: true,
    teller: "tells_its_request",
    follower: "follows_a_script",
    stream: "stderr",
    cannot_tell: &[
        EXPORTED_CANNOT_TELL,
        FILTERED,
        &[
            ("GREETING", "the host's variables are hidden without `--keep cli`"),
            ("HTTP_HOST@h4_*", NEEDS_AUTHORITY),
            ("answer@i5_a_body_that_is_cut_short_is_an_error", PROVIDER),
            ("answer@i7_chunks_beyond_the_limit_are_an_error", PROVIDER),
            ("may:answer@k5_the_request_behind_chunks_that_are_not_read_is_served", STILL_READS),
        ],
    ],
    differs: &[
        reason(("S3", 1), "503 Service Unavailable|c: d|content-length: 0|length <>"),
        reason(("S7", 1), "200 OK|content-length: 0|length <>"),
        reason(("S7", 2), "200 OK|content-length: 0|length <>"),
        reason(("B5", 1), "503 Service Unavailable|content-length: 0|length <>"),
    ],
};

/// Who answers when a body cannot be read.
const PROVIDER: &str = "a body that cannot be read is answered, and does not end the connection";

/// An exported handler on another server.
const fn on(host: Host, name: &'static str, cannot_tell: &'static [Reasons], differs: &'static [Difference]) -> Kind {
    Kind { name, host, cannot_tell, differs, ..EXPORTED }
}

const ON_WASMTIME: Kind = on(
    Host::WasmtimeServe,
    "exported, on wasmtime serve",
    &[
        EXPORTED_CANNOT_TELL,
        FILTERED,
        &[
            ("SERVER_SOFTWARE", NO_SERVER),
            (
                "may:answer@i11_a_client_that_still_waits_is_told_that_the_connection_closes",
                "a client that still waits for `100 Continue` may not learn of the close",
            ),
            ("answer@e1_nothing_is_empty_for_the_least_request", NO_AUTHORITY),
            ("answer@h4_a_request_of_http_1_0_needs_no_host", NO_AUTHORITY),
            ("answer@t1_http_1_0_is_served", NO_AUTHORITY),
            (
                "answer@i6_broken_chunks_that_are_not_read_end_the_connection",
                "a connection with broken chunks is closed without `Connection: close`",
            ),
        ],
    ],
    &[
        reason(("S3", 1), "503 Service Unavailable|c: d|content-length: 0|length <>"),
        Difference::of(("S4", 1), "200 OK|chunks <a> (cut)", None, false, TOO_LATE),
        reason(("S6", 4), "999 <none>|content-length: 0|length <>"),
        reason(("S7", 1), "200 OK|content-length: 0|length <>"),
        reason(("S7", 2), "200 OK|content-length: 0|length <>"),
        reason(("B5", 1), "503 Service Unavailable|content-length: 0|length <>"),
        Difference::of(("X1", 2), WASMTIMES_PAGE, Some("trap"), true, TRAP),
        Difference::of(("X3", 1), "200 OK|until close <a>", Some("exception"), false, NO_RESET),
        Difference::of(
            ("X3", 4),
            "200 OK|chunks <a>",
            Some("trap"),
            true,
            "a trap after the first byte of a body in chunks looks complete",
        ),
        Difference::of(
            ("I6", 1),
            "200 OK|content-length: 0|length <>",
            None,
            false,
            "all errors of a request body are one",
        )
        .reports(&["0 octets, cbf29ce484222325, then disconnected", "ok"]),
    ],
);

/// What `wasmtime serve` answers for a handler that has set no response.
const WASMTIMES_PAGE: &str = "500 Internal Server Error|content-length: 205|content-type: text/html; charset=UTF-8|length <205 octets, 2e49181aecab1336>";

/// Who answers if an instance has ended.
const TRAP: &str =
    "a trap before the first byte is the host's to answer: `wasmtime` sends a page of its own, and `jco` ends";

/// A request without an authority has no URI.
const NO_AUTHORITY: &str = "a request without `Host` is a 500";

const ON_JCO: Kind = on(
    Host::JcoServe,
    "exported, on jco serve",
    &[
        EXPORTED_CANNOT_TELL,
        &[
            ("trailer", NO_TRAILERS),
            ("SERVER_SOFTWARE", NO_SERVER),
            ("HTTP_HOST@h4_*", NEEDS_AUTHORITY),
            ("HTTP_A@h8_octets_stay_as_they_are", "bytes beyond ASCII become the UTF-8 of Latin-1"),
            ("REQUEST_METHOD@t2_a_method_with_a_dash_is_passed", "some methods become lower case"),
            ("answer@t2_*", NODE),
            ("answer@t4_a_url_may_have_a_fragment_without_a_path", NODE),
            ("answer@t12_a_field_of_30_kib_is_taken", NODE),
            ("answer@t13_line*", NODE),
            ("answer@h5_the_same_length_twice_is_one_length", NODE),
            ("answer@i4_a_space_before_a_chunk_extension_is_ignored", NODE),
            ("answer@i4_trailers_that_frame_or_authenticate_are_dropped", NODE),
            ("answer@i6_broken_chunks_that_are_not_read_end_the_connection", NODE),
            ("answer@i9_without_a_body_there_is_nothing_to_wait_for", CONTINUES),
            ("answer@i11_a_client_that_still_waits_is_told_that_the_connection_closes", CONTINUES),
        ],
    ],
    &[
        reason(("S3", 1), "503 Service Unavailable|c: d|content-length: 0|length <>"),
        Difference::of(("S4", 1), "200 OK|chunks <a> (cut)", None, false, TOO_LATE),
        reason(("S6", 4), "999 unknown|content-length: 0|length <>"),
        reason(("S7", 1), "200 OK|content-length: 0|length <>"),
        reason(("S7", 2), "200 OK|content-length: 0|length <>"),
        Difference::of(("S11", 1), "200 OK|b: x|set-cookie: c|content-length: 0|length <>", None, true, ONE_FIELD),
        reason(("B5", 1), "503 Service Unavailable|content-length: 0|length <>"),
        Difference::of(("X1", 2), "(nothing)", Some("trap"), false, TRAP),
        Difference::of(("X3", 1), "200 OK|until close <a>", Some("exception"), false, NO_RESET),
        Difference::of(("I4", 1), "200 OK|content-length: 0|length <>", None, false, NO_TRAILERS).reports(&[
            "",
            "5 octets, a430d84680aabd0b",
            "",
            "ok",
        ]),
        Difference::of(("I6", 1), "400 Bad Request|until close <> (no date)", None, false, NODE),
        Difference::of(("I9", 1), "100, 200 OK|content-length: 0|length <>", None, true, CONTINUES),
    ],
);

/// A handler of the gateway names its server by a field of the response.
const NO_SERVER: &str = "the `Server` field of a response is not the handler's";

/// The end of a body that ends with its connection.
const NO_RESET: &str = "a failure after the first byte looks complete to HTTP/1.0";

/// How trailers of a request arrive.
const NO_TRAILERS: &str = "trailers of a request are lost, and its connection is closed";

/// What Node's parser refuses.
const NODE: &str = "Node refuses some requests itself, and other methods than it knows";

/// How `100 Continue` is sent.
const CONTINUES: &str = "`100 Continue` is sent at once";

/// How fields are repeated.
const ONE_FIELD: &str = "of several fields with the same name, only the last one is sent";
