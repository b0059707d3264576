//! The `environ`: a request as CGI variables (PEP 3333; RFC 3875 section 4.1).

use std::{borrow::Cow, net::SocketAddr, str::FromStr, time::Duration};

use bytes::Bytes;

use crate::{
    Field, field,
    forwarded::Forwarded,
    mounts::Mount,
    request::{RequestHead, Target, Version},
};

/// A variable: its name and its value.
pub type Var = (Cow<'static, str>, Bytes);

/// The text of `SERVER_SOFTWARE` and of the `Server` field (rule E10).
pub const SOFTWARE: &str = concat!("wasmserve/", env!("CARGO_PKG_VERSION"));

/// The two ends of the connection that carries a request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
}

/// A variable added with `--env NAME=VALUE`.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name, which must not be reserved (rule E15).
    pub name: String,
    /// The value, which may be empty.
    pub value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        if name.is_empty() || name.contains(char::is_control) || value.contains('\0') {
            return Err("write NAME=VALUE with a non-empty name and without control characters".into());
        }
        if is_reserved(name) {
            return Err(format!("`{name}` is set by the gateway and cannot be overridden with --env"));
        }
        Ok(Variable { name: name.to_owned(), value: value.to_owned() })
    }
}

/// The input of the environ besides the request head.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The two ends of the connection.
    pub peer: Peer,
    /// The value of `SERVER_NAME`, in place of our own address (rule E6).
    pub server_name: Option<&'a str>,
    /// Where the handler is mounted. Must cover the request's path (rule E3).
    pub mount: &'a Mount,
    /// The length of the body if known; `None` for a chunked body, and without a body.
    pub content_length: Option<u64>,
    /// What a trusted proxy reported about the connection.
    pub forwarded: Forwarded,
    /// The exchange's id.
    pub id: u64,
    /// How long the handler may run.
    pub timeout: Duration,
    /// The variables that `--env` adds.
    pub env: &'a [Variable],
}

impl Facts<'static> {
    /// What a host knows that serves one handler, at its root: the ends of the connection, and how long the handler may
    /// run. There is no body unless `content_length` is set, and the id is 0.
    #[must_use]
    pub fn new(peer: Peer, timeout: Duration) -> Self {
        static ROOT: Mount = Mount::ROOT;
        let (forwarded, content_length) = (Forwarded::default(), None);
        Self { peer, server_name: None, mount: &ROOT, content_length, forwarded, id: 0, timeout, env: &[] }
    }
}

/// The value of a variable, or `None` if it is absent: `environ.get` of the contract.
#[must_use]
pub fn get<'a>(environ: &'a [Var], name: &str) -> Option<&'a Bytes> {
    environ.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A copy of the whole environ: `environ.copy-all` of the contract.
#[must_use]
pub fn copy_all(environ: &[Var]) -> Vec<Field> {
    environ.iter().map(|(name, value)| (name.as_ref().to_owned(), value.to_vec())).collect()
}

