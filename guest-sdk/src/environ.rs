//! The request.

use std::{
    borrow::Cow,
    fmt::{self, Debug, Formatter},
    io,
};

use crate::{Cookies, Errors, Form, Input, Value, gateway::Gateway, parse_qs};

/// More than people type into a form; larger things are for [`Input`].
const FORM_LIMIT: usize = 1 << 20;

/// The request: the `environ` dictionary of PEP 3333.
///
/// Variables stay with the host until they are asked for, so what is not used costs nothing.
///
/// ```
/// use wasmserve_guest::Environ;
///
/// fn app(environ: Environ) -> String {
///     let who = environ.get("HTTP_USER_AGENT").unwrap_or("somebody".into());
///     format!("{who} asks for {}\n", environ.path())
/// }
///
/// # use wasmserve_guest::testing::call;
/// # let environ = Environ::made([("HTTP_USER_AGENT", "curl"), ("PATH_INFO", "/a")]);
/// # assert_eq!(call(app, environ).body, b"curl asks for /a\n");
/// ```
pub struct Environ {
    pub(crate) gateway: Gateway,
    /// What was set in this instance, each name once.
    own: Vec<(Cow<'static, str>, Value)>,
}

impl Environ {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, own: Vec::new() }
    }

    /// The same request once more, for who has to give the first one away.
    pub(crate) fn copy(&self) -> Self {
        Self { gateway: self.gateway.clone(), own: self.own.clone() }
    }

    /// One variable, by its exact name: `REQUEST_METHOD`, `HTTP_ACCEPT`, `wsgi.url_scheme`. Absent is not the same as
    /// empty.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("HTTP_ACCEPT", "")]);
    /// assert_eq!(environ.get("HTTP_ACCEPT"), Some("".into()));
    /// assert_eq!(environ.get("HTTP_COOKIE"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<Value> {
        let mut own = self.own.iter();
        match own.find(|(other, _)| other == name) {
            Some((_, value)) => Some(value.clone()),
            None => self.gateway.get(name).map(Value::from),
        }
    }

    /// Sets a variable, for whoever is given this environ: `environ[name] = value` in Python. It is how middleware tells
    /// the application something, and no other request sees it.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let mut environ = Environ::made([("REQUEST_METHOD", "POST"), ("HTTP_X_HTTP_METHOD_OVERRIDE", "PATCH")]);
    /// if let Some(method) = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE") {
    ///     environ.set("REQUEST_METHOD", method);
    /// }
    /// assert_eq!(environ.method(), "PATCH");
    /// ```
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.own.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => self.own.push((name, value)),
        }
    }

    /// All variables: those of CGI, then `HTTP_*` in the order of arrival, then `wsgi.*`, then `wasmserve.*`, then what
    /// was [`set`](Self::set) and is new.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([]);
    /// assert!(environ.copy_all().contains(&("REQUEST_METHOD".to_owned(), "GET".into())));
    /// ```
    pub fn copy_all(&self) -> Vec<(String, Value)> {
        let mut all = fields(self.gateway.copy_all());
        for (name, value) in &self.own {
            match all.iter_mut().find(|(other, _)| other == name) {
                Some((_, place)) => *place = value.clone(),
                None => all.push((name.to_string(), value.clone())),
            }
        }
        all
    }

    /// The header lines as received: their case, their order, their repeats.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("HTTP_X_MINE", "1")]);
    /// assert!(environ.headers().contains(&("x-mine".to_owned(), "1".into())));
    /// ```
    pub fn headers(&self) -> Vec<(String, Value)> {
        fields(self.gateway.headers())
    }

    /// The request line and the header lines, with the empty line that ends them, exactly as they came off the wire.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("QUERY_STRING", "a=b")]);
    /// assert!(environ.raw_head().starts_with(b"GET /?a=b HTTP/1.1\r\n"));
    /// ```
    pub fn raw_head(&self) -> Vec<u8> {
        self.gateway.raw_head()
    }

    /// `wsgi.input`: the request's body. Each call gives another reader of the one stream.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([]).with_input("a body");
    /// assert_eq!(std::io::read_to_string(environ.input())?, "a body");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn input(&self) -> Input {
        Input::new(self.gateway.clone())
    }

    /// `wsgi.errors`: the log.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let app = |environ: Environ| environ.errors().log("no disk");
    /// assert_eq!(call(app, Environ::made([])).log, ["no disk"]);
    /// ```
    pub fn errors(&self) -> Errors {
        Errors::new(self.gateway.clone())
    }

    /// `REQUEST_METHOD`, in the case in which it was sent.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// assert!(Environ::made([]).method() == "GET");
    /// ```
    pub fn method(&self) -> Value {
        self.get("REQUEST_METHOD").unwrap_or_default()
    }

    /// `PATH_INFO`: the path, decoded once, below the place where the handler is mounted.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("SCRIPT_NAME", "/app"), ("PATH_INFO", "/a b")]);
    /// assert!(environ.path() == "/a b");
    /// ```
    pub fn path(&self) -> Value {
        self.get("PATH_INFO").unwrap_or_default()
    }

    /// What a [`Router`](crate::Router) found in the path for `{name}`: the variable `router.name`.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// fn user(environ: Environ) -> String {
    ///     let id: u32 = environ.param("id").and_then(|id| id.parse()).unwrap_or(0);
    ///     format!("user {id}\n")
    /// }
    ///
    /// let answer = call(Router::new().get("/users/{id}", user), Environ::made([("PATH_INFO", "/users/7")]));
    /// assert_eq!(answer.body, b"user 7\n");
    /// ```
    pub fn param(&self, name: &str) -> Option<Value> {
        self.get(&format!("router.{name}"))
    }

    /// `HTTP_COOKIE`, taken apart.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("HTTP_COOKIE", "id=7; theme=dark")]);
    /// assert_eq!(environ.cookies().get("theme"), Some("dark".into()));
    /// ```
    pub fn cookies(&self) -> Cookies {
        Cookies::parse(self.get("HTTP_COOKIE").unwrap_or_default())
    }

    /// `QUERY_STRING`, parsed by [`parse_qs`].
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("QUERY_STRING", "n=1&n=2")]);
    /// assert_eq!(environ.query().get_all("n"), ["1", "2"]);
    /// ```
    pub fn query(&self) -> Form {
        parse_qs(self.get("QUERY_STRING").unwrap_or_default())
    }

    /// The body of a form post (`application/x-www-form-urlencoded`), parsed by [`parse_qs`]; no more than 1 MiB.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("REQUEST_METHOD", "POST")]).with_input("abc=d+e");
    /// assert_eq!(environ.form()?.get("abc"), Some("d e"));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn form(&self) -> io::Result<Form> {
        self.input().read_all(FORM_LIMIT).map(parse_qs)
    }

    /// Whether the client still listens, as far as the host knows. Never blocks.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// fn app(environ: Environ) -> impl Iterator<Item = &'static str> {
    ///     // Endless, but not longer than anybody listens.
    ///     std::iter::from_fn(move || environ.connected().then_some("tick\n"))
    /// }
    /// # let _ = app;
    /// ```
    pub fn connected(&self) -> bool {
        self.gateway.connected()
    }
}

