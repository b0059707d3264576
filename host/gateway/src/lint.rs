//! Reports what is unusual or wrong in a client's request (`--lint`).
//!
//! Only looks at the bytes of a head, even one that was refused.

use bytes::Bytes;

use crate::{
    field,
    request::{RequestHead, Version, authority_and_path},
};

/// A property of a request that other servers may not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A description of it, with parts of the request as they were sent: escape it where it is shown.
    pub what: Vec<u8>,
    /// The clause that it violates, or that describes it.
    pub clause: &'static str,
}

/// Fields that may appear only once (RFC 9110 section 5.3), because their values are not lists.
const SINGLETONS: [&str; 12] = [
    "authorization",
    "content-length",
    "content-location",
    "content-type",
    "date",
    "from",
    "host",
    "if-modified-since",
    "if-unmodified-since",
    "max-forwards",
    "referer",
    "user-agent",
];

/// Checks a head.
#[must_use]
pub fn check(head: &RequestHead) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    check_bytes(head.raw(), &mut findings);
    check_line(head, &mut findings);
    check_fields(head, &mut findings);
    check_body(head, &mut findings);
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, is_there: bool, clause: &'static str, what: impl Into<Vec<u8>>) {
        if is_there {
            self.0.push(Finding { what: what.into(), clause });
        }
    }
}

/// A description that quotes the beginning of what was sent.
fn quoting(before: &str, sent: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), b"`", &sent[..sent.len().min(80)], b"`", after.as_bytes()].concat()
}

