//! Checks the environ that the host provides.

use super::clause::{Breach, Clause};
use crate::{Value, gateway::Fields, grammar};

const PRESENT: [&str; 10] = [
    "REQUEST_METHOD",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "wsgi.version",
    "wsgi.url_scheme",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
    "wsgi.input_terminated",
];
const PRESENT_PATH: [&str; 3] = ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];

/// Checks all variables. `get` reads a single variable from the host.
pub(super) fn check(environ: &Fields, get: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Breach> {
    let find = |wanted: &str| environ.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value);
    let mut breaches = Vec::new();
    for name in PRESENT {
        if find(name).is_none_or(<[u8]>::is_empty) {
            breaches.push(Clause::Present.broken_by(format!("no {name}")));
        }
    }
    for name in PRESENT_PATH {
        if find(name).is_none() {
            breaches.push(Clause::PresentPath.broken_by(format!("no {name}")));
        }
    }
    for (index, (name, value)) in environ.iter().enumerate() {
        let repeats = environ[..index].iter().any(|(other, _)| other == name);
        if repeats || get(name).as_ref() != Some(value) {
            breaches.push(Clause::Dictionary.broken_by(name.clone()));
        }
        let below_script = find("SCRIPT_NAME").is_some_and(|script| !script.is_empty());
        if let Some(clause) = broken(name, value, below_script) {
            breaches.push(clause.broken_by(format!("{name} = {:?}", Value::from(value.clone()))));
        }
    }
    breaches
}

/// The clause that one variable violates. Variables that must not be empty are checked elsewhere.
fn broken(name: &str, value: &[u8], below_script: bool) -> Option<Clause> {
    let (clause, holds) = match name {
        "HTTP_CONTENT_TYPE" | "HTTP_CONTENT_LENGTH" => (Clause::Twin, false),
        "HTTP_PROXY" => (Clause::Proxy, false),
        "CONTENT_LENGTH" => (Clause::ContentLength, grammar::is_digits(value)),
        "SCRIPT_NAME" => (Clause::ScriptName, value.is_empty() || value.starts_with(b"/") && !value.ends_with(b"/")),
        "PATH_INFO" => (Clause::PathInfo, value.starts_with(b"/") || value == b"*" || value.is_empty() && below_script),
        _ if PRESENT.contains(&name) && value.is_empty() => return None,
        "REQUEST_METHOD" => (Clause::Method, grammar::is_token(value)),
        "SERVER_PORT" => (Clause::ServerPort, grammar::is_digits(value)),
        "SERVER_PROTOCOL" => (Clause::ServerProtocol, is_protocol(value)),
        "wsgi.version" => (Clause::Version, value == b"1.0"),
        "wsgi.url_scheme" => (Clause::UrlScheme, value == b"http" || value == b"https"),
        _ if name.starts_with("wsgi.") => (Clause::Flag, value == b"0" || value == b"1"),
        _ => match name.strip_prefix("HTTP_") {
            Some(rest) if !is_variable(rest) => (Clause::HttpName, false),
            Some(_) => (Clause::HttpValue, !value.iter().any(|byte| b"\r\n\0".contains(byte))),
            None => return None,
        },
    };
    (!holds).then_some(clause)
}

