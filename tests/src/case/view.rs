//! The request as a handler sees it, and the check of a case's claims.

use std::collections::BTreeSet;

use crate::kind::Exceptions;

use super::{
    Claim, What,
    template::{Ends, Template, shown},
};

/// A name, and a value in bytes.
pub type Field = (String, Vec<u8>);

/// A request as its handler sees it. `None` means unknown.
#[derive(Clone, Debug, Default)]
pub struct HandlerView {
    /// The whole environ, in order.
    pub environ: Vec<Field>,
    /// The header lines as received.
    pub headers: Vec<Field>,
    /// The exact bytes of the head.
    pub raw_head: Vec<u8>,
    /// The part of the body that was read.
    pub body: Option<Vec<u8>>,
    /// The trailer fields.
    pub trailers: Option<Vec<Field>>,
}

impl HandlerView {
    /// Parses the response of the guest `tells_its_request`.
    ///
    /// # Errors
    ///
    /// It is not in the format of that guest.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut view = Self { body: Some(Vec::new()), trailers: Some(Vec::new()), ..Self::default() };
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').ok_or_else(|| format!("unexpected line: {line}"))?;
            let field = || {
                let (name, value) = rest.split_once(' ').ok_or_else(|| format!("a field without a value: {line}"))?;
                Ok::<_, String>((name.to_owned(), Template::parse_known(value)?))
            };
            match kind {
                "environ" => view.environ.push(field()?),
                "header" => view.headers.push(field()?),
                "raw-head" => view.raw_head = Template::parse_known(rest)?,
                "body" => view.body = Some(Template::parse_known(rest)?),
                "trailer" => view.trailers.get_or_insert_default().push(field()?),
                _ => return Err(format!("unexpected line: {line}")),
            }
        }
        Ok(view)
    }

    /// The value of a variable.
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.environ.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Checks the rules that every environ must follow (E1, E2, E12, E13, E17), as far as its kind has the variables.
    pub(super) fn problems(&self, exceptions: &mut Exceptions, case: &str) -> Vec<String> {
        const NEVER_EMPTY: [&str; 5] =
            ["REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.url_scheme"];
        const ALWAYS: [&str; 3] = ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"];
        const FIXED: [(&str, &str); 5] = [
            ("wsgi.version", "1.0"),
            ("wsgi.multithread", "0"),
            ("wsgi.multiprocess", "1"),
            ("wsgi.run_once", "1"),
            ("wsgi.input_terminated", "1"),
        ];
        let mut problems = Vec::new();
        for name in NEVER_EMPTY {
            if self.get(name).is_none_or(<[u8]>::is_empty) && !exceptions.excuse(name, case) {
                problems.push(format!("E1: {name} is absent or empty"));
            }
        }
        for name in ALWAYS {
            if self.get(name).is_none() && !exceptions.excuse(name, case) {
                problems.push(format!("E2: {name} is absent"));
            }
        }
        for (name, value) in FIXED {
            if self.get(name) != Some(value.as_bytes()) && !exceptions.excuse(name, case) {
                problems.push(format!("E12, E13: {name} is not {value}"));
            }
        }
        let mut names = BTreeSet::new();
        for (name, _) in &self.environ {
            if !names.insert(name) {
                problems.push(format!("E17: {name} occurs twice"));
            }
        }
        let block = |name: &str| match name {
            _ if name.starts_with("HTTP_") => Some(1),
            _ if name.starts_with("wsgi.") => Some(2),
            _ if name.starts_with("wasmserve.") => Some(3),
            // Variables of CGI, or of `--env`, which comes last.
            _ => None,
        };
        let blocks: Vec<u8> = self.environ.iter().filter_map(|(name, _)| block(name)).collect();
        if !blocks.is_sorted() && !exceptions.excuse("order", case) {
            problems.push("E17: HTTP_*, wsgi.* and wasmserve.* must come in this order".into());
        }
        problems
    }

    /// Checks a claim, as far as its kind can say it.
    ///
    /// # Errors
    ///
    /// The expected value and the actual one.
    pub(super) fn check(
        &self,
        claim: &Claim,
        ends: &Ends,
        exceptions: &mut Exceptions,
        case: &str,
    ) -> Result<(), String> {
        let value = |name: &str| self.get(name).map_or_else(|| "nothing".to_owned(), shown);
        let is_true = match &claim.what {
            What::Is(name, template) => self.get(name) == Some(&*template.at(ends)),
            What::IsThere(name) => self.get(name).is_some(),
            What::IsAbsent(name) => self.get(name).is_none(),
            What::Order(names) => {
                let mut known = self.environ.iter().map(|(name, _)| name);
                names.iter().all(|name| known.any(|known| known == name))
            }
            What::Headers(fields) => self.headers == *fields,
            What::RawHead(bytes) => self.raw_head == *bytes,
            What::Body(bytes) => self.body.as_ref().is_none_or(|body| body == bytes),
            What::Trailers(fields) => self.trailers.as_ref().is_none_or(|trailers| trailers == fields),
        };
        if is_true || exceptions.excuse(claim.what.name(), case) {
            return Ok(());
        }
        Err(match &claim.what {
            What::Is(name, template) => {
                format!("expected {name} {}, got {}", shown(&template.at(ends)), value(name))
            }
            What::IsThere(name) => format!("expected {name}, got nothing"),
            What::IsAbsent(name) => format!("expected no {name}, got {}", value(name)),
            What::Order(names) => {
                let known: Vec<&str> = self.environ.iter().map(|(name, _)| &**name).collect();
                format!("expected {} in this order, got {}", names.join(" "), known.join(" "))
            }
            What::Headers(fields) => format!("expected headers {}, got {}", list(fields), list(&self.headers)),
            What::RawHead(bytes) => format!("expected raw-head {}, got {}", shown(bytes), shown(&self.raw_head)),
            What::Body(bytes) => {
                format!("expected body {}, got {}", shown(bytes), shown(self.body.as_deref().unwrap_or_default()))
            }
            What::Trailers(fields) => {
                let trailers = self.trailers.as_deref().unwrap_or_default();
                format!("expected trailers {}, got {}", list(fields), list(trailers))
            }
        })
    }
}

fn list(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
    format!("[{}]", fields.join(", "))
}
