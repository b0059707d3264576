//! Who may talk to the viewer: only its own page, and programs that know the token.
//!
//! Captures contain secrets, and pages of strangers, among them those that handlers serve, run in the same browser. The
//! checks do not rely on each other: each keeps out what it is there for even if the others did not exist.

use std::{fmt, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq as _;

/// The secret that every request to the API has to know.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The length of the shortest token, which is that of 128 random bits.
    const LENGTH: usize = 22;

    /// A new token of 128 random bits.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub(super) fn random() -> anyhow::Result<Self> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|error| anyhow::anyhow!("the system has no random numbers: {error}"))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bits)))
    }

    /// A token that the user chose.
    ///
    /// # Errors
    ///
    /// It is too short to be secret, or cannot be part of a URL as it is.
    pub(crate) fn new(text: String) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match text {
            text if text.len() < Self::LENGTH => Err(format!("it must have at least {} characters", Self::LENGTH)),
            text if !text.bytes().all(is_plain) => Err("it may contain letters, digits, and -._~ only".into()),
            text => Ok(Self(text)),
        }
    }

    /// The token as text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether a text is the token. Takes the same time whatever it is.
    fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

/// How long the body of a request may be, in bytes.
pub(super) const BODY_MAX: usize = 2 << 20;

/// The name of the fetch metadata that says where a request in a browser comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks every request before anything else looks at it.
pub(super) struct Door {
    token: Token,
    /// The hosts that the viewer is known under, as in Host, in lower case.
    hosts: Vec<String>,
    /// The origins of the viewer's own page.
    origins: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, and the remedy.
    pub text: String,
    /// A field of the response that the status demands.
    pub field: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    /// A refusal with this status and text.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), field: None }
    }

    /// The refusal of something that is not there.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// The refusal of something that cannot be understood.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl Door {
    /// The door of a viewer at a loopback address, which is known under further names (`--ui-host`), each with a port or
    /// without.
    pub(super) fn new(addr: SocketAddr, names: &[String], token: Token) -> Self {
        let port = addr.port();
        let with_port = |name: &str| format!("{name}:{port}");
        let names_here = ["127.0.0.1", "localhost", "[::1]"];
        // Browsers leave out the port of their scheme.
        let bare = names_here.iter().filter(|_| port == 80).map(|name| (*name).to_owned());
        let local: Vec<String> = names_here.iter().map(|name| with_port(name)).chain(bare).collect();
        let named = names.iter().flat_map(|name| [Some(name.clone()), (!has_port(name)).then(|| with_port(name))]);
        let named: Vec<String> = named.flatten().collect();
        let http = local.iter().chain(&named).map(|host| format!("http://{host}"));
        // Forwarders add TLS.
        let origins = http.chain(named.iter().map(|host| format!("https://{host}"))).collect();
        let hosts = [local, named].concat();
        Self { token, hosts, origins }
    }

    /// Checks the head of a request.
    ///
    /// # Errors
    ///
    /// It does not come from the viewer's page or from a program that knows the token; or its method, or the type of its
    /// body, is not one of the viewer's.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        self.check_host(head)?;
        let is_api = is_api(head.uri.path());
        let (methods, allow) = match is_api {
            true => (&[Method::GET, Method::HEAD, Method::POST, Method::PUT][..], "GET, HEAD, POST, PUT"),
            false => (&[Method::GET, Method::HEAD][..], "GET, HEAD"),
        };
        if !methods.contains(&head.method) {
            let text = format!("the viewer does not know the method {}", head.method);
            let field = Some((header::ALLOW, allow));
            return Err(Refusal { field, ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text) });
        }
        self.check_source(&head.headers)?;
        if is_api {
            self.check_token(&head.headers)?;
        }
        match head.method {
            Method::POST | Method::PUT => check_body(&head.headers),
            _ => Ok(()),
        }
    }

    /// Names of strangers lead here, too, if their servers say so (DNS rebinding). Then the browser takes this for a part
    /// of theirs.
    fn check_host(&self, head: &Parts) -> Result<(), Refusal> {
        let host = only(&head.headers, &header::HOST);
        let is_known = |host: &str| self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let authority = head.uri.authority().map(|authority| authority.as_str());
        if host.is_some_and(is_known) && authority.is_none_or(is_known) {
            return Ok(());
        }
        let text = "the viewer is not known under this name; open the URL that it printed, or name it with --ui-host";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, text))
    }

    /// Browsers say which page a request comes from, and pages cannot change that.
    fn check_source(&self, fields: &HeaderMap) -> Result<(), Refusal> {
        let foreign = "this request comes from the page of another site; open the viewer's URL by itself";
        let site = all(fields, &SEC_FETCH_SITE);
        let origin = all(fields, &header::ORIGIN);
        let is_ours = |origin: &&[u8]| self.origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin));
        let is_same = |site: &&[u8]| matches!(*site, b"same-origin" | b"none");
        match site.iter().all(is_same) && origin.iter().all(is_ours) {
            true => Ok(()),
            false => Err(Refusal::new(StatusCode::FORBIDDEN, foreign)),
        }
    }

    fn check_token(&self, fields: &HeaderMap) -> Result<(), Refusal> {
        let given = only(fields, &header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.as_bytes())
        });
        if given.is_some_and(|token| self.token.is(token)) {
            return Ok(());
        }
        let text = "the token is missing or wrong; send `Authorization: Bearer TOKEN` with what follows #k= in the viewer's URL";
        let field = Some((header::WWW_AUTHENTICATE, "Bearer"));
        Err(Refusal { field, ..Refusal::new(StatusCode::UNAUTHORIZED, text) })
    }
}

