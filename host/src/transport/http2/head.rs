//! Writes the head of an HTTP/2 request in the form it would have in HTTP/1.
//!
//! h2 parses the request, and a second parser must not disagree with it. [`RequestHead`] splits the text again, so a
//! part is written only if it cannot be misread there; otherwise the request is refused. The text of a refused request
//! is only used in the log and on the error page, and contains nothing that the client did not send.
//!
//! # What h2 decides
//!
//! h2 0.4.20, http 1.5.0 and hyper 1.12.0 handle the following before there is a request that we could refuse.
//!
//! These end the whole connection, where RFC 9113 section 8.1.1 asks for the end of the stream only:
//!
//! - a name with capitals or with a byte that http rejects, a value with a control character, a `:method` that is not a
//!   token, an unknown pseudo-field, and pseudo-fields that are not UTF-8. h2 treats these as HPACK errors, after which
//!   it cannot read the rest of the connection. We know of no h2 issue about this.
//! - a malformed field block in HEADERS that is followed by CONTINUATION:
//!   [h2#37](https://github.com/hyperium/h2/issues/37).
//! - CONNECT with a `content-length` other than 0, in hyper: [hyper#2523](https://github.com/hyperium/hyper/pull/2523).
//!
//! More CONTINUATION frames than the field list could need also end it, however short they are
//! ([h2#758](https://github.com/hyperium/h2/pull/758)), as a defence.
//!
//! These reset the stream, without a response and without a line in our log: connection-specific fields; missing,
//! repeated or late pseudo-fields; a `:path` or `:authority` that http cannot parse; `:protocol`; and a body whose
//! length differs from its `content-length`. A `"`, `<` or `>` in a query is among these, although clients do send
//! them: [http#693](https://github.com/hyperium/http/issues/693).
//!
//! These are dropped without a trace:
//!
//! - the fragment of a `:path`: [http#775](https://github.com/hyperium/http/issues/775). We do not treat it as part of
//!   a target either (rule T8).
//! - `:scheme`, if there is no `:authority`: [h2#372](https://github.com/hyperium/h2/pull/372). We check the others.
//! - pseudo-fields in trailers, and trailers beyond the largest field list. We know of no issue about either.
//! - what makes a field block malformed, if a frame ends within a later field: h2 waits for the CONTINUATION and then
//!   forgets the error. So a `connection` or a second `:path` in such a block is ignored. We know of no issue.
//! - the order of fields with different names. Fields with the same name stay in order, which is what matters (RFC 9110
//!   section 5.3).
//!
//! h2 accepts values with surrounding white space ([http#245](https://github.com/hyperium/http/issues/245)), names with
//! a `"` ([http#716](https://github.com/hyperium/http/pull/716) rejects them in HTTP/1 only), any scheme, and a Host
//! that contradicts `:authority`. We refuse these.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use wasmserve_gateway::{field, refusal::Refusal, request::RequestHead};

/// Returns the head of a request, and why it is refused, if it is.
pub(super) fn read(parts: &Parts) -> (RequestHead, Option<Refusal>) {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let start = Start {
        method: parts.method.as_str().as_bytes(),
        scheme: parts.uri.scheme_str().map(str::as_bytes),
        authority: authority.map(str::as_bytes),
        target: match parts.uri.path_and_query() {
            Some(target) => target.as_str().as_bytes(),
            None => authority.unwrap_or_default().as_bytes(),
        },
    };
    let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let (text, why) = write(&start, fields);
    (RequestHead::new(text), why.map(|why| Refusal::Invalid { status: 400, why: why.into() }))
}

/// The parts of a request before its fields.
struct Start<'a> {
    method: &'a [u8],
    /// `None` if there is no authority.
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    /// The path with its query; for CONNECT, the authority.
    target: &'a [u8],
}

