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

/// The variables of a request (RFC 3875 section 4.1) for kinds that have none, as far as they can be made of the rest.
#[derive(Debug, Default)]
pub struct Variables(Vec<(String, Vec<u8>)>);

impl Variables {
    /// Adds a variable.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a field. Repeated ones are joined.
    pub fn field(&mut self, name: &str, value: &[u8]) {
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

    /// Sets the path and the query of a target. `mount` is the path at which the handler is mounted.
    pub fn target(&mut self, target: &str, mount: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.set("SCRIPT_NAME", decode(mount));
        self.set("PATH_INFO", decode(path));
        self.set("QUERY_STRING", query);
        for name in ["REQUEST_URI", "RAW_URI"] {
            self.set(name, format!("{mount}{target}"));
        }
    }

    /// Adds all to a report.
    pub fn report(&self, report: &mut Report) {
        for (name, value) in &self.0 {
            report.named("environ", name, value);
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
