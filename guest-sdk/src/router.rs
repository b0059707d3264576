//! Which application answers which path.

mod pattern;

use std::cmp::Ordering;

use self::pattern::Pattern;
use crate::{Application, Environ, IntoResponse, Response, Result, StartResponse, Value};

/// A [`Router`]: an application for each path and method.
///
/// ```
/// use wasmserve_guest::prelude::*;
///
/// handler!(router());
///
/// fn router() -> Router {
///     Router::new()
///         .get("/", |_: Environ| "users and files\n")
///         .get("/users/{id}", user)
///         .put("/users/{id}", |_: Environ| (501, "not yet\n"))
///         .get("/files/{*path}", file)
/// }
///
/// fn user(environ: Environ) -> Result<String> {
///     let id: Option<u32> = environ.param("id").and_then(|id| id.parse());
///     let id = id.ok_or(Refusal::new(404, "users have numbers"))?;
///     Ok(format!("user {id}\n"))
/// }
///
/// fn file(environ: Environ) -> String {
///     format!("the file {}\n", environ.param("path").unwrap_or_default())
/// }
///
/// # fn paths_have_their_applications() {
/// let answer = testing::call(router(), Environ::made([("PATH_INFO", "/files/a/b.txt")]));
/// assert_eq!(answer.body, b"the file a/b.txt\n");
///
/// let answer = testing::call(router(), Environ::made([("REQUEST_METHOD", "POST"), ("PATH_INFO", "/users/7")]));
/// assert_eq!(answer.status, "405 Method Not Allowed");
/// assert_eq!(answer.header("Allow").unwrap(), &"GET, HEAD, PUT, OPTIONS");
/// # }
/// # paths_have_their_applications();
/// ```
///
/// # Paths
///
/// A pattern begins with `/`, and is matched segment by segment:
///
/// | segment | matches | precedence |
/// |---|---|---|
/// | `text` | itself, in its exact case | first |
/// | `{name}` | any one segment that is not empty | second |
/// | `{*name}`, the last one | all that is left, slashes included; also nothing | third |
///
/// What was matched is [`Environ::param`]. Where several patterns match, the first segment in which they differ decides,
/// whatever the order in which they were added: `/users/me` goes before `/users/{id}`, and that before `/{*rest}`. A
/// `/{*rest}` is thus where all goes that has no other place.
///
/// It is `PATH_INFO` that is matched, the path below the place where the handler is mounted. The host has decoded it once
/// (RFC 3875 section 4.1.5), and nothing decodes it again: `%7B` is a `{` and `%2525` is `%25`. For the same reason a
/// `%2F` is a slash like any other. Who has to tell them apart looks at `REQUEST_URI`. Nothing else is done to the path:
/// `/users` and `/users/` are two paths, `//` has an empty segment in it, and `..` is a segment like others. So what
/// `{*name}` gives must not be joined to a directory without a look at it. An empty `PATH_INFO`, which is that of the
/// mount itself without a slash, counts as `/`.
///
/// # Methods
///
/// The path is decided first, and then the method, in its exact case:
///
/// - A path that no pattern matches is a 404.
/// - `HEAD` is answered by the application for `GET`, if it has none of its own; the host leaves the body out.
/// - `OPTIONS` is answered by a 204 with `Allow`, if it has no application of its own. So is `OPTIONS *`, with all methods
///   that there are, if the host passes it on (`--asterisk app`).
/// - Every other method without an application is a 405 with `Allow`.
///
/// Two applications for the same paths and the same method are a mistake, and such requests a 500 that says so in the log.
///
/// A router is made anew for each request, so it does nothing but keep what it is given until it is asked.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

struct Route {
    /// `None` stands for all.
    method: Option<&'static str>,
    pattern: Pattern,
    application: Box<Runs>,
}

type Runs = dyn FnOnce(Environ, StartResponse) -> Result<()>;

