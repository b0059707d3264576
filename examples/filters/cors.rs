//! A filter that lets pages of other origins use a handler (<https://fetch.spec.whatwg.org/#http-cors-protocol>):
//! `--wrap cors`.
//!
//! ```sh
//! wasmserve api.rs --wrap cors
//! wasmserve api.rs --wrap cors,origin=https://app.example.com,origin=http://localhost:*,credentials
//! ```

use wasmserve_guest::{filter::*, prelude::*};

filter!(Cors);

struct Cors {
    origins: Vec<String>,
    methods: Option<String>,
    headers: Option<String>,
    exposed: Option<String>,
    has_credentials: bool,
    max_age: u64,
    /// The origin of the request, if it may use the handler.
    allowed: Option<String>,
}

impl Filter for Cors {
    fn new(options: &Options) -> Result<Self> {
        let mut origins: Vec<String> = options.all("origin").map(str::to_owned).collect();
        let has_credentials = options.flag("credentials")?;
        if has_credentials && (origins.is_empty() || origins.iter().any(|origin| origin == "*")) {
            return Err("with credentials, origins must be named; write cors,credentials,origin=https://…".into());
        }
        if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(format!(
                "`{wrong}` is not an origin; write a scheme and a host, as in origin=https://app.example.com"
            )
            .into());
        }
        if origins.is_empty() {
            origins.push("*".to_owned());
        }
        // Names are separated by spaces, or the option is repeated.
        let list = |name| -> Result<Option<String>> {
            let names: Vec<&str> = options.all(name).flat_map(str::split_whitespace).collect();
            let names: Vec<&str> =
                names.iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty()).collect();
            match names.iter().find(|name| !name.bytes().all(is_of_token)) {
                Some(wrong) => Err(format!("`{name}` cannot have `{wrong}`; write names, as in {name}='A B'").into()),
                None => Ok(Some(names.join(", ")).filter(|names| !names.is_empty())),
            }
        };
        let (methods, headers, exposed) = (list("methods")?, list("headers")?, list("expose")?);
        let max_age = options.duration("max-age")?.map_or(600, |age| age.as_secs());
        Ok(Self { origins, methods, headers, exposed, has_credentials, max_age, allowed: None })
    }

    fn before(&mut self, request: &mut Request) -> Result<Next> {
        let origin = request.get("HTTP_ORIGIN").map(|origin| origin.as_str().to_owned());
        self.allowed = origin.clone().filter(|origin| self.origins.iter().any(|known| matches(known, origin)));
        let method = request.header("Access-Control-Request-Method").map(str::to_owned);
        let (Some(origin), Some(method)) = (origin, method) else { return Ok(Next::Forward) };
        if request.method() != "OPTIONS" {
            return Ok(Next::Forward);
        }
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        if self.allowed.is_none() {
            let text = format!("the origin {origin} may not use this server\n");
            return Ok(Next::Answer(Response::text(text).with_status(403).with_header("Vary", vary)));
        }
        // Without a list, a page may use what it asks for.
        let methods = self.methods.clone().unwrap_or(method);
        let headers = self.headers.clone().or(request.header("Access-Control-Request-Headers").map(str::to_owned));
        let mut response = Response::new(204, [("Vary", vary)], "")
            .with_header("Access-Control-Allow-Methods", methods)
            .with_header("Access-Control-Max-Age", self.max_age.to_string());
        if let Some(headers) = headers {
            response = response.with_header("Access-Control-Allow-Headers", headers);
        }
        for (name, value) in self.permission() {
            response = response.with_header(name, value);
        }
        Ok(Next::Answer(response))
    }

    fn head(&mut self, head: &mut Head) -> Body {
        let is_ours = |name: &str| {
            ["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"]
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
        };
        head.headers.retain(|(name, _)| !is_ours(name));
        if self.depends_on_origin() {
            // Beside what the handler's response varies with.
            head.headers.push(("Vary".to_owned(), "Origin".into()));
        }
        for (name, value) in self.permission() {
            head.set(name, value);
        }
        if let Some(exposed) = self.exposed.clone().filter(|_| self.allowed.is_some()) {
            head.set("Access-Control-Expose-Headers", exposed);
        }
        Body::Same
    }
}

impl Cors {
    /// Whether the answer differs for other origins.
    fn depends_on_origin(&self) -> bool {
        !self.origins.iter().any(|origin| origin == "*")
    }

    /// The fields that let the request's origin see the response.
    fn permission(&self) -> Vec<(&'static str, String)> {
        let Some(origin) = &self.allowed else { return Vec::new() };
        let origin = if self.depends_on_origin() { origin.clone() } else { "*".to_owned() };
        let mut fields = vec![("Access-Control-Allow-Origin", origin)];
        if self.has_credentials {
            fields.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        }
        fields
    }
}

/// Whether a text can be an origin, with at most one `*` in its host or as its port; or `*` or `null`.
fn is_origin(text: &str) -> bool {
    if text == "*" || text == "null" {
        return true;
    }
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]*".contains(&byte);
    text.split_once("://").is_some_and(|(scheme, host)| {
        let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        !scheme.is_empty() && scheme.bytes().all(is_of_scheme) && !host.is_empty() && host.bytes().all(is_of_host)
    }) && text.matches('*').count() <= 1
}

