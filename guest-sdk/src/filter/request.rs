//! The request that a filter sees, and what it makes of it for the handler.

use std::{borrow::Cow, ops::Deref};

use crate::{Environ, Value, gateway::Fields};

/// The request: the [`Environ`] that the filter got, and changes for the handler behind it.
///
/// The handler sees changes of `HTTP_*`, `CONTENT_TYPE` and `CONTENT_LENGTH` also in the list of header fields. Only the
/// bytes of the head ([`Environ::raw_head`]) stay what the client sent.
pub struct Request {
    environ: Environ,
    /// The variables with new values.
    changed: Vec<String>,
    /// The variables that the handler does not see.
    removed: Vec<String>,
    pub(super) input: Input,
}

/// What the handler gets as the request's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// What the filter gets.
    Same,
    /// What the filter makes of each chunk.
    Changed,
    /// Something else.
    Replaced(Vec<u8>),
}

impl Deref for Request {
    type Target = Environ;

    fn deref(&self) -> &Environ {
        &self.environ
    }
}

impl Request {
    pub(super) fn new(environ: Environ) -> Self {
        Self { environ, changed: Vec::new(), removed: Vec::new(), input: Input::Same }
    }

    /// Sets a variable for the handler: `environ[name] = value` in Python. `HTTP_X_FOO` also replaces the header field
    /// `X-Foo`.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.removed.retain(|other| *other != name);
        if !self.changed.iter().any(|other| *other == name) {
            self.changed.push(name.clone().into_owned());
        }
        self.environ.set(name, value);
    }

    /// Removes a variable, so that the handler does not see it: `del environ[name]` in Python. `HTTP_X_FOO` also removes
    /// the header field `X-Foo`.
    pub fn remove(&mut self, name: &str) {
        self.changed.retain(|other| other != name);
        self.removed.push(name.to_owned());
    }

    /// Has [`Filter::read`](super::Filter::read) change what the handler reads. The handler does not get the length that
    /// the client announced.
    pub fn change_input(&mut self) {
        self.input = Input::Changed;
        self.remove("CONTENT_LENGTH");
    }

    /// Gives the handler another body than the client's, with its length. Use it after the filter has read the body itself,
    /// because otherwise nothing is left for the handler.
    pub fn replace_input(&mut self, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.set("CONTENT_LENGTH", body.len().to_string());
        self.remove("HTTP_TRANSFER_ENCODING");
        self.input = Input::Replaced(body);
    }

    #[cfg(any(test, target_family = "wasm"))]
    /// A variable, as the handler sees it.
    pub(super) fn seen(&self, name: &str) -> Option<Value> {
        if self.removed.iter().any(|other| other == name) { None } else { self.environ.get(name) }
    }

    /// All variables, as the handler sees them.
    pub(super) fn seen_all(&self) -> Fields {
        let all = self.environ.copy_all().into_iter();
        let seen = all.filter(|(name, _)| !self.removed.contains(name));
        seen.map(|(name, value)| (name, value.into_bytes())).collect()
    }

    #[cfg(any(test, target_family = "wasm"))]
    /// The header fields, as the handler sees them.
    pub(super) fn seen_headers(&self) -> Fields {
        let mut fields = self.environ.gateway.headers();
        fields.retain(|(name, _)| {
            let variable = variable_of(name);
            variable.is_none_or(|variable| !self.changed.contains(&variable) && !self.removed.contains(&variable))
        });
        for variable in &self.changed {
            if let (Some(name), Some(value)) = (field_of(variable), self.environ.get(variable)) {
                fields.push((name, value.into_bytes()));
            }
        }
        fields
    }
}

#[cfg(any(test, target_family = "wasm"))]
/// The variable of a header field, if it has one (rule E4 of the gateway).
fn variable_of(field: &str) -> Option<String> {
    if !field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let name = field.to_ascii_uppercase().replace('-', "_");
    Some(match &*name {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => name,
        _ => format!("HTTP_{name}"),
    })
}

#[cfg(any(test, target_family = "wasm"))]
/// The header field of a variable, if it has one: `X-Foo` for `HTTP_X_FOO`.
fn field_of(variable: &str) -> Option<String> {
    let name = match variable {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => variable,
        _ => variable.strip_prefix("HTTP_")?,
    };
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    Some(name.split('_').map(word).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_fields_change_together() {
        let environ = Environ::for_test([
            ("HTTP_ACCEPT", "*/*"),
            ("HTTP_X_OLD", "1"),
            ("HTTP_X_GONE", "1"),
            ("CONTENT_TYPE", "text/plain"),
        ]);
        let mut request = Request::new(environ);
        request.set("HTTP_X_OLD", "2");
        request.set("HTTP_X_NEW_ONE", "3");
        request.set("REMOTE_USER", "alice");
        request.set("CONTENT_TYPE", "text/html");
        request.remove("HTTP_X_GONE");
        let seen = |name: &str| request.seen(name).map(|value| value.as_str().to_owned());
        assert_eq!(
            ["HTTP_X_OLD", "HTTP_X_GONE", "REMOTE_USER"].map(seen),
            [Some("2".into()), None, Some("alice".into())]
        );
        let all = request.seen_all();
        let of_all =
            |name: &str| all.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]).collect::<Vec<_>>();
        assert_eq!(["HTTP_X_OLD", "HTTP_X_GONE", "HTTP_X_NEW_ONE"].map(of_all), [vec![&b"2"[..]], vec![], vec![b"3"]]);
        let fields = request.seen_headers();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, str::from_utf8(value).unwrap())).collect();
        assert_eq!(
            fields,
            [
                ("host", "127.0.0.1:8000"),
                ("accept", "*/*"),
                ("X-Old", "2"),
                ("X-New-One", "3"),
                ("Content-Type", "text/html")
            ]
        );
        request.set("HTTP_X_GONE", "again");
        assert_eq!(request.seen("HTTP_X_GONE"), Some("again".into()));
    }
}