impl Router {
    /// A router without any paths, which answers 404.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// assert_eq!(call(Router::new(), Environ::made([])).status, "404 Not Found");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an application answer a method at all paths that match a pattern.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// let router = Router::new().route("PROPFIND", "/dav/{*path}", |_: Environ| (207, "<multistatus/>"));
    /// let environ = Environ::made([("REQUEST_METHOD", "PROPFIND"), ("PATH_INFO", "/dav/")]);
    /// assert_eq!(call(router, environ).status, "207 Multi-Status");
    /// ```
    ///
    /// # Panics
    ///
    /// When the pattern is none.
    pub fn route<M>(
        self,
        method: &'static str,
        pattern: &'static str,
        application: impl Application<M> + 'static,
    ) -> Self {
        self.with(Some(method), pattern, application)
    }

    /// Lets an application answer every method, except those that have an application of their own.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// let router = Router::new().any("/{*rest}", |_: Environ| (410, "all gone\n"));
    /// assert_eq!(call(router, Environ::made([("REQUEST_METHOD", "BREW")])).status, "410 Gone");
    /// ```
    ///
    /// # Panics
    ///
    /// When the pattern is none.
    pub fn any<M>(self, pattern: &'static str, application: impl Application<M> + 'static) -> Self {
        self.with(None, pattern, application)
    }

    fn with<M>(
        mut self,
        method: Option<&'static str>,
        pattern: &'static str,
        application: impl Application<M> + 'static,
    ) -> Self {
        let pattern = Pattern::new(pattern);
        let application = Box::new(|environ, start_response| application.run(environ, start_response));
        self.routes.push(Route { method, pattern, application });
        self
    }

    /// The routes whose pattern is the best one for a path.
    fn found(self, path: &[u8]) -> Vec<Route> {
        let mut found: Vec<Route> = Vec::new();
        for route in self.routes {
            if route.pattern.params(path).is_none() {
                continue;
            }
            let rank = found.first().map_or(Ordering::Equal, |best| route.pattern.ranks().cmp(best.pattern.ranks()));
            match rank {
                Ordering::Less => found = vec![route],
                Ordering::Equal => found.push(route),
                Ordering::Greater => {}
            }
        }
        found
    }
}

/// Generates the methods that there are names for.
macro_rules! methods {
    ($($name:ident $method:literal)*) => {
        impl Router {
            $(
                #[doc = concat!("Lets an application answer `", $method, "` at all paths that match a pattern.")]
                ///
                /// ```
                /// # use wasmserve_guest::{Environ, Router, testing::call};
                #[doc = concat!("let router = Router::new().", stringify!($name), "(\"/a\", |_: Environ| \"answered\\n\");")]
                #[doc = concat!("let environ = Environ::made([(\"REQUEST_METHOD\", \"", $method, "\"), (\"PATH_INFO\", \"/a\")]);")]
                /// assert_eq!(call(router, environ).body, b"answered\n");
                /// ```
                ///
                /// # Panics
                ///
                /// When the pattern is none.
                pub fn $name<M>(self, pattern: &'static str, application: impl Application<M> + 'static) -> Self {
                    self.with(Some($method), pattern, application)
                }
            )*
        }
    };
}

methods! {
    get "GET"
    post "POST"
    put "PUT"
    patch "PATCH"
    delete "DELETE"
}

/// A `Router`.
pub enum Routed {}

impl Application<Routed> for Router {
    fn run(self, mut environ: Environ, start_response: StartResponse) -> Result<()> {
        let method = environ.method();
        let path = match environ.path() {
            path if path.is_empty() => Value::from("/"),
            path => path,
        };
        let mut found = if path == "*" { self.routes } else { self.found(&path) };
        if path == "*" || found.is_empty() {
            let response = match (&*path, &*method) {
                (b"*", b"OPTIONS") => options(&found)?,
                _ => (404, "404 Not Found\n").into_response()?,
            };
            return response.run(environ, start_response);
        }

        let place = |wanted: Option<&str>| found.iter().position(|route| route.method == wanted);
        let sent = method.to_str().ok();
        let from_get = || (method == "HEAD").then(|| place(Some("GET")))?;
        let Some(place) = sent.and_then(|sent| place(Some(sent))).or_else(from_get).or_else(|| place(None)) else {
            let response = match &*method {
                b"OPTIONS" => options(&found)?,
                _ => Response::new(
                    405,
                    [("Allow", allow(&found)), ("Content-Type", "text/plain; charset=utf-8".into())],
                    "405 Method Not Allowed\n",
                ),
            };
            return response.run(environ, start_response);
        };
        let route = found.swap_remove(place);
        if let Some(other) = found.iter().find(|other| other.method == route.method) {
            let method = route.method.unwrap_or("any method");
            return Err(
                format!("{method} has two applications: at `{}` and at `{}`", route.pattern, other.pattern).into()
            );
        }
        for (name, value) in route.pattern.params(&path).unwrap_or_default() {
            environ.set(format!("router.{name}"), value.to_vec());
        }
        (route.application)(environ, start_response)
    }
}

