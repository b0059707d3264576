//! The trailers of a response: which a handler may send, and which its client gets (rule B13).

use std::mem;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    field::{self, Field},
    head::HeadLimits,
};

/// The trailers that a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None: HTTP/1.0 has none, and clients of HTTP/1.1 have to ask for them.
    Nothing,
    /// Those that the head names in a `Trailer` field: HTTP/1.1 with `TE: trailers`.
    Announced,
    /// Any: HTTP/2.
    Anything,
}

/// The trailers of a response.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// The names that the head announces.
    announced: Vec<HeaderName>,
    /// The fields, from the end of the body until the reader takes them.
    fields: HeaderMap,
    /// Messages about those that are not sent.
    dropped: Vec<String>,
}

impl Trailers {
    /// Announces the names in the value of a `Trailer` field, except those that no trailer may have.
    pub(super) fn announce(&mut self, list: &[u8], limits: HeadLimits) {
        for name in field::elements(list) {
            let bytes: usize = self.announced.iter().map(|name| name.as_str().len()).sum();
            if self.announced.len() == limits.fields || (bytes + name.len()) as u64 > limits.bytes {
                break;
            }
            if let Ok(name) = HeaderName::from_bytes(name)
                && field::may_be_trailer(name.as_str())
                && !self.announced.contains(&name)
            {
                self.announced.push(name);
            }
        }
    }

    /// The value of the `Trailer` field, if there is one.
    pub(super) fn announcement(&self) -> Option<HeaderValue> {
        let names: Vec<&str> = self.announced.iter().map(HeaderName::as_str).collect();
        (!names.is_empty()).then(|| HeaderValue::try_from(names.join(", ")).ok()).flatten()
    }

    /// Checks the trailers that a handler passed, and keeps those that can be sent. Returns whether there are any.
    /// `is_head_held` is whether the head can still announce them.
    pub(super) fn set(&mut self, fields: Vec<Field>, takes: Takes, is_head_held: bool, limits: HeadLimits) -> bool {
        if takes == Takes::Nothing {
            return self.drop_all("the client takes none, as with HTTP/2 or `TE: trailers`");
        }
        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum();
        if fields.len() > limits.fields || bytes as u64 > limits.bytes {
            return self.drop_all(&format!(
                "they are too large: {} fields with {bytes} bytes; the limits are {} fields and {} bytes",
                fields.len(),
                limits.fields,
                limits.bytes
            ));
        }
        let needs_announcement = takes == Takes::Announced && !is_head_held;
        for (name, value) in fields {
            if let Err(why) = self.add(&name, &value, needs_announcement) {
                self.dropped.push(format!("the trailer `{name}` was not sent: {why}"));
            }
        }
        if is_head_held {
            self.announced = self.fields.keys().cloned().collect();
        }
        !self.fields.is_empty()
    }

    fn add(&mut self, name: &str, value: &[u8], needs_announcement: bool) -> Result<(), &'static str> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "its name is not a token")?;
        if !field::may_be_trailer(name.as_str()) {
            return Err("this field has no meaning after the body");
        }
        if needs_announcement && !self.announced.contains(&name) {
            return Err("name it in a `Trailer` field before the body");
        }
        let value = HeaderValue::from_bytes(field::trim(value)).map_err(|_| "its value has a control character")?;
        self.fields.try_append(name, value).map(|_| ()).map_err(|_| "there are too many fields")
    }

    /// Drops all trailers for this reason. Returns false: there are none.
    pub(super) fn drop_all(&mut self, why: &str) -> bool {
        self.dropped.push(format!("the trailers were not sent: {why}"));
        false
    }

    /// Whether trailers wait for the reader.
    pub(super) fn has_any(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Takes the trailers.
    pub(super) fn take(&mut self) -> HeaderMap {
        mem::take(&mut self.fields)
    }

    /// Messages about the trailers that were not sent.
    pub(super) fn dropped(&self) -> &[String] {
        &self.dropped
    }
}
