//! Selects an application by path and method.

mod pattern;

use std::cmp::Ordering;

use self::pattern::Pattern;
use crate::{Application, Environ, IntoResponse, Response, Result, StartResponse, Value};

/// Selects an application by the path and the method of the request.
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
///     let id: Option<u32> = environ.param("id").and_then(|id| id.parse().ok());
///     let id = id.ok_or(Refusal::new(404, "user ids are numbers"))?;
///     Ok(format!("user {id}\n"))
/// }
///
/// fn file(environ: Environ) -> String {
///     format!("the file {}\n", environ.param("path").unwrap_or_default())
/// }
///
/// # fn paths_select_their_applications() {
/// let answer = testing::call(router(), Environ::for_test([("PATH_INFO", "/files/a/b.txt")]));
/// assert_eq!(answer.body, b"the file a/b.txt\n");
///
/// let answer = testing::call(router(), Environ::for_test([("REQUEST_METHOD", "POST"), ("PATH_INFO", "/users/7")]));
/// assert_eq!(answer.status, "405 Method Not Allowed");
/// assert_eq!(answer.header("Allow").unwrap(), &"GET, HEAD, PUT, OPTIONS");
/// # }
/// # paths_select_their_applications();
/// ```
///
/// # Paths
///
/// A pattern starts with `/` and is matched segment by segment:
///
/// | segment | matches | precedence |
/// |---|---|---|
/// | `text` | the same text, case-sensitively | first |
/// | `{name}` | one segment that is not empty | second |
/// | `{*name}`, as the last segment | the rest of the path, including slashes; may be empty | third |
///
/// Read the matched parts with [`Environ::param`]. If several patterns match, the first segment in which they differ
/// decides, independently of the order in which they were added: `/users/me` wins over `/users/{id}`, which wins over
/// `/{*rest}`. Use `/{*rest}` as the fallback for all other paths.
///
/// Patterns are matched against `PATH_INFO`, the path below the mount point of the handler. The host decodes it once
/// (RFC 3875 section 4.1.5), and it is not decoded again: `%7B` is a `{`, and `%2525` is `%25`. For the same reason
/// `%2F` is a slash like any other; look at `REQUEST_URI` if you need to distinguish them. The path is not normalised:
/// `/users` and `/users/` are different paths, `//` contains an empty segment, and `..` is an ordinary segment.
/// **Validate the value of `{*name}` before you join it to a directory.** An empty `PATH_INFO`, the mount point itself
/// without a slash, counts as `/`.
///
/// # Methods
///
/// The router matches the path first, and then the method, case-sensitively:
///
/// - A path that matches no pattern is a 404.
/// - `HEAD` goes to the application for `GET` if it has no application of its own. The host drops the body.
/// - `OPTIONS` is a 204 with `Allow` if it has no application of its own. So is `OPTIONS *`, with all methods of all
///   paths, if the host passes it on (`--asterisk app`).
/// - Any other method without an application is a 405 with `Allow`.
///
/// Two applications for the same paths and the same method are an error: such requests get a 500, and the log names
/// both.
///
/// A router is built for each request, so building it is cheap: it only stores its routes in a list.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

struct Route {
    /// `None` for all methods.
    method: Option<&'static str>,
    pattern: Pattern,
    application: Box<Runs>,
}

type Runs = dyn FnOnce(Environ, StartResponse) -> Result<()>;

impl Router {
    /// Creates a router without routes, which answers 404.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// assert_eq!(call(Router::new(), Environ::for_test([])).status, "404 Not Found");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an application for one method and all paths that match a pattern.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// let router = Router::new().route("PROPFIND", "/dav/{*path}", |_: Environ| (207, "<multistatus/>"));
    /// let environ = Environ::for_test([("REQUEST_METHOD", "PROPFIND"), ("PATH_INFO", "/dav/")]);
    /// assert_eq!(call(router, environ).status, "207 Multi-Status");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the pattern is invalid.
    pub fn route<M>(
        self,
        method: &'static str,
        pattern: &'static str,
        application: impl Application<M> + 'static,
    ) -> Self {
        self.with(Some(method), pattern, application)
    }

    /// Adds an application for all methods that do not have an application of their own.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Router, testing::call};
    /// let router = Router::new().any("/{*rest}", |_: Environ| (410, "all gone\n"));
    /// assert_eq!(call(router, Environ::for_test([("REQUEST_METHOD", "BREW")])).status, "410 Gone");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the pattern is invalid.
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