/// Builds the whole environ, with unique names in the order of rule E17.
#[must_use]
pub fn build(head: &RequestHead, facts: &Facts<'_>) -> Vec<Var> {
    let slice = |bytes: &[u8]| head.raw().slice_ref(bytes);
    let text = |text: String| Bytes::from(text.into_bytes());
    let fixed = |text: &'static str| Bytes::from_static(text.as_bytes());

    let target = head.target();
    let Target { authority, path, query } = head.parts();
    let path = field::percent_decoded(path.get(facts.mount.path().len()..).unwrap_or_default());

    let protocol = match head.version() {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    };
    let remote = facts.forwarded.client.unwrap_or_else(|| facts.peer.remote.ip().to_canonical());
    let remote = text(remote.to_string());
    let server_name = facts.server_name.map(str::to_owned);
    let server_name = server_name.unwrap_or_else(|| facts.peer.local.ip().to_canonical().to_string());
    let is_https = facts.forwarded.is_https.unwrap_or(false);

    let mut vars: Vec<Var> = Vec::with_capacity(32);
    let mut add = |name: &'static str, value: Bytes| vars.push((Cow::Borrowed(name), value));
    if let Some(length) = facts.content_length {
        add("CONTENT_LENGTH", text(length.to_string()));
    }
    if let Some(content_type) = head.values("content-type").next() {
        add("CONTENT_TYPE", slice(content_type));
    }
    add("GATEWAY_INTERFACE", fixed("CGI/1.1"));
    add("PATH_INFO", path.into());
    add("QUERY_STRING", slice(query));
    add("REMOTE_ADDR", remote.clone());
    add("REMOTE_HOST", remote);
    add("REMOTE_PORT", text(facts.peer.remote.port().to_string()));
    add("REQUEST_METHOD", slice(head.method()));
    add("REQUEST_URI", slice(target));
    add("RAW_URI", slice(target));
    add("SCRIPT_NAME", field::percent_decoded(facts.mount.path()).into());
    add("SERVER_NAME", text(server_name));
    add("SERVER_PORT", text(facts.peer.local.port().to_string()));
    add("SERVER_PROTOCOL", fixed(protocol));
    add("SERVER_SOFTWARE", fixed(SOFTWARE));

    if is_https {
        // Rule E14.
        vars.push(("HTTPS".into(), fixed("on")));
    }
    for (name, value) in head.fields() {
        let Some(name) = variable_name(name) else { continue };
        // Rule I8: a body that has a length is not in chunks for the handler.
        if facts.content_length.is_some() && name == "HTTP_TRANSFER_ENCODING" {
            continue;
        }
        let value = match authority {
            // Rule T4: the authority of a target in absolute form replaces Host.
            Some(authority) if name == "HTTP_HOST" => authority,
            _ => value,
        };
        match vars.iter_mut().find(|(known, _)| *known == name) {
            None => vars.push((Cow::Owned(name), slice(value))),
            Some((_, joined)) => {
                let separator: &[u8] = if name == "HTTP_COOKIE" { b"; " } else { b", " };
                *joined = [joined, separator, value].concat().into();
            }
        }
    }
    if let Some(authority) = authority.filter(|_| head.values("host").next().is_none()) {
        vars.push(("HTTP_HOST".into(), slice(authority)));
    }

    let mut add = |name: &'static str, value: Bytes| vars.push((Cow::Borrowed(name), value));
    add("wsgi.version", fixed("1.0"));
    add("wsgi.url_scheme", fixed(if is_https { "https" } else { "http" }));
    // Rule E13: other instances may run at the same time; this one is never called again.
    add("wsgi.multithread", fixed("0"));
    add("wsgi.multiprocess", fixed("1"));
    add("wsgi.run_once", fixed("1"));
    add("wsgi.input_terminated", fixed("1"));
    add("wasmserve.request_id", text(facts.id.to_string()));
    add("wasmserve.deadline_ms", text(facts.timeout.as_millis().to_string()));
    add("wasmserve.mount", if facts.mount.path().is_empty() { fixed("/") } else { facts.mount.path().clone() });
    for variable in facts.env {
        vars.push((Cow::Owned(variable.name.clone()), text(variable.value.clone())));
    }
    vars
}

/// Whether `--env` may not set this variable, because the gateway sets it or a client could (rule E15).
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "GATEWAY_INTERFACE",
        "HTTPS",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "QUERY_STRING",
        "RAW_URI",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_METHOD",
        "REQUEST_URI",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
    ];
    const PREFIXES: [&str; 4] = ["HTTP_", "SSL_", "wsgi.", "wasmserve."];
    NAMES.contains(&name) || name == "SERVER_SOFTWARE" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns `HTTP_` and the name in upper case with `_` for `-` (rule H1), or `None` for names left out of the environ:
/// ambiguous ones, and the two `Content-` fields, which have variables of their own (rule E4).
fn variable_name(name: &[u8]) -> Option<String> {
    let has_own_variable =
        ["content-type", "content-length"].iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
    if !field::is_unambiguous(name) || has_own_variable {
        return None;
    }
    let upper = name.iter().map(|byte| if *byte == b'-' { '_' } else { byte.to_ascii_uppercase() as char });
    Some("HTTP_".chars().chain(upper).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_from(wire: &[u8], content_length: Option<u64>) -> Vec<Var> {
        build_at(&Mount::ROOT, wire, content_length)
    }

    fn build_at(mount: &Mount, wire: &[u8], content_length: Option<u64>) -> Vec<Var> {
        let peer = Peer { remote: ([192, 0, 2, 7], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
        let env = [Variable { name: "GREETING".into(), value: "hi".into() }];
        let facts = Facts { mount, content_length, id: 7, env: &env, ..Facts::new(peer, Duration::from_secs(30)) };
        build(&RequestHead::new(Bytes::copy_from_slice(wire)), &facts)
    }

    fn get<'a>(vars: &'a [Var], name: &str) -> Option<&'a [u8]> {
        super::get(vars, name).map(|value| &value[..])
    }

    #[test]
    fn wire_bytes_become_variables() {
        const NONE: Option<&[u8]> = None;
        /// The rule, the head, the variable's name, and its value.
        type Case = (&'static str, &'static [u8], &'static str, Option<&'static [u8]>);
        let cases: &[Case] = &[
            ("T3", b"GET /env/a?x=1&y=%2F?z HTTP/1.1\r\n\r\n", "PATH_INFO", Some(b"/env/a")),
            ("T3", b"GET /env/a?x=1&y=%2F?z HTTP/1.1\r\n\r\n", "QUERY_STRING", Some(b"x=1&y=%2F?z")),
            ("T3", b"GET /a%20b?x HTTP/1.1\r\n\r\n", "REQUEST_URI", Some(b"/a%20b?x")),
            ("T4", b"GET http://other:99/p?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP_HOST", Some(b"other:99")),
            ("T4", b"GET http://other:99/p?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", "PATH_INFO", Some(b"/p")),
            ("T4", b"GET http://other HTTP/1.0\r\n\r\n", "PATH_INFO", Some(b"/")),
            ("T4", b"GET http://other HTTP/1.0\r\n\r\n", "HTTP_HOST", Some(b"other")),
            ("T8", b"GET /a#b HTTP/1.1\r\n\r\n", "PATH_INFO", Some(b"/a")),
            ("T9", b"GET //a///b/../c/./d;p=1 HTTP/1.1\r\n\r\n", "PATH_INFO", Some(b"//a///b/../c/./d;p=1")),
            (
                "T10",
                b"GET /a%2Fb%20c%C3%A9%ff%zz%4%252c HTTP/1.1\r\n\r\n",
                "PATH_INFO",
                Some(b"/a/b c\xc3\xa9\xff%zz%4%2c"),
            ),
            ("T11", b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", "PATH_INFO", Some(b"/\xc3\xa9")),
            ("E2", b"GET / HTTP/1.1\r\n\r\n", "SCRIPT_NAME", Some(b"")),
            ("E2", b"GET / HTTP/1.1\r\n\r\n", "QUERY_STRING", Some(b"")),
            ("E4", b"POST / HTTP/1.1\r\nContent-Type: a/b\r\n\r\n", "CONTENT_TYPE", Some(b"a/b")),
            ("E4", b"POST / HTTP/1.1\r\nContent-Type: a/b\r\n\r\n", "HTTP_CONTENT_TYPE", NONE),
            ("E4", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "HTTP_CONTENT_LENGTH", NONE),
            ("E4", b"GET / HTTP/1.1\r\n\r\n", "CONTENT_TYPE", NONE),
            ("E5", b"GET / HTTP/1.0\r\n\r\n", "SERVER_PROTOCOL", Some(b"HTTP/1.0")),
            ("E5", b"GET / HTTP/2\r\n\r\n", "SERVER_PROTOCOL", Some(b"HTTP/2")),
            ("E6", b"GET / HTTP/1.1\r\nHost: evil:1\r\n\r\n", "SERVER_NAME", Some(b"127.0.0.1")),
            ("E6", b"GET / HTTP/1.1\r\n\r\n", "SERVER_PORT", Some(b"8000")),
            ("E7", b"GET / HTTP/1.1\r\n\r\n", "REMOTE_ADDR", Some(b"192.0.2.7")),
            ("E8", b"GET / HTTP/1.1\r\nRemote-User: root\r\n\r\n", "REMOTE_USER", NONE),
            ("E8", b"GET / HTTP/1.1\r\nRemote-User: root\r\n\r\n", "HTTP_REMOTE_USER", Some(b"root")),
            ("E13", b"GET / HTTP/1.1\r\n\r\n", "wsgi.run_once", Some(b"1")),
            ("E15", b"GET / HTTP/1.1\r\n\r\n", "GREETING", Some(b"hi")),
            ("E15", b"GET / HTTP/1.1\r\n\r\n", "PATH", NONE),
            ("E16", b"GET / HTTP/1.1\r\n\r\n", "wasmserve.request_id", Some(b"7")),
            ("H1", b"GET / HTTP/1.1\r\nx-two-Parts: 1\r\n\r\n", "HTTP_X_TWO_PARTS", Some(b"1")),
            ("H2", b"GET / HTTP/1.1\r\nA: 1\r\nB: x\r\na: 2\r\n\r\n", "HTTP_A", Some(b"1, 2")),
            ("H3", b"GET / HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", "HTTP_COOKIE", Some(b"a=1; b=2")),
            ("H6", b"GET / HTTP/1.1\r\nX_Foo: 1\r\n\r\n", "HTTP_X_FOO", NONE),
            ("H6", b"GET / HTTP/1.1\r\nX-Foo: 1\r\nX_Foo: 2\r\nX.Foo: 3\r\n\r\n", "HTTP_X_FOO", Some(b"1")),
            ("H7", b"GET / HTTP/1.1\r\nProxy: http://evil\r\n\r\n", "HTTP_PROXY", NONE),
            ("H8", b"GET / HTTP/1.1\r\nX: \t caf\xe9 \r\nY:\r\n\r\n", "HTTP_X", Some(b"caf\xe9")),
            ("H8", b"GET / HTTP/1.1\r\nX: \t caf\xe9 \r\nY:\r\n\r\n", "HTTP_Y", Some(b"")),
            ("H10", b"GET / HTTP/1.1\r\nAuthorization: Basic x\r\n\r\n", "HTTP_AUTHORIZATION", Some(b"Basic x")),
        ];
        for (rule, wire, name, value) in cases {
            let vars = build_from(wire, None);
            assert_eq!(get(&vars, name), *value, "{rule}: {name} of {:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn e3_script_name_and_path_info_join_to_the_path() {
        for (mount, target, script_name, path_info) in [
            ("/app", "/app", "/app", ""),
            ("/app/", "/app/", "/app", "/"),
            ("/app", "/app/x%20y?q", "/app", "/x y"),
            ("/a%20b", "/a%20b/c", "/a b", "/c"),
            ("/app", "http://x/app?q", "/app", ""),
        ] {
            let mount = mount.parse().expect("valid");
            let vars = build_at(&mount, format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes(), None);
            let got = (get(&vars, "SCRIPT_NAME"), get(&vars, "PATH_INFO"));
            assert_eq!(got, (Some(script_name.as_bytes()), Some(path_info.as_bytes())), "{target}");
            assert_eq!(get(&vars, "wasmserve.mount"), Some(&mount.path()[..]));
        }
    }

    #[test]
    fn e4_the_length_comes_from_the_framing() {
        let vars = build_from(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Some(5));
        assert_eq!(get(&vars, "CONTENT_LENGTH"), Some(&b"5"[..]));
    }

    #[test]
    fn e17_the_order_is_stable_and_names_are_unique() {
        let vars = build_from(b"GET / HTTP/1.1\r\nHost: x\r\nB: 1\r\nA: 1\r\nB: 2\r\n\r\n", None);
        let names: Vec<_> = vars.iter().map(|(name, _)| &**name).collect();
        let at = |name| names.iter().position(|known| *known == name).expect("present");
        assert!(at("SERVER_SOFTWARE") < at("HTTP_HOST"));
        assert!(at("HTTP_HOST") < at("HTTP_B") && at("HTTP_B") < at("HTTP_A"));
        assert!(at("HTTP_A") < at("wsgi.version") && at("wsgi.version") < at("wasmserve.request_id"));
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(names.iter().filter(|name| **name != "GREETING").all(|name| is_reserved(name)), "{names:?}");
    }
}