/// Returns the text of a head, and the first reason to refuse the request, if any.
fn write<'a>(start: &Start<'a>, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> (Bytes, Option<&'static str>) {
    let mut text = Text { bytes: BytesMut::with_capacity(256), why: None, is_in_cookie: false };
    text.put_line(start.method, start.target);
    if start.scheme.is_some_and(|scheme| !is_http(scheme) && !is_https(scheme)) {
        text.refuse("the scheme of the request is neither http nor https");
    }
    // The authority takes the place of Host, and a Host beside it may only repeat it (RFC 9113 section 8.3.1).
    if let Some(authority) = start.authority {
        text.put_field(b"host", authority);
    }
    let mut hosts = 0;
    for (name, value) in fields {
        if let (b"host", Some(authority)) = (name, start.authority) {
            hosts += 1;
            if hosts > 1 {
                text.refuse("the request has more than one Host");
            } else if is_same(authority, value, start.scheme) {
                continue;
            } else {
                text.refuse("the Host of the request differs from its authority");
            }
        }
        text.put_field(name, value);
    }
    text.bytes.put_slice(b"\r\n");
    (text.bytes.freeze(), text.why)
}

/// The text of a head under construction.
struct Text {
    bytes: BytesMut,
    /// Why the request is refused.
    why: Option<&'static str>,
    /// Whether the last line is a Cookie field.
    is_in_cookie: bool,
}

impl Text {
    fn refuse(&mut self, why: &'static str) {
        self.why.get_or_insert(why);
    }

    fn put(&mut self, parts: [&[u8]; 4]) {
        parts.iter().for_each(|part| self.bytes.put_slice(part));
    }

    fn put_line(&mut self, method: &[u8], target: &[u8]) {
        const INVALID: &[u8] = b"-";
        let mut line = (method, target);
        if !field::is_token(method) {
            self.refuse("the method of the request is not a token");
            line.0 = INVALID;
        }
        if target.is_empty() || !target.iter().all(|byte| *byte > b' ' && *byte != 0x7f && *byte != b'#') {
            self.refuse("the request target contains an invalid character; percent-encode it");
            line.1 = INVALID;
        }
        if method != b"CONNECT" && target != b"*" && !target.starts_with(b"/") {
            self.refuse("the request target is not a path");
        }
        self.put([line.0, b" ", line.1, b" HTTP/2\r\n"]);
    }

    /// Adds a field. Joins split cookies, which are one field outside of HTTP/2 (RFC 9113 section 8.2.3).
    fn put_field(&mut self, name: &[u8], value: &[u8]) {
        if !field::is_lower_case_name(name) {
            return self.refuse("the name of a header is not a lower-case token");
        }
        if !field::is_value(value) {
            return self.refuse("the value of a header has surrounding white space or a control character");
        }
        let was_in_cookie = std::mem::replace(&mut self.is_in_cookie, name == b"cookie");
        if !was_in_cookie || !self.is_in_cookie {
            self.put([name, b": ", value, b"\r\n"]);
        } else if !value.is_empty() {
            let separator: &[u8] = if self.bytes.ends_with(b": \r\n") { b"" } else { b"; " };
            self.bytes.truncate(self.bytes.len() - b"\r\n".len());
            self.put([separator, value, b"\r\n", b""]);
        }
    }
}

fn is_http(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"http")
}

/// Proxies that terminate TLS send this scheme.
fn is_https(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https")
}