/// Whether an origin is one of those that are meant. A `*` stands for a part of a host, or for a port.
fn matches(known: &str, origin: &str) -> bool {
    match known.split_once('*') {
        _ if known == "*" => true,
        None => known.eq_ignore_ascii_case(origin),
        Some((before, after)) => {
            let between = origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            between.is_some_and(|part| !part.is_empty() && !part.contains(['/', ':', '@', '?', '#']))
        }
    }
}

/// Whether a byte can be in the name of a field or a method (RFC 9110 section 5.6.2), or is `*`.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(_environ: Environ) -> Response {
        let headers = [("Content-Type", "text/plain"), ("vary", "Accept"), ("access-control-allow-origin", "x")];
        Response::new(200, headers, "data\n")
    }

    fn call(options: &[(&str, &str)], request: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let mut environ = Environ::for_test([]);
        for (name, value) in request {
            environ = environ.with(name, *value);
        }
        let answer = testing::call_behind::<Cors, _>(options, app, environ);
        let own = |name: &str| name.to_ascii_lowercase().starts_with("access-") || name.eq_ignore_ascii_case("vary");
        let fields = answer.headers.iter().filter(|(name, _)| own(name));
        (answer.status, fields.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().to_owned())).collect())
    }

    fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.sort();
        fields
    }

    fn sorted((status, mut fields): (String, Vec<(String, String)>)) -> (String, Vec<(String, String)>) {
        fields.sort();
        (status, fields)
    }

    #[test]
    fn a_simple_request_is_permitted() {
        let (status, seen) = sorted(call(&[], &[("HTTP_ORIGIN", "https://a.example")]));
        assert_eq!((&*status, seen), ("200 OK", fields(&[("vary", "Accept"), ("access-control-allow-origin", "*")])));
        let options = [("origin", "https://a.example"), ("credentials", ""), ("expose", "X-A X-B")];
        let (_, seen) = sorted(call(&options, &[("HTTP_ORIGIN", "https://a.example")]));
        let expected = fields(&[
            ("vary", "Accept"),
            ("vary", "Origin"),
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "X-A, X-B"),
        ]);
        assert_eq!(seen, expected);
        for origin in ["https://b.example", "http://a.example", "https://a.example:8443", "null", ""] {
            let (status, seen) = sorted(call(&options, &[("HTTP_ORIGIN", origin)]));
            assert_eq!((&*status, seen), ("200 OK", fields(&[("vary", "Accept"), ("vary", "Origin")])), "{origin}");
        }
    }

    #[test]
    fn a_preflight_is_answered_without_the_handler() {
        let request = [
            ("REQUEST_METHOD", "OPTIONS"),
            ("PATH_INFO", "/nowhere"),
            ("HTTP_ORIGIN", "https://a.example"),
            ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "DELETE"),
            ("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "x-a,x-b"),
        ];
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        let (status, seen) = sorted(call(&[], &request));
        let expected = fields(&[
            ("vary", vary),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "DELETE"),
            ("access-control-allow-headers", "x-a,x-b"),
            ("access-control-max-age", "600"),
        ]);
        assert_eq!((&*status, seen), ("204 No Content", expected));
        let options = [("origin", "https://*.example"), ("methods", "GET POST"), ("headers", "X-A"), ("max-age", "1h")];
        let (_, seen) = sorted(call(&options, &request));
        let expected = fields(&[
            ("vary", vary),
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "X-A"),
            ("access-control-max-age", "3600"),
        ]);
        assert_eq!(seen, expected);
        let (status, seen) = call(&[("origin", "https://b.example")], &request);
        assert_eq!((&*status, seen), ("403 Forbidden", fields(&[("vary", vary)])));
        // Not a preflight: only asks for what the handler can do.
        assert_eq!(call(&[], &request[..3]).0, "200 OK");
    }

    #[test]
    fn a_star_stands_for_a_part_of_a_host_or_a_port() {
        for (known, origin, expected) in [
            ("*", "https://a.example", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evil.com/.example.com", false),
            ("https://*.example.com", "http://a.example.com", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("http://localhost:*", "http://localhost:1@evil.com", false),
            ("https://a.example", "https://A.example", true),
        ] {
            assert_eq!(matches(known, origin), expected, "{known} {origin}");
        }
    }

    #[test]
    fn wrong_options_are_refused() {
        let refused = |given: &[(&str, &str)]| std::panic::catch_unwind(|| call(given, &[])).is_err();
        for given in [
            &[("credentials", "")][..],
            &[("credentials", ""), ("origin", "*")],
            &[("origin", "app.example.com")],
            &[("origin", "https://app.example.com/")],
            &[("origin", "https://*.*.com")],
            &[("max-age", "600")],
            &[("methods", "GET;POST")],
            &[("origins", "*")],
        ] {
            assert!(refused(given), "{given:?}");
        }
    }
}
