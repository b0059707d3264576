//! The request.

use std::{
    borrow::Cow,
    cell::OnceCell,
    fmt::{self, Debug, Formatter},
    io,
};

use crate::{Cookies, Errors, Form, FormError, Input, Multipart, Value, form, gateway::Gateway, parse_qs};

/// The request: the `environ` dictionary of PEP 3333.
///
/// The host passes a variable to the handler only when the handler reads it, so unused variables cost nothing.
///
/// ```
/// use wasmserve_guest::Environ;
///
/// fn app(environ: Environ) -> String {
///     let client = environ.header("User-Agent").unwrap_or("an unknown client");
///     format!("{} {} from {client}\n", environ.method(), environ.path())
/// }
///
/// # use wasmserve_guest::testing::call;
/// # let environ = Environ::for_test([("HTTP_USER_AGENT", "curl"), ("PATH_INFO", "/a")]);
/// # assert_eq!(call(app, environ).body, b"GET /a from curl\n");
/// ```
pub struct Environ {
    pub(crate) gateway: Gateway,
    /// The variables that the handler has set. Names are unique.
    own: Vec<(Cow<'static, str>, Value)>,
    /// What was read of the request, kept so that borrowed text lives as long as the request. A trait object, so that a
    /// handler that reads nothing does not contain the code that drops it.
    read: OnceCell<Box<dyn Kept>>,
}

trait Kept {
    fn read(&self) -> &Read;

    /// Forgets what depends on variables. The body is read only once, and its form does not depend on them any more.
    fn forget(&mut self);
}

#[derive(Default)]
struct Read {
    texts: Texts,
    query: OnceCell<Form>,
    cookies: OnceCell<Cookies>,
    form: OnceCell<Form>,
}

impl Kept for Read {
    fn read(&self) -> &Read {
        self
    }