fn options(routes: &[Route]) -> Result<Response> {
    Ok(Response::new(204, [("Allow", allow(routes))], ()))
}

/// The methods that have an application, in the order in which they came, and those that need none.
fn allow(routes: &[Route]) -> Value {
    let mut methods: Vec<&str> = Vec::new();
    for method in routes.iter().filter_map(|route| route.method) {
        let others = if method == "GET" { &["GET", "HEAD"][..] } else { &[method] };
        for method in others {
            if !methods.contains(method) {
                methods.push(method);
            }
        }
    }
    if !methods.contains(&"OPTIONS") {
        methods.push("OPTIONS");
    }
    methods.join(", ").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Verbs,
        testing::{Answer, call},
        validator,
    };

    fn ask(router: Router, method: &str, path: &str) -> Answer {
        let environ = Environ::made([("REQUEST_METHOD", method), ("SCRIPT_NAME", "/app"), ("PATH_INFO", path)]);
        let answer = call(validator(router), environ);
        assert_eq!(answer.log.len(), usize::from(answer.fault.is_some()), "{answer:?}");
        answer
    }

    /// Tells its pattern and what that has found.
    fn shows(pattern: &'static str) -> impl FnOnce(Environ) -> String {
        move |environ| {
            let all = environ.copy_all().into_iter();
            let params = all.filter_map(|(name, value)| Some(format!(" {}={value:?}", name.strip_prefix("router.")?)));
            format!("{pattern}{}", params.collect::<String>())
        }
    }

    const PATTERNS: [&str; 11] = [
        "/",
        "/users",
        "/users/",
        "/users/me",
        "/users/{id}",
        "/{kind}/list",
        "/users/{id}/posts/{post}",
        "/files/{*path}",
        "/files/readme",
        "/{a}/{*rest}",
        "/users/{id}/",
    ];

    #[test]
    fn the_most_special_pattern_wins_in_any_order() {
        let orders: [Vec<&str>; 2] = [PATTERNS.to_vec(), PATTERNS.iter().rev().copied().collect()];
        for order in orders {
            for (path, expected) in [
                ("/", "/"),
                ("", "/"),
                ("/users", "/users"),
                ("/users/", "/users/"),
                ("/users/me", "/users/me"),
                ("/users/Me", r#"/users/{id} id="Me""#),
                ("/users/list", r#"/users/{id} id="list""#),
                ("/posts/list", r#"/{kind}/list kind="posts""#),
                ("/users/7/posts/a b", r#"/users/{id}/posts/{post} id="7" post="a b""#),
                ("/users/7/", r#"/users/{id}/ id="7""#),
                ("/users/7/posts", r#"/{a}/{*rest} a="users" rest="7/posts""#),
                ("/users/7/posts/", r#"/{a}/{*rest} a="users" rest="7/posts/""#),
                ("/files/", r#"/files/{*path} path="""#),
                ("/files/a//../b/", r#"/files/{*path} path="a//../b/""#),
                ("/files/readme", "/files/readme"),
                ("/files/readme/", r#"/files/{*path} path="readme/""#),
                ("/%41/%2525", r#"/{a}/{*rest} a="%41" rest="%2525""#),
                ("/{a}/x", r#"/{a}/{*rest} a="{a}" rest="x""#),
                ("/caf\u{e9}/x", r#"/{a}/{*rest} a="caf\xc3\xa9" rest="x""#),
            ] {
                let router = order.iter().fold(Router::new(), |router, pattern| router.get(pattern, shows(pattern)));
                let answer = ask(router, "GET", path);
                assert_eq!(String::from_utf8_lossy(&answer.body), expected, "{path}");
            }
            for path in ["//", "//x", "/nothing", "/Users"] {
                let router = order.iter().fold(Router::new(), |router, pattern| router.get(pattern, shows(pattern)));
                let answer = ask(router, "GET", path);
                assert_eq!((&*answer.status, &*answer.body), ("404 Not Found", &b"404 Not Found\n"[..]), "{path}");
            }
        }
    }

    fn methods() -> Router {
        Router::new()
            .post("/a", |_: Environ| "post")
            .get("/a", |environ: Environ| environ.method())
            .route("BREW", "/a", |_: Environ| "brew")
            .delete("/b", |_: Environ| "delete")
            .any("/b", |environ: Environ| environ.method())
            .route("OPTIONS", "/c", |_: Environ| "options")
            .route("HEAD", "/c", |_: Environ| (204, ()))
            .get("/c", |_: Environ| "get")
    }

    #[test]
    fn the_method_is_decided_at_the_path() {
        for (method, path, status, body) in [
            ("POST", "/a", "200 OK", "post"),
            ("GET", "/a", "200 OK", "GET"),
            ("HEAD", "/a", "200 OK", "HEAD"),
            ("BREW", "/a", "200 OK", "brew"),
            ("DELETE", "/b", "200 OK", "delete"),
            ("OPTIONS", "/b", "200 OK", "OPTIONS"),
            ("HEAD", "/b", "200 OK", "HEAD"),
            ("delete", "/b", "200 OK", "delete"),
            ("OPTIONS", "/c", "200 OK", "options"),
            ("HEAD", "/c", "204 No Content", ""),
            ("PUT", "/a", "405 Method Not Allowed", "405 Method Not Allowed\n"),
            ("get", "/a", "405 Method Not Allowed", "405 Method Not Allowed\n"),
            ("PUT", "/d", "404 Not Found", "404 Not Found\n"),
            ("OPTIONS", "/d", "404 Not Found", "404 Not Found\n"),
        ] {
            let environ = Environ::made([("REQUEST_METHOD", method), ("PATH_INFO", path)]);
            let answer = call(methods(), environ);
            assert_eq!(
                (&*answer.status, String::from_utf8_lossy(&answer.body)),
                (status, body.into()),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_told() {
        let allowed = |method: &str, path: &str| {
            let answer = ask(methods(), method, path);
            let allow = answer.header("Allow").map(ToString::to_string);
            (answer.status, allow.unwrap_or_default())
        };
        let expected = |status: &str, allow: &str| (status.to_owned(), allow.to_owned());
        assert_eq!(allowed("OPTIONS", "/a"), expected("204 No Content", "POST, GET, HEAD, BREW, OPTIONS"));
        assert_eq!(allowed("PUT", "/a"), expected("405 Method Not Allowed", "POST, GET, HEAD, BREW, OPTIONS"));
        assert_eq!(allowed("PUT", "/c"), expected("405 Method Not Allowed", "OPTIONS, HEAD, GET"));
        assert_eq!(allowed("OPTIONS", "*"), expected("204 No Content", "POST, GET, HEAD, BREW, DELETE, OPTIONS"));
    }

    #[test]
    fn every_kind_of_application_has_its_place() {
        struct Test;

        impl Verbs for Test {
            fn do_get(&mut self, environ: Environ) -> Result {
                environ.param("id").unwrap_or_default().into_response()
            }
        }

        fn wsgi(environ: Environ, start_response: StartResponse) -> Value {
            start_response("200 OK", &[("Content-Type", "text/plain")]);
            environ.param("id").unwrap_or_default()
        }

        let router = || {
            Router::new()
                .any("/verbs/{id}", Test)
                .get("/wsgi/{id}", wsgi)
                .get("/router/{*id}", Router::new().get("/router/{id}", wsgi))
        };
        for path in ["/verbs/7", "/wsgi/7", "/router/7"] {
            assert_eq!(ask(router(), "GET", path).body, b"7", "{path}");
        }
    }

    #[test]
    fn one_place_for_two_is_a_fault() {
        let two =
            || Router::new().get("/{a}", |_: Environ| "a").get("/{b}", |_: Environ| "b").get("/c", |_: Environ| "c");
        let answer = call(two(), Environ::made([("PATH_INFO", "/x")]));
        assert_eq!(answer.fault.as_deref(), Some("GET has two applications: at `/{a}` and at `/{b}`"));
        assert_eq!(ask(two(), "GET", "/c").body, b"c");
    }
}