/// Whether Host equals the authority, ignoring case and a port that the scheme implies (RFC 3986 section 6.2.3).
fn is_same(authority: &[u8], host: &[u8], scheme: Option<&[u8]>) -> bool {
    let port: &[u8] = if scheme.is_some_and(is_https) { b":443" } else { b":80" };
    let name = |text: &'_ [u8]| text.strip_suffix(port).or(text.strip_suffix(b":")).map_or(text.len(), <[u8]>::len);
    authority[..name(authority)].eq_ignore_ascii_case(&host[..name(host)])
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given = Vec<(Vec<u8>, Vec<u8>)>;

    fn written(start: &Start<'_>, fields: &[(&[u8], &[u8])]) -> (RequestHead, Option<&'static str>) {
        let (text, why) = write(start, fields.iter().copied());
        (RequestHead::new(text), why)
    }

    fn get(fields: &[(&'static str, &'static str)]) -> (RequestHead, Option<&'static str>) {
        let fields: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let start = Start { method: b"GET", scheme: Some(b"http"), authority: Some(b"x"), target: b"/" };
        written(&start, &fields)
    }

    #[test]
    fn an_http2_head_reads_like_an_http1_head() {
        let request = http::Request::get("http://x:80/a?b").header("host", "X").header("a", "1").header("a", "2");
        let (parts, ()) = request.body(()).expect("valid").into_parts();
        let (head, refusal) = read(&parts);
        assert!(refusal.is_none());
        assert_eq!(&head.raw()[..], b"GET /a?b HTTP/2\r\nhost: x:80\r\na: 1\r\na: 2\r\n\r\n");
    }

    #[test]
    fn h3_split_cookies_are_joined_into_one_field() {
        for (crumbs, line) in [
            (&["a=1", "b=2", "c=3"][..], "cookie: a=1; b=2; c=3\r\n"),
            (&["", "a=1", "", "b=2", ""], "cookie: a=1; b=2\r\n"),
            (&["", ""], "cookie: \r\n"),
            (&["a=1"], "cookie: a=1\r\n"),
        ] {
            let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", *crumb)).chain([("z", "1")]).collect();
            let (head, why) = get(&fields);
            assert_eq!(why, None);
            assert_eq!(head.raw(), format!("GET / HTTP/2\r\nhost: x\r\n{line}z: 1\r\n\r\n").as_bytes());
        }
        assert!(get(&[("cookie", "a=1 "), ("cookie", "b=2")]).1.is_some());
    }

    #[test]
    fn h4_host_may_differ_from_the_authority_in_case_and_default_port_only() {
        for (scheme, authority, host, is_fine) in [
            ("http", "a", "A", true),
            ("http", "a:80", "a", true),
            ("http", "a", "a:", true),
            ("https", "a", "a:443", true),
            ("https", "a", "a:80", false),
            ("http", "a:8080", "a", false),
            ("http", "[::1]", "[::1]:80", true),
            ("http", "a", "b", false),
            ("http", "a", "", false),
            ("http", "a", "a.", false),
        ] {
            let (scheme, authority) = (Some(scheme.as_bytes()), Some(authority.as_bytes()));
            let start = Start { method: b"GET", scheme, authority, target: b"/" };
            let (head, why) = written(&start, &[(b"host", host.as_bytes())]);
            assert_eq!(why.is_none(), is_fine, "{host}: {why:?}");
            assert!(!is_fine || head.values("host").eq(authority), "the authority wins");
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % bound
        }

        /// One of these, usually unchanged, else with bytes changed or inserted.
        fn spoiled(&mut self, ones: &[&[u8]]) -> Vec<u8> {
            const HOSTILE: &[u8] = b"\r\n \t\0:;#?*/\x0b\x0c\x7f\x80\xff\"AHhost";
            let mut text = ones[self.below(ones.len())].to_vec();
            while self.below(4) == 0 {
                let byte = match self.below(4) {
                    0 => self.below(256).to_le_bytes()[0],
                    _ => HOSTILE[self.below(HOSTILE.len())],
                };
                let at = self.below(text.len() + 1);
                match text.get_mut(at) {
                    Some(old) if self.below(2) == 0 => *old = byte,
                    _ => text.insert(at, byte),
                }
            }
            text
        }
    }

    const METHODS: [&[u8]; 5] = [b"GET", b"POST", b"OPTIONS", b"CONNECT", b"m-search"];
    const SCHEMES: [&[u8]; 4] = [b"http", b"https", b"HTTP", b"ftp"];
    const AUTHORITIES: [&[u8]; 5] = [b"x", b"x:80", b"[::1]:8000", b"user@x", b""];
    const TARGETS: [&[u8]; 7] = [b"/", b"/a?b", b"*", b"/caf\xc3\xa9", b"http://x/a", b"?a", b"a HTTP/1.1\r\nb: c"];
    const NAMES: [&[u8]; 8] = [b"a", b"host", b"cookie", b"content-length", b"x-y", b":path", b"B", b""];
    const VALUES: [&[u8]; 8] = [b"", b"1", b"a b", b"\xe9", b" a", b"a\t", b"x", b"1\r\nhost: y"];

    /// The fields that the head should be split into: the authority as Host, and split cookies joined.
    fn expected(authority: Option<&[u8]>, fields: &[(&[u8], &[u8])]) -> Given {
        let mut expected: Given =
            authority.map(|authority| (b"host".to_vec(), authority.to_vec())).into_iter().collect();
        for (name, value) in fields {
            match expected.last_mut() {
                _ if *name == b"host" && authority.is_some() => {}
                Some((last, joined)) if last == b"cookie" && *name == b"cookie" => {
                    if !joined.is_empty() && !value.is_empty() {
                        joined.extend(b"; ");
                    }
                    joined.extend(*value);
                }
                _ => expected.push((name.to_vec(), value.to_vec())),
            }
        }
        expected
    }

    /// Also covers input worse than what h2 can produce.
    #[test]
    fn a_head_that_is_not_refused_splits_into_exactly_what_was_parsed() {
        const ROUNDS: u32 = 200_000;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut taken, mut refused) = (0, 0);
        for round in 0..ROUNDS {
            let mut maybe = |ones: &[&[u8]]| (random.below(4) > 0).then(|| random.spoiled(ones));
            let (scheme, authority) = (maybe(&SCHEMES), maybe(&AUTHORITIES));
            let (method, target) = (random.spoiled(&METHODS), random.spoiled(&TARGETS));
            let fields: Given =
                (0..random.below(6)).map(|_| (random.spoiled(&NAMES), random.spoiled(&VALUES))).collect();
            let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
            let start =
                Start { method: &method, scheme: scheme.as_deref(), authority: authority.as_deref(), target: &target };
            let (head, why) = written(&start, &fields);
            let got: Given = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let expected = expected(start.authority, &fields);
            let what = format!("round {round}: {:?}, {why:?}", head.raw());
            if why.is_none() {
                taken += 1;
                assert_eq!((head.method(), head.target()), (&*method, &*target), "{what}");
                assert_eq!(got, expected, "{what}");
                let parts = head.parts();
                let of_target = target.splitn(2, |byte| *byte == b'?').collect::<Vec<_>>();
                let is_path = method != b"CONNECT";
                assert!(!is_path || parts.authority.is_none() && parts.path == of_target[0], "{what}: {parts:?}");
                assert_eq!(parts.query, of_target.get(1).copied().unwrap_or_default(), "{what}");
            } else {
                refused += 1;
                assert!([&*method, b"-"].contains(&head.method()), "{what}");
                assert!([&*target, b"-"].contains(&head.target()), "{what}");
                let is_given = |(name, value): &(Vec<u8>, Vec<u8>)| {
                    name == b"cookie" || name == b"host" || fields.contains(&(name, value))
                };
                assert!(got.iter().all(is_given), "{what}");
            }
            assert_eq!(head.version(), wasmserve_gateway::request::Version::Http2, "{what}");
        }
        assert!(taken > ROUNDS / 20 && refused > ROUNDS / 20, "{taken} taken, {refused} refused");
    }

    /// The same with values that http's own types can hold, which are all that h2 can produce.
    #[test]
    fn what_http_types_can_hold_is_refused_or_splits_into_the_same() {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..100_000 {
            let mut request = http::Request::new(());
            let mut uri = http::uri::Parts::default();
            uri.path_and_query = http::uri::PathAndQuery::try_from(&*random.spoiled(&TARGETS)).ok();
            uri.authority = http::uri::Authority::try_from(&*random.spoiled(&AUTHORITIES)).ok();
            uri.scheme =
                http::uri::Scheme::try_from(&*random.spoiled(&SCHEMES)).ok().filter(|_| uri.authority.is_some());
            let Ok(uri) = http::Uri::from_parts(uri) else { continue };
            let Ok(method) = http::Method::from_bytes(&random.spoiled(&METHODS)) else { continue };
            (*request.uri_mut(), *request.method_mut()) = (uri.clone(), method.clone());
            for _ in 0..random.below(6) {
                let name = http::HeaderName::from_lowercase(&random.spoiled(&NAMES));
                let value = http::HeaderValue::from_bytes(&random.spoiled(&VALUES));
                if let (Ok(name), Ok(value)) = (name, value) {
                    request.headers_mut().append(name, value);
                }
            }
            let (parts, ()) = request.into_parts();
            let (head, end) = read(&parts);
            if let Some(refusal) = end {
                refused += 1;
                assert_eq!(refusal.status(), 400);
                continue;
            }
            taken += 1;
            let fields: Vec<_> =
                parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
            let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
            assert_eq!(head.method(), method.as_str().as_bytes());
            let got: Given = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            assert_eq!(got, expected(authority, &fields), "{parts:?}");
            if let Some(target) = uri.path_and_query() {
                assert_eq!(head.target(), target.as_str().as_bytes());
                assert_eq!(
                    (head.parts().path, head.parts().query),
                    (target.path().as_bytes(), target.query().unwrap_or_default().as_bytes())
                );
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
    }
}