    fn forget(&mut self) {
        *self = Self { form: std::mem::take(&mut self.form), ..Self::default() };
    }
}

/// A list of variables, to which others can be appended while its texts are borrowed.
#[derive(Default)]
struct Texts(OnceCell<Box<Text>>);

struct Text {
    name: String,
    value: Option<Value>,
    others: Texts,
}

impl Texts {
    /// Returns the text with this name, after having read it if it is not in the list yet.
    fn get(&self, name: &str, read: impl FnOnce() -> Option<Value>) -> Option<&str> {
        let mut texts = self;
        while let Some(text) = texts.0.get() {
            if text.name == name {
                return text.value.as_deref();
            }
            texts = &text.others;
        }
        let text = || Box::new(Text { name: name.to_owned(), value: read(), others: Self::default() });
        texts.0.get_or_init(text).value.as_deref()
    }
}

impl Environ {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, own: Vec::new(), read: OnceCell::new() }
    }

    fn read(&self) -> &Read {
        self.read.get_or_init(|| Box::new(Read::default())).read()
    }

    /// Another handle to the same request.
    pub(crate) fn copy(&self) -> Self {
        Self { own: self.own.clone(), ..Self::new(self.gateway.clone()) }
    }

    /// Returns one variable by its exact name: `REQUEST_METHOD`, `HTTP_ACCEPT`, `wsgi.url_scheme`. An absent variable
    /// is `None`; an empty one is not.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_ACCEPT", "")]);
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

    /// Sets a variable: `environ[name] = value` in Python. Middleware uses it to pass information to the application.
    /// Other requests do not see it.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let mut environ = Environ::for_test([("REQUEST_METHOD", "POST"), ("HTTP_X_HTTP_METHOD_OVERRIDE", "PATCH")]);
    /// if let Some(method) = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE") {
    ///     environ.set("REQUEST_METHOD", method);
    /// }
    /// assert_eq!(environ.method(), "PATCH");
    /// ```
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        if let Some(read) = self.read.get_mut() {
            read.forget();
        }
        match self.own.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => self.own.push((name, value)),
        }
    }

    /// Copies all variables: those of CGI, then `HTTP_*` in the order of arrival, then `wsgi.*`, then `wasmserve.*`,
    /// then new ones that were added with [`set`](Self::set).
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_ACCEPT", "*/*"), ("HTTP_X_TRACE", "7")]);
    /// let variables = environ.copy_all();
    /// let fields: Vec<&str> = variables.iter().filter_map(|(name, _)| name.strip_prefix("HTTP_")).collect();
    /// assert_eq!(fields, ["HOST", "ACCEPT", "X_TRACE"]);
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

    /// Returns the header fields as received, with their original case, order and repeats.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_X_MINE", "1")]);
    /// assert!(environ.headers().contains(&("x-mine".to_owned(), "1".into())));
    /// ```
    pub fn headers(&self) -> Vec<(String, Value)> {
        fields(self.gateway.headers())
    }

    /// Returns the request line, the header lines and the empty line after them, byte for byte as received.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("QUERY_STRING", "a=b")]);
    /// assert!(environ.raw_head().starts_with(b"GET /?a=b HTTP/1.1\r\n"));
    /// ```
    pub fn raw_head(&self) -> Vec<u8> {
        self.gateway.raw_head()
    }

    /// `wsgi.input`: the request body. Every call returns a reader of the same stream.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with_input("a body");
    /// assert_eq!(std::io::read_to_string(environ.input())?, "a body");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn input(&self) -> Input {
        Input::new(self.gateway.clone())
    }

    /// `wsgi.errors`: the log of this request.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let app = |environ: Environ| environ.errors().log("no disk");
    /// assert_eq!(call(app, Environ::for_test([])).log, ["no disk"]);
    /// ```
    pub fn errors(&self) -> Errors {
        Errors::new(self.gateway.clone())
    }

    /// `REQUEST_METHOD`, in the case that the client sent.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// fn app(environ: Environ) -> (u16, &'static str) {
    ///     match (environ.method(), environ.path()) {
    ///         ("GET" | "HEAD", "/") => (200, "read\n"),
    ///         ("POST", "/") => (201, "created\n"),
    ///         (_, "/") => (405, "not allowed\n"),
    ///         _ => (404, "not found\n"),
    ///     }
    /// }
    /// # assert_eq!(call(app, Environ::for_test([])).body, b"read\n");
    /// ```
    pub fn method(&self) -> &str {
        self.text("REQUEST_METHOD").unwrap_or_default()
    }

    /// `PATH_INFO`: the path below the mount point of the handler, percent-decoded once. It has `�` for what is not UTF-8;
    /// [`get`](Self::get) returns the bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("SCRIPT_NAME", "/app"), ("PATH_INFO", "/a b")]);
    /// assert_eq!(environ.path(), "/a b");
    /// ```
    pub fn path(&self) -> &str {
        self.text("PATH_INFO").unwrap_or_default()
    }

    /// Returns a header field of the request by its name in any case: `Content-Type`, `x-hub-signature-256`. The values
    /// of a field that was sent several times are joined with commas, except for those of `Cookie`. The text has `�` for
    /// what is not UTF-8; [`get`](Self::get) and [`headers`](Self::headers) return the bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_USER_AGENT", "curl"), ("CONTENT_TYPE", "text/plain")]);
    /// let agent = environ.header("user-agent").unwrap_or("an unknown client");
    /// assert_eq!((agent, environ.header("Content-Type")), ("curl", Some("text/plain")));
    /// assert_eq!(environ.header("Accept"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        if name.contains('_') {
            // Not in the environ, where it would be the same variable as the name with a hyphen.
            let is_it = |(other, _): &(String, Value)| other.eq_ignore_ascii_case(name);
            let read = || self.headers().into_iter().find(is_it).map(|(_, value)| value);
            return self.read().texts.get(&format!("header {}", name.to_ascii_lowercase()), read);
        }
        match &*name.replace('-', "_").to_ascii_uppercase() {
            variable @ ("CONTENT_TYPE" | "CONTENT_LENGTH") => self.text(variable),
            field => self.text(&format!("HTTP_{field}")),
        }
    }

    /// Returns the part of the path that matched `{name}` in a [`Router`](crate::Router): the variable `router.name`.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// fn user(environ: Environ) -> String {
    ///     let id: u32 = environ.param("id").and_then(|id| id.parse().ok()).unwrap_or(0);
    ///     format!("user {id}\n")
    /// }
    ///
    /// let answer = call(Router::new().get("/users/{id}", user), Environ::for_test([("PATH_INFO", "/users/7")]));
    /// assert_eq!(answer.body, b"user 7\n");
    /// ```
    pub fn param(&self, name: &str) -> Option<&str> {
        self.text(&format!("router.{name}"))
    }

    /// Reads the whole body for a parser. A body that was read before is an error, because it would look like an empty one.
    pub(crate) fn whole_body(&self, limit: usize) -> io::Result<Vec<u8>> {
        let body = self.input().read_all(limit)?;
        let length = self.text("CONTENT_LENGTH").and_then(|length| length.parse().ok()).unwrap_or(0_u64);
        if body.is_empty() && length > 0 {
            return Err(io::Error::other("the request body was read before"));
        }
        Ok(body)
    }

    /// One variable as text.
    fn text(&self, name: &str) -> Option<&str> {
        self.read().texts.get(name, || self.get(name))
    }

    /// Parses `HTTP_COOKIE`.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_COOKIE", "id=7; theme=dark")]);
    /// let theme = environ.cookies().get("theme").unwrap_or("light");
    /// assert_eq!(theme, "dark");
    /// ```
    pub fn cookies(&self) -> &Cookies {
        self.read().cookies.get_or_init(|| Cookies::parse(self.get("HTTP_COOKIE").unwrap_or_default()))
    }

    /// Parses `QUERY_STRING` with [`parse_qs`].
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("QUERY_STRING", "n=1&n=2")]);
    /// let first = environ.query().get("n").unwrap_or("0");
    /// assert_eq!((first, environ.query().get_all("n").len()), ("1", 2));
    /// ```
    pub fn query(&self) -> &Form {
        self.read().query.get_or_init(|| parse_qs(self.get("QUERY_STRING").unwrap_or_default()))
    }

    /// Reads the body of a form post of up to 1 MiB: `application/x-www-form-urlencoded`, which [`parse_qs`] parses, or
    /// `multipart/form-data`, whose files are in [`Form::files`]. A second call returns the same form.
    ///
    /// A body without a `Content-Type` is a form if it looks like one.
    ///
    /// ```
    /// use wasmserve_guest::{Environ, Result, testing::call};
    ///
    /// fn app(environ: Environ) -> Result<String> {
    ///     let name = environ.form()?.get("name").unwrap_or("World");
    ///     Ok(format!("Hello, {name}!\n"))
    /// }
    ///
    /// let post = |content_type| Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]);
    /// let answer = call(app, post("application/x-www-form-urlencoded").with_input("name=the+team"));
    /// assert_eq!(answer.body, b"Hello, the team!\n");
    /// let answer = call(app, post("application/json").with_input(r#"{"name": "you"}"#));
    /// assert_eq!(answer.status, "415 Unsupported Media Type");
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the body is of another type, malformed, longer than 1 MiB, or incomplete. `?` turns the error into the
    /// response that [`FormError`] lists.
    pub fn form(&self) -> Result<&Form, FormError> {
        if let Some(form) = self.read().form.get() {
            return Ok(form);
        }
        let form = form::read(self)?;
        Ok(self.read().form.get_or_init(|| form))
    }

    /// Reads a `multipart/form-data` body of any size part by part: see [`Multipart`].
    ///
    /// # Errors
    ///
    /// Fails if the body is of another type, or if its type has no valid boundary.
    pub fn multipart(&self) -> Result<Multipart, FormError> {
        Multipart::read(self)
    }

    /// Whether the client is still connected, as far as the host knows. Never blocks.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// fn app(environ: Environ) -> impl Iterator<Item = &'static str> {
    ///     // An endless body, until the client disconnects.
    ///     std::iter::from_fn(move || environ.connected().then_some("tick\n"))
    /// }
    /// # let _ = app;
    /// ```
    pub fn connected(&self) -> bool {
        self.gateway.connected()
    }
}

/// Prints all variables as a map. `dbg!(&environ)` prints one per line.
///
/// Credentials (the `Authorization`, `Proxy-Authorization` and `Cookie` fields) are replaced by their length, because
/// the output of `dbg!` ends up in logs, and logs are stored and shared. Use [`get`](Environ::get) or
/// [`copy_all`](Environ::copy_all) to see them. Variables that `--env` adds are printed.
///
/// ```
/// # use wasmserve_guest::Environ;
/// let environ = Environ::for_test([("HTTP_HOST", "a"), ("HTTP_COOKIE", "id=7")]);
/// let printed = format!("{environ:#?}");
/// assert!(printed.contains("    \"HTTP_HOST\": \"a\",\n"));
/// assert!(printed.contains("    \"HTTP_COOKIE\": (4 bytes, not shown),\n"));
/// ```
impl Debug for Environ {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.copy_all() {
            match &*name {
                "HTTP_AUTHORIZATION" | "HTTP_PROXY_AUTHORIZATION" | "HTTP_COOKIE" => {
                    map.entry(&name, &format_args!("({} bytes, not shown)", value.len()))
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
    fn a_variable_that_was_set_replaces_the_one_that_was_sent() {
        let mut environ = Environ::for_test([("PATH_INFO", "/sent"), ("REMOTE_ADDR", "::1")]);
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
            let mut environ = Environ::for_test([]).with(name, "sent hunter2");
            assert!(format!("{environ:?}").contains(&format!("{name:?}: (12 bytes, not shown)")), "{environ:?}");
            environ.set(name, "set hunter2");
            assert!(!format!("{environ:?}{environ:#?}").contains("hunter2"), "{environ:?}");
        }
        let environ = Environ::for_test([("PATH_INFO", "/a\n\"b")]);
        assert!(format!("{environ:?}").contains(r#""PATH_INFO": "/a\n\"b""#), "{environ:?}");
    }
}
