//! Requests to servers, each with its correct response.

use bytes::Bytes;

/// The body of every greeting.
pub const HELLO: &str = "Hello, World!\n";

/// A request to a guest.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// Its name in tables.
    pub name: &'static str,
    /// The guest that answers it.
    pub guest: &'static str,
    /// The bytes of each request.
    pub request: Bytes,
    /// The expected body of each response.
    pub expected: Expected,
    /// How many requests may run at the same time, if limited.
    pub at_once: Option<usize>,
}

/// The expected body of a response.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Exactly these bytes.
    Exactly(Bytes),
    /// This many bytes.
    Length(usize),
    /// At least one byte.
    Something,
}

impl Exercise {
    /// The exercise that every server can do.
    #[must_use]
    pub fn hello() -> Self {
        Self::get("hello", "hello", "", Expected::Exactly(HELLO.into()))
    }

    /// All exercises.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let fields: String =
            (1..=20).map(|number| format!("X-Field-{number}: a value of some length {number}\r\n")).collect();
        let items: Vec<String> = (1..=20)
            .map(|number| format!(r#"{{"name":"item number {number}","price":{number}.5,"count":{number}}}"#))
            .collect();
        let order = format!(r#"{{"customer":"Ada","items":[{}]}}"#, items.join(","));
        vec![
            Self::hello(),
            Self::get("five variables", "reads_five_variables", "", Expected::Something),
            Self::get("all variables", "environ", "", Expected::Something),
            // With Host, 21 fields are received; with Content-Length, 21 are sent.
            Self::get("21 fields", "mirrors_fields", &fields, Expected::Exactly(HELLO.into())),
            Self::post("echo 1 KiB", "echo", vec![b'x'; 1 << 10], true),
            Self::post("echo 64 KiB", "echo", vec![b'x'; 64 << 10], true),
            // Each takes a hundred milliseconds of the load generator's time.
            Self { at_once: Some(4), ..Self::post("echo 16 MiB", "echo", vec![b'x'; 16 << 20], true) },
            Self::post("JSON", "answers_json", order.into_bytes(), false),
            Self::get("stream 64 KiB", "streams", "", Expected::Length(64 << 10)),
            Self::get("10 MB component", LARGE, "", Expected::Exactly(HELLO.into())),
        ]
    }

    /// The exercise that every server of files can do.
    #[must_use]
    pub fn file(name: &str, size: usize) -> Self {
        let hello = Self::hello();
        Self { expected: Expected::Length(size), ..hello.at(&format!("/{name}")) }
    }

    fn get(name: &'static str, guest: &'static str, fields: &str, expected: Expected) -> Self {
        let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n").into();
        Self { name, guest, request, expected, at_once: None }
    }

    fn post(name: &'static str, guest: &'static str, body: Vec<u8>, is_echoed: bool) -> Self {
        let head = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), &body].concat().into();
        let expected = if is_echoed { Expected::Exactly(body.into()) } else { Expected::Something };
        Self { name, guest, request, expected, at_once: None }
    }

    /// The corresponding exercise for a bare server, which can only greet or echo.
    #[must_use]
    pub fn for_bare(&self) -> Self {
        let expected = match self.request.starts_with(b"POST") {
            true => {
                let head = self.request.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
                Expected::Exactly(self.request.slice(head..))
            }
            false => Expected::Exactly(HELLO.into()),
        };
        Self { expected, ..self.clone() }
    }

    /// The same for a handler that is mounted at a path.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let request = String::from_utf8_lossy(&self.request).replacen(" / ", &format!(" {path} "), 1);
        Self { request: request.into(), ..self.clone() }
    }
}

/// The guest that is not a program, but a generated component of a given size.
pub const LARGE: &str = "large";
