//! The report of a request, one item per line, with which `tells_its_request` answers in the words of each kind.

use std::fmt::Write as _;

/// A report.
#[derive(Debug, Default)]
pub struct Report(String);

impl Report {
    /// Adds an item with a name, such as a variable.
    pub fn named(&mut self, kind: &str, name: &str, value: &[u8]) {
        // Writing into a string does not fail.
        _ = writeln!(self.0, "{kind} {name} {}", escape(value));
    }

    /// Adds an item of which there is only one.
    pub fn single(&mut self, kind: &str, value: &[u8]) {
        _ = writeln!(self.0, "{kind} {}", escape(value));
    }

    /// The report as text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Escapes the backslash and everything but printable ASCII, so that different requests have different reports.
fn escape(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}

/// A request of `wasi:http`, of any version.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method: its name, or as the bindings print a known one (`Method::Get`).
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The authority.
    pub authority: String,
    /// Whether the scheme is HTTPS.
    pub is_https: bool,
    /// The fields.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl HttpRequest {
    /// Reports the variables that CGI would have, as far as they can be made of the rest, and the fields.
    pub fn report(&self, report: &mut Report) {
        let mut variables = Variables::default();
        let known = self.method.strip_prefix("Method::").map(str::to_uppercase);
        variables.set("REQUEST_METHOD", known.unwrap_or_else(|| self.method.clone()));
        let mount = self.fields.iter().find(|(name, _)| name == "x-forwarded-prefix");
        let mount = mount.map(|(_, value)| String::from_utf8_lossy(value)).unwrap_or_default();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        variables.set("SCRIPT_NAME", decode(&mount));
        variables.set("PATH_INFO", decode(path));
        variables.set("QUERY_STRING", query);
        for name in ["REQUEST_URI", "RAW_URI"] {
            variables.set(name, format!("{mount}{}", self.target));
        }
        variables.set("HTTP_HOST", &*self.authority);
        for (name, value) in &self.fields {
            variables.field(name, value);
            report.named("header", name, value);
        }
        if self.is_https {
            variables.set("HTTPS", "on");
        }
        for (name, value) in std::env::vars() {
            variables.set(&name, value);
        }
        for (name, value) in &variables.0 {
            report.named("environ", name, value);
        }
    }
}

/// The field that a variable is made of: two have a variable without a prefix.
#[must_use]
pub fn field_of(variable: &str) -> Option<String> {
    let is_content = matches!(variable, "CONTENT_LENGTH" | "CONTENT_TYPE");
    let field = if is_content { Some(variable) } else { variable.strip_prefix("HTTP_") };
    let field = field.filter(|field| is_content || !field.starts_with("CONTENT_"))?;
    Some(field.to_lowercase().replace('_', "-"))
}

/// The variables of a request (RFC 3875 section 4.1).
#[derive(Default)]
struct Variables(Vec<(String, Vec<u8>)>);

impl Variables {
    fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a field. Repeated ones are joined.
    fn field(&mut self, name: &str, value: &[u8]) {
        let name = name.to_uppercase().replace('-', "_");
        let name = match &*name {
            "CONTENT_LENGTH" | "CONTENT_TYPE" => name,
            _ => format!("HTTP_{name}"),
        };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((name, known)) => {
                known.extend_from_slice(if name == "HTTP_COOKIE" { b"; " } else { b", " });
                known.extend_from_slice(value);
            }
            None => self.0.push((name, value.to_vec())),
        }
    }
}

/// Decodes `%XX`.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code {
            Some(code) if *byte == b'%' => {
                decoded.push(code);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}