/// Whether a path belongs to the API, so that it needs the token.
pub(super) fn is_api(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Forms cannot send this type, so a browser would ask first, with a method that is refused.
fn check_body(fields: &HeaderMap) -> Result<(), Refusal> {
    let media_type = only(fields, &header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let text = "send `Content-Type: application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let length = only(fields, &header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match length {
        Some(length) if length > BODY_MAX as u64 => Err(too_large()),
        _ => Ok(()),
    }
}

/// The refusal of a body that is too long.
pub(super) fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_MAX} bytes"))
}

/// The value of a field that is there exactly once.
fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    match all(fields, name)[..] {
        [value] => str::from_utf8(value).ok(),
        _ => None,
    }
}

fn all<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    fields.get_all(name).iter().map(|value| value.as_bytes()).collect()
}

/// Whether a host is written with a port.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':') || name.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODw";

    fn door() -> Door {
        let names = ["box.example".to_owned(), "tunnel.example:8443".to_owned()];
        Door::new(([127, 0, 0, 1], 8001).into(), &names, Token::new(TOKEN.to_owned()).expect("long enough"))
    }

    /// The status with which a request is refused; 0 if it may pass. Fields are written as `name: value`.
    fn status(method: &str, target: &str, fields: &[&str]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for field in fields {
            let (name, value) = field.split_once(": ").expect("a field");
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        door().check(&head).map_or_else(|refusal| refusal.status.as_u16(), |()| 0)
    }

    const HOST: &str = "host: 127.0.0.1:8001";
    const AUTHORIZATION: &str = "authorization: Bearer AAECAwQFBgcICQoLDA0ODw";
    const JSON: &str = "content-type: application/json";

    #[test]
    fn each_check_refuses_by_itself() {
        let get = |fields: &[&str]| status("GET", "/api/state", &[&[AUTHORIZATION], fields].concat());
        let page = |fields: &[&str]| status("GET", "/app.js", &[&[HOST], fields].concat());
        let post = |fields: &[&str]| status("POST", "/api/clear", &[&[HOST, AUTHORIZATION], fields].concat());
        // Names that lead here.
        for host in [
            "127.0.0.1:8001",
            "localhost:8001",
            "LOCALHOST:8001",
            "[::1]:8001",
            "box.example",
            "box.example:8001",
            "tunnel.example:8443",
        ] {
            assert_eq!(get(&[&format!("host: {host}")]), 0, "{host}");
        }
        for host in [
            "evil.test",
            "evil.test:8001",
            "127.0.0.1",
            "localhost",
            "localhost:8000",
            "localhost.:8001",
            "127.0.0.1.evil.test:8001",
            "127.0.0.2:8001",
            "0.0.0.0:8001",
            "127.1:8001",
            "2130706433:8001",
            "[::]:8001",
            "[::ffff:127.0.0.1]:8001",
            "box.example:8000",
            "box.example:443",
            "tunnel.example",
            "x.box.example",
            "",
            "localhost:8001,evil.test",
        ] {
            assert_eq!(get(&[&format!("host: {host}")]), 421, "{host}");
        }
        assert_eq!(get(&[]), 421, "without Host");
        assert_eq!(get(&[HOST, HOST]), 421, "two of them");
        assert_eq!(status("GET", "http://evil.test/api/state", &[HOST, AUTHORIZATION]), 421);
        assert_eq!(status("GET", "http://127.0.0.1:8001/api/state", &["host: evil.test", AUTHORIZATION]), 421);
        assert_eq!(status("GET", "http://127.0.0.1:8001/api/state", &[HOST, AUTHORIZATION]), 0);
        // Pages of others.
        for origin in [
            "http://127.0.0.1:8001",
            "http://localhost:8001",
            "http://[::1]:8001",
            "http://box.example",
            "https://box.example",
            "https://tunnel.example:8443",
        ] {
            assert_eq!(get(&[HOST, &format!("origin: {origin}")]), 0, "{origin}");
            assert_eq!(page(&[&format!("origin: {origin}")]), 0, "{origin}");
        }
        for origin in [
            "null",
            "http://127.0.0.1:8000",
            "http://localhost",
            "https://localhost:8001",
            "http://evil.test",
            "http://evil.test:8001",
            "file://",
            "http://127.0.0.1:8001.evil.test",
            "https://box.example:8000",
            "",
        ] {
            assert_eq!(get(&[HOST, &format!("origin: {origin}")]), 403, "{origin}");
            assert_eq!(page(&[&format!("origin: {origin}")]), 403, "{origin}");
        }
        for (site, expected) in
            [("same-origin", 0), ("none", 0), ("same-site", 403), ("cross-site", 403), ("", 403), ("None", 403)]
        {
            assert_eq!(get(&[HOST, &format!("sec-fetch-site: {site}")]), expected, "{site}");
            assert_eq!(page(&[&format!("sec-fetch-site: {site}")]), expected, "{site}");
        }
        // Methods.
        for method in ["OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "PROPFIND"] {
            let target = if method == "CONNECT" { "127.0.0.1:8001" } else { "/api/state" };
            assert_eq!(status(method, target, &[HOST, AUTHORIZATION, JSON]), 405, "{method}");
        }
        assert_eq!(status("POST", "/", &[HOST, JSON]), 405);
        assert_eq!(status("HEAD", "/api/state", &[HOST, AUTHORIZATION]), 0);
        // The token.
        for authorization in [
            "Bearer",
            "Bearer ",
            "Bearer AAECAwQFBgcICQoLDA0ODx",
            "Bearer AAECAwQFBgcICQoLDA0OD",
            "Bearer AAECAwQFBgcICQoLDA0ODww",
            "Bearer aaecawqfbgcicqoldA0odw",
            "Bearer  AAECAwQFBgcICQoLDA0ODw",
            "Basic AAECAwQFBgcICQoLDA0ODw",
            "AAECAwQFBgcICQoLDA0ODw",
        ] {
            for target in ["/api", "/api/", "/api/state", "/api/none", "/api/exchanges/1/request/wire"] {
                assert_eq!(
                    status("GET", target, &[HOST, &format!("authorization: {authorization}")]),
                    401,
                    "{authorization}"
                );
            }
        }
        assert_eq!(status("GET", "/api/state", &[HOST, "authorization: bearer AAECAwQFBgcICQoLDA0ODw"]), 0);
        assert_eq!(status("GET", "/api/state", &[HOST, AUTHORIZATION, AUTHORIZATION]), 401);
        assert_eq!(status("GET", "/api/state?k=AAECAwQFBgcICQoLDA0ODw", &[HOST]), 401, "never in a query");
        assert_eq!(status("GET", "/api/state", &[HOST, "cookie: k=AAECAwQFBgcICQoLDA0ODw"]), 401, "never in a cookie");
        assert_eq!(status("GET", "/apiary", &[HOST]), 0, "not the API");
        // What forms can send.
        for media_type in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""]
        {
            assert_eq!(post(&[&format!("content-type: {media_type}")]), 415, "{media_type}");
        }
        assert_eq!(post(&[]), 415);
        assert_eq!(post(&["content-type: text/plain", JSON]), 415);
        assert_eq!(post(&["content-type: application/json; charset=utf-8"]), 0);
        assert_eq!(post(&[JSON, "content-length: 2097153"]), 413);
        assert_eq!(post(&[JSON, "content-length: 2097152"]), 0);
    }

    #[test]
    fn at_port_80_hosts_have_no_port() {
        let door = Door::new(([127, 0, 0, 1], 80).into(), &[], Token::new(TOKEN.to_owned()).expect("long enough"));
        let request = Request::builder().uri("/").header("host", "localhost").header("origin", "http://localhost");
        let (head, ()) = request.body(()).expect("a request").into_parts();
        assert_eq!(door.check(&head), Ok(()));
    }

    #[test]
    fn a_token_is_long_enough_and_fits_into_a_url() {
        for bad in [
            "",
            "short",
            "AAECAwQFBgcICQoLDA0OD",
            "AAECAwQFBgcICQoLDA0 ODw",
            "AAECAwQFBgcICQoLDA0ODw#",
            "AAECAwQFBgcICQoLDA0OD\u{e9}",
        ] {
            assert!(Token::new(bad.to_owned()).is_err(), "{bad}");
        }
        let [one, other] = [Token::random(), Token::random()].map(|token| token.expect("there is randomness"));
        assert!(one != other && Token::new(one.text().to_owned()).is_ok());
        assert_eq!(format!("{one:?}"), "Token(..)", "no log shows it");
    }
}