/// A dictionary of all variables, for `dbg!(&environ)`, which gives each a line of its own.
///
/// Credentials, which are what the client sends in `Authorization`, `Proxy-Authorization` and `Cookie`, show only their
/// length: what `dbg!` prints ends up in the log, and logs are kept, sent around and pasted into tickets. Who wants to see
/// them has to ask, with [`get`](Environ::get) or [`copy_all`](Environ::copy_all). What `--env` adds is shown.
///
/// ```
/// # use wasmserve_guest::Environ;
/// let environ = Environ::made([("HTTP_HOST", "a"), ("HTTP_COOKIE", "id=7")]);
/// let printed = format!("{environ:#?}");
/// assert!(printed.contains("    \"HTTP_HOST\": \"a\",\n"));
/// assert!(printed.contains("    \"HTTP_COOKIE\": (4 octets, not shown),\n"));
/// ```
impl Debug for Environ {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.copy_all() {
            match &*name {
                "HTTP_AUTHORIZATION" | "HTTP_PROXY_AUTHORIZATION" | "HTTP_COOKIE" => {
                    map.entry(&name, &format_args!("({} octets, not shown)", value.len()))
                }
                _ => map.entry(&name, &value),
            };
        }
        map.finish()
    }
}

pub(crate) fn fields(fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Value)> {
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name, value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_takes_the_place_of_what_was_sent() {
        let mut environ = Environ::made([("PATH_INFO", "/sent"), ("REMOTE_ADDR", "::1")]);
        environ.set("PATH_INFO", "/first");
        environ.set("PATH_INFO", "/set");
        environ.set("REMOTE_USER", "alice");
        assert!(environ.path() == "/set");
        let all = environ.copy_all();
        let of =
            |wanted: &str| all.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(of("PATH_INFO"), [&"/set"]);
        assert_eq!(of("REMOTE_ADDR"), [&"::1"]);
        assert_eq!(all.last(), Some(&("REMOTE_USER".to_owned(), "alice".into())));
    }

    #[test]
    fn credentials_are_not_printed() {
        for name in ["HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "HTTP_COOKIE"] {
            let mut environ = Environ::made([]).with(name, "sent hunter2");
            assert!(format!("{environ:?}").contains(&format!("{name:?}: (12 octets, not shown)")), "{environ:?}");
            environ.set(name, "set hunter2");
            assert!(!format!("{environ:?}{environ:#?}").contains("hunter2"), "{environ:?}");
        }
        let environ = Environ::made([("PATH_INFO", "/a\n\"b")]);
        assert!(format!("{environ:?}").contains(r#""PATH_INFO": "/a\n\"b""#), "{environ:?}");
    }
}