/// Checks the raw lines.
fn check_bytes(raw: &Bytes, findings: &mut Findings) {
    let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
    let bare = lines.iter().filter(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n")).count();
    findings.add(bare > 0, "RFC 9112 section 2.2", format!("{bare} lines end in LF instead of CRLF"));
    for line in lines.iter().skip(1).map(|line| line.trim_ascii_end()) {
        if let [b' ' | b'\t', ..] = line {
            findings.add(true, "RFC 9112 section 5.2", quoting("obsolete folding: ", line.trim_ascii(), ""));
        } else if !line.is_empty() {
            match line.iter().position(|byte| *byte == b':') {
                None => findings.add(true, "RFC 9112 section 5", quoting("a line without a colon: ", line, "")),
                Some(colon) => {
                    let name = &line[..colon];
                    let space = name.ends_with(b" ") || name.ends_with(b"\t");
                    findings.add(space, "RFC 9112 section 5.1", quoting("white space before the colon of ", name, ""));
                }
            }
        }
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        findings.add(line.iter().any(is_control), "RFC 9110 section 5.5", quoting("a control character in ", line, ""));
    }
}

/// Checks method and target.
fn check_line(head: &RequestHead, findings: &mut Findings) {
    let (method, target) = (head.method(), head.target());
    let lower = method.iter().any(u8::is_ascii_lowercase);
    findings.add(
        lower,
        "RFC 9110 section 9.1",
        quoting("methods are case-sensitive, and ", method, " is not a standard one"),
    );
    findings.add(!target.is_ascii(), "RFC 3986 section 2", "the target contains bytes that should be percent-encoded");
    findings.add(
        target.contains(&b'#'),
        "RFC 9112 section 3.2",
        "the target contains a fragment, which must not be sent",
    );
    let broken = target
        .split(|byte| *byte == b'%')
        .skip(1)
        .any(|rest| rest.len() < 2 || !rest[..2].iter().all(u8::is_ascii_hexdigit));
    findings.add(broken, "RFC 3986 section 2.1", "the target contains a `%` without two hexadecimal digits");
    if let Some((authority, _)) = authority_and_path(target) {
        findings.add(true, "RFC 9112 section 3.2.2", "the target is a full URL, as sent to a proxy");
        let other = head.values("host").next().is_some_and(|host| !host.eq_ignore_ascii_case(authority));
        findings.add(other, "RFC 9112 section 3.2.2", "Host differs from the authority of the target");
    }
}

/// Checks the header fields.
fn check_fields(head: &RequestHead, findings: &mut Findings) {
    let has = |name| head.values(name).next().is_some();
    let connection_has = |token: &str| {
        let mut tokens = head.values("connection").flat_map(field::elements);
        tokens.any(|known| known.eq_ignore_ascii_case(token.as_bytes()))
    };
    findings.add(!has("host"), "RFC 9112 section 3.2", "Host is missing");
    let empty = head.values("host").next().is_some_and(<[u8]>::is_empty);
    findings.add(empty, "RFC 9112 section 3.2", "Host is empty");
    for name in SINGLETONS {
        let count = head.values(name).count();
        findings.add(
            count > 1,
            "RFC 9110 section 5.3",
            format!("`{name}` appears {count} times, but may appear only once"),
        );
    }
    for (name, value) in head.fields() {
        findings.add(
            name.iter().any(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-'),
            "RFC 9110 section 17.10",
            quoting("", name, " can be confused with another name in CGI, so servers may drop it or mix it up"),
        );
        findings.add(!value.is_ascii(), "RFC 9110 section 5.5", quoting("the value of ", name, " is not ASCII"));
    }
    findings.add(
        has("proxy"),
        "CVE-2016-5385",
        "`Proxy` is not an HTTP header; in CGI it would configure HTTP clients",
    );
    if head.version() == Version::Http11 {
        let te = has("te") && !connection_has("te");
        findings.add(te, "RFC 9110 section 10.1.4", "TE is present, but Connection does not list it");
        let upgrade = has("upgrade") && !connection_has("upgrade");
        findings.add(upgrade, "RFC 9110 section 7.8", "Upgrade is present, but Connection does not list it");
    }
}

/// Checks the fields that describe the body.
fn check_body(head: &RequestHead, findings: &mut Findings) {
    let (length, coding) = (head.values("content-length").next(), head.values("transfer-encoding").next());
    findings.add(
        length.is_some() && coding.is_some(),
        "RFC 9112 section 6.1",
        "both Content-Length and Transfer-Encoding: servers that disagree on which one counts can see different requests",
    );
    if coding.is_some() {
        let old = head.version() == Version::Http10;
        findings.add(old, "RFC 9112 section 6.1", "Transfer-Encoding is not part of HTTP/1.0");
        findings.add(
            !old,
            "RFC 9112 section 7.1",
            "the body is chunked: applications that only look at Content-Length, as CGI and many WSGI ones do, see no body",
        );
    }
    let has_body = coding.is_some() || length.is_some_and(|length| length != b"0");
    let untyped = has_body && head.values("content-type").next().is_none();
    findings.add(untyped, "RFC 9110 section 8.3", "the request has a body but no Content-Type");
    let unexpected = has_body && matches!(head.method(), b"GET" | b"HEAD" | b"DELETE");
    findings.add(
        unexpected,
        "RFC 9110 section 9.3.1",
        quoting("", head.method(), " with a body, which has no defined meaning"),
    );
    let unframed = matches!(head.method(), b"POST" | b"PUT" | b"PATCH") && length.is_none() && coding.is_none();
    findings.add(
        unframed && head.version() != Version::Http2,
        "RFC 9110 section 8.6",
        quoting(
            "",
            head.method(),
            " without Content-Length: the body counts as empty, and what follows is not read as a body",
        ),
    );
    let expects = head.values("expect").next().is_some();
    findings.add(
        expects && !has_body,
        "RFC 9110 section 10.1.1",
        "Expect is present, but there is no body to wait for",
    );
    let old = expects && head.version() == Version::Http10;
    findings.add(old, "RFC 9110 section 10.1.1", "Expect is not part of HTTP/1.0 and is ignored");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(wire: &'static [u8]) -> Vec<&'static str> {
        check(&RequestHead::new(Bytes::from_static(wire))).iter().map(|finding| finding.clause).collect()
    }

    #[test]
    fn an_ordinary_request_has_no_findings() {
        assert_eq!(clauses(b"GET /a%20b?x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nAccept: a/b\r\n\r\n"), [""; 0]);
        assert_eq!(clauses(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n"), [""; 0]);
        assert_eq!(clauses(b"GET / HTTP/2\r\nhost: x\r\n\r\n"), [""; 0]);
    }

    #[test]
    fn each_oddity_is_reported_with_its_clause() {
        let cases: &[(&'static [u8], &[&str])] = &[
            (b"GET / HTTP/1.1\nHost: x\n\n", &["RFC 9112 section 2.2"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", &["RFC 9112 section 5.2"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", &["RFC 9112 section 5.1", "RFC 9110 section 17.10"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", &["RFC 9112 section 5"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n", &["RFC 9110 section 5.5"]),
            (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9110 section 9.1"]),
            (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 3986 section 2"]),
            (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 3986 section 2.1"]),
            (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9112 section 3.2"]),
            (b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9112 section 3.2.2"; 2]),
            (b"GET / HTTP/1.0\r\n\r\n", &["RFC 9112 section 3.2"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n", &["RFC 9110 section 5.3"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nX_Foo: 1\r\n\r\n", &["RFC 9110 section 17.10"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nX: caf\xe9\r\n\r\n", &["RFC 9110 section 5.5"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nProxy: y\r\n\r\n", &["CVE-2016-5385"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n", &["RFC 9110 section 10.1.4"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: a\r\nConnection: Upgrade\r\n\r\n", &[]),
            (
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                &["RFC 9112 section 6.1", "RFC 9112 section 7.1"],
            ),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n", &["RFC 9110 section 9.3.1"]),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", &["RFC 9110 section 8.3"]),
            (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9110 section 8.6"]),
            (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", &["RFC 9110 section 10.1.1"]),
        ];
        for (wire, expected) in cases {
            assert_eq!(clauses(wire), *expected, "{}", String::from_utf8_lossy(wire));
        }
    }
}