/// `HTTP/1.1`, `HTTP/2`.
fn is_protocol(value: &[u8]) -> bool {
    match value.strip_prefix(b"HTTP/") {
        Some([major]) => major.is_ascii_digit(),
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

fn is_variable(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_part)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Environ;

    /// A rule, a variable, its wrong value or its absence, and the clause that is violated.
    pub(in crate::validator) const BROKEN: [(&str, &str, Option<&str>, Clause); 30] = [
        ("E1", "REQUEST_METHOD", None, Clause::Present),
        ("E1", "SERVER_NAME", Some(""), Clause::Present),
        ("E1", "wsgi.input_terminated", None, Clause::Present),
        ("E2", "SCRIPT_NAME", None, Clause::PresentPath),
        ("E2", "PATH_INFO", None, Clause::PresentPath),
        ("E2", "QUERY_STRING", None, Clause::PresentPath),
        ("T2", "REQUEST_METHOD", Some("G(T"), Clause::Method),
        ("E3", "SCRIPT_NAME", Some("/"), Clause::ScriptName),
        ("E3", "SCRIPT_NAME", Some("/app/"), Clause::ScriptName),
        ("E3", "SCRIPT_NAME", Some("app"), Clause::ScriptName),
        ("E3", "PATH_INFO", Some(""), Clause::PathInfo),
        ("T7", "PATH_INFO", Some("a"), Clause::PathInfo),
        ("E4", "CONTENT_LENGTH", Some(""), Clause::ContentLength),
        ("H5", "CONTENT_LENGTH", Some("+5"), Clause::ContentLength),
        ("H5", "CONTENT_LENGTH", Some("5, 5"), Clause::ContentLength),
        ("E4", "HTTP_CONTENT_TYPE", Some("text/plain"), Clause::Twin),
        ("E4", "HTTP_CONTENT_LENGTH", Some("5"), Clause::Twin),
        ("E5", "SERVER_PROTOCOL", Some("http/1.1"), Clause::ServerProtocol),
        ("E5", "SERVER_PROTOCOL", Some("HTTP/1.1.1"), Clause::ServerProtocol),
        ("E5", "SERVER_PROTOCOL", Some("HTTP/x.1"), Clause::ServerProtocol),
        ("E6", "SERVER_PORT", Some("80a"), Clause::ServerPort),
        ("H7", "HTTP_PROXY", Some("http://evil/"), Clause::Proxy),
        ("H1", "HTTP_X-A", Some("1"), Clause::HttpName),
        ("H1", "HTTP_Accept", Some("1"), Clause::HttpName),
        ("H1", "HTTP_", Some("1"), Clause::HttpName),
        ("T13", "HTTP_X", Some("a\r\nb"), Clause::HttpValue),
        ("T13", "HTTP_X", Some("a\0b"), Clause::HttpValue),
        ("E12", "wsgi.version", Some("1"), Clause::Version),
        ("E12", "wsgi.url_scheme", Some("ftp"), Clause::UrlScheme),
        ("E13", "wsgi.run_once", Some("true"), Clause::Flag),
    ];

    fn environ_with(name: &str, value: Option<&str>) -> Fields {
        let environ = Environ::for_test([]).with(name, value.unwrap_or_default());
        let mut environ = environ.gateway.copy_all();
        environ.retain(|(other, _)| value.is_some() || other != name);
        environ
    }

    fn breaches(environ: &Fields) -> Vec<Clause> {
        let get = |name: &str| environ.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        check(environ, get).iter().map(Breach::clause).collect()
    }

    #[test]
    fn e_h_t_a_wrong_variable_violates_its_clause() {
        for (rule, name, value, clause) in BROKEN {
            assert_eq!(breaches(&environ_with(name, value)), [clause], "{rule}: {name} = {value:?}");
        }
    }

    #[test]
    fn e_h_t_a_correct_variable_violates_no_clause() {
        for (rule, name, value) in [
            ("E1", "SERVER_NAME", "localhost"),
            ("T2", "REQUEST_METHOD", "M-SEARCH"),
            ("T5", "PATH_INFO", "*"),
            ("T9", "PATH_INFO", "//a/../b\n"),
            ("E3", "SCRIPT_NAME", "/app"),
            ("E4", "CONTENT_TYPE", ""),
            ("E4", "CONTENT_LENGTH", "0"),
            ("E5", "SERVER_PROTOCOL", "HTTP/1.0"),
            ("E5", "SERVER_PROTOCOL", "HTTP/2"),
            ("E12", "wsgi.url_scheme", "https"),
            ("E15", "Anything", "at all\n"),
            ("H8", "HTTP_X_A", ""),
            ("H8", "HTTP_X_A", "caf\u{e9}\t"),
        ] {
            assert_eq!(breaches(&environ_with(name, Some(value))), [], "{rule}: {name} = {value:?}");
        }
    }

    #[test]
    fn e3_a_path_may_be_empty_below_a_mount() {
        let environ = Environ::for_test([("SCRIPT_NAME", "/app"), ("PATH_INFO", "")]);
        assert_eq!(breaches(&environ.gateway.copy_all()), []);
    }

    #[test]
    fn e17_a_name_has_one_value() {
        let mut environ = environ_with("HTTP_X", Some("1"));
        assert_eq!(check(&environ, |_| None).len(), environ.len());
        environ.push(("HTTP_X".to_owned(), b"1".to_vec()));
        assert_eq!(breaches(&environ), [Clause::Dictionary]);
    }
}
