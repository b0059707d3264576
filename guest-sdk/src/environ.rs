//! The request.

use std::{
    fmt::{self, Debug, Formatter},
    io,
};

use crate::{Errors, Form, Input, Value, gateway::Gateway, parse_qs};

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
}

impl Environ {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    /// One variable, by its exact name: `REQUEST_METHOD`, `HTTP_ACCEPT`, `wsgi.url_scheme`. Absent is not the same as
    /// empty.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.gateway.get(name).map(Value::from)
    }

    /// All variables: those of CGI, then `HTTP_*` in the order of arrival, then `wsgi.*`, then `wasmserve.*`.
    pub fn copy_all(&self) -> Vec<(String, Value)> {
        fields(self.gateway.copy_all())
    }

    /// The header lines as received: their case, their order, their repeats.
    pub fn headers(&self) -> Vec<(String, Value)> {
        fields(self.gateway.headers())
    }

    /// The request line and the header lines, with the empty line that ends them, exactly as they came off the wire.
    pub fn raw_head(&self) -> Vec<u8> {
        self.gateway.raw_head()
    }

    /// `wsgi.input`: the request's body. Each call gives another reader of the one stream.
    pub fn input(&self) -> Input {
        Input::new(self.gateway.clone())
    }

    /// `wsgi.errors`: the log.
    pub fn errors(&self) -> Errors {
        Errors::new(self.gateway.clone())
    }

    /// `REQUEST_METHOD`, in the case in which it was sent.
    pub fn method(&self) -> Value {
        self.get("REQUEST_METHOD").unwrap_or_default()
    }

    /// `PATH_INFO`: the path, decoded once, below the place where the handler is mounted.
    pub fn path(&self) -> Value {
        self.get("PATH_INFO").unwrap_or_default()
    }

    /// `QUERY_STRING`, parsed by [`parse_qs`].
    pub fn query(&self) -> Form {
        parse_qs(self.get("QUERY_STRING").unwrap_or_default())
    }

    /// The body of a form post (`application/x-www-form-urlencoded`), parsed by [`parse_qs`]; no more than 1 MiB.
    pub fn form(&self) -> io::Result<Form> {
        self.input().read_all(FORM_LIMIT).map(parse_qs)
    }

    /// Whether the client still listens, as far as the host knows. Never blocks.
    pub fn connected(&self) -> bool {
        self.gateway.connected()
    }
}

/// As a dictionary of all variables.
impl Debug for Environ {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.copy_all()).finish()
    }
}

pub(crate) fn fields(fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Value)> {
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name, value.into())).collect()
}