    /// The routes whose pattern matches a path best.
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

/// Generates `get`, `post` and so on.
macro_rules! methods {
    ($($name:ident $method:literal)*) => {
        impl Router {
            $(
                #[doc = concat!("Adds an application for `", $method, "` and all paths that match a pattern.")]
                ///
                /// ```
                /// # use wasmserve_guest::{Environ, Router, testing::call};
                #[doc = concat!("let router = Router::new().", stringify!($name), "(\"/jobs/{id}\", job);")]
                #[doc = concat!("let method = \"", $method, "\";")]
                /// let environ = Environ::for_test([("REQUEST_METHOD", method), ("PATH_INFO", "/jobs/7")]);
                /// assert_eq!(call(router, environ).body, format!("{method} job 7\n").into_bytes());
                ///
                /// fn job(environ: Environ) -> String {
                ///     format!("{} job {}\n", environ.method(), environ.param("id").unwrap_or_default())
                /// }
                /// ```
                ///
                /// # Panics
                ///
                /// Panics if the pattern is invalid.
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

/// The kind of application that a `Router` is.
pub enum Routed {}

impl Application<Routed> for Router {
    fn run(self, mut environ: Environ, start_response: StartResponse) -> Result<()> {
        let method = environ.method().to_owned();
        let path = match environ.get("PATH_INFO").unwrap_or_default() {
            path if path.is_empty() => b"/".to_vec(),
            path => path.into_bytes(),
        };
        let mut found = if path == b"*" { self.routes } else { self.found(&path) };
        if path == b"*" || found.is_empty() {
            let response = match (&*path, &*method) {
                (b"*", "OPTIONS") => options(&found)?,
                _ => (404, "404 Not Found\n").into_response()?,
            };
            return response.run(environ, start_response);
        }

        let place = |wanted: Option<&str>| found.iter().position(|route| route.method == wanted);
        let from_get = || (method == "HEAD").then(|| place(Some("GET")))?;
        let Some(place) = place(Some(&method)).or_else(from_get).or_else(|| place(None)) else {
            let response = match &*method {
                "OPTIONS" => options(&found)?,
                _ => Response::new(
                    405,
                    [("Allow", allow(&found)), ("Content-Type", Value::from_static("text/plain; charset=utf-8"))],
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

/// The value of `Allow`: the methods that have an application, in the order in which they were added, and implied ones.
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
        let environ = Environ::for_test([("REQUEST_METHOD", method), ("SCRIPT_NAME", "/app"), ("PATH_INFO", path)]);
        let answer = call(validator(router), environ);
        assert_eq!(answer.log.len(), usize::from(answer.fault.is_some()), "{answer:?}");
        answer
    }

    /// Answers with its pattern and the parameters.
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
    fn the_most_specific_pattern_wins_in_any_order() {
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
            .get("/a", |environ: Environ| environ.method().to_owned())
            .route("BREW", "/a", |_: Environ| "brew")
            .delete("/b", |_: Environ| "delete")
            .any("/b", |environ: Environ| environ.method().to_owned())
            .route("OPTIONS", "/c", |_: Environ| "options")
            .route("HEAD", "/c", |_: Environ| (204, ()))
            .get("/c", |_: Environ| "get")
    }

    #[test]
    fn the_path_is_matched_before_the_method() {
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
            let environ = Environ::for_test([("REQUEST_METHOD", method), ("PATH_INFO", path)]);
            let answer = call(methods(), environ);
            assert_eq!(
                (&*answer.status, String::from_utf8_lossy(&answer.body)),
                (status, body.into()),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn allow_lists_the_methods_of_the_path() {
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
    fn every_kind_of_application_can_be_routed() {
        struct Test;

        impl Verbs for Test {
            fn do_get(&mut self, environ: Environ) -> Result {
                environ.param("id").unwrap_or_default().to_owned().into_response()
            }
        }

        fn wsgi(environ: Environ, start_response: StartResponse) -> String {
            start_response("200 OK", &[("Content-Type", "text/plain")]);
            environ.param("id").unwrap_or_default().to_owned()
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
    fn two_applications_for_one_route_are_a_fault() {
        let two =
            || Router::new().get("/{a}", |_: Environ| "a").get("/{b}", |_: Environ| "b").get("/c", |_: Environ| "c");
        let answer = call(two(), Environ::for_test([("PATH_INFO", "/x")]));
        assert_eq!(answer.fault.as_deref(), Some("GET has two applications: at `/{a}` and at `/{b}`"));
        assert_eq!(ask(two(), "GET", "/c").body, b"c");
    }
}
