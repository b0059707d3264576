//! What a handler tells of its request, and whether that is what a case claims.

use std::collections::BTreeSet;

use super::{
    Claim, What,
    octets::{Ends, Octets, shown},
};

/// A name, and a value in octets.
pub type Field = (String, Vec<u8>);

/// A request as its handler sees it. What is `None` is not known.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The whole environ, in order.
    pub environ: Vec<Field>,
    /// The header lines as received.
    pub headers: Vec<Field>,
    /// The head's exact octets.
    pub raw_head: Vec<u8>,
    /// The body, as far as it was read.
    pub body: Option<Vec<u8>>,
    /// The trailer fields.
    pub trailers: Option<Vec<Field>>,
}

impl Told {
    /// Reads what the guest `tells_its_request` answers.
    ///
    /// # Errors
    ///
    /// It is not what that guest would say.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut told = Self { body: Some(Vec::new()), trailers: Some(Vec::new()), ..Self::default() };
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').ok_or_else(|| format!("no such line is expected: {line}"))?;
            let field = || {
                let (name, value) = rest.split_once(' ').ok_or_else(|| format!("a field without a value: {line}"))?;
                Ok::<_, String>((name.to_owned(), Octets::parse_known(value)?))
            };
            match kind {
                "environ" => told.environ.push(field()?),
                "header" => told.headers.push(field()?),
                "raw-head" => told.raw_head = Octets::parse_known(rest)?,
                "body" => told.body = Some(Octets::parse_known(rest)?),
                "trailer" => told.trailers.get_or_insert_default().push(field()?),
                _ => return Err(format!("no such line is expected: {line}")),
            }
        }
        Ok(told)
    }

    /// The value of a variable.
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.environ.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// What is wrong with this environ, whatever the request was (rules E1, E2, E12, E13, E17).
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
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
            if self.get(name).is_none_or(<[u8]>::is_empty) {
                problems.push(format!("E1: {name} is absent or empty"));
            }
        }
        for name in ALWAYS {
            if self.get(name).is_none() {
                problems.push(format!("E2: {name} is absent"));
            }
        }
        for (name, value) in FIXED {
            if self.get(name) != Some(value.as_bytes()) {
                problems.push(format!("E12, E13: {name} is not {value}"));
            }
        }
        let mut names = BTreeSet::new();
        for (name, _) in &self.environ {
            if !names.insert(name) {
                problems.push(format!("E17: {name} is there twice"));
            }
        }
        let block = |name: &str| match name {
            _ if name.starts_with("HTTP_") => Some(1),
            _ if name.starts_with("wsgi.") => Some(2),
            _ if name.starts_with("wasmserve.") => Some(3),
            // Of CGI, or of `--env`, which comes last.
            _ => None,
        };
        let blocks: Vec<u8> = self.environ.iter().filter_map(|(name, _)| block(name)).collect();
        if !blocks.is_sorted() {
            problems.push("E17: HTTP_*, wsgi.* and wasmserve.* are not in this order".into());
        }
        problems
    }

    /// What is wrong with a claim.
    ///
    /// # Errors
    ///
    /// What was expected, and what there is.
    pub(super) fn bears_out(&self, claim: &Claim, ends: &Ends) -> Result<(), String> {
        let value = |name: &str| self.get(name).map_or_else(|| "nothing".to_owned(), shown);
        let is_true = match &claim.what {
            What::Is(name, octets) => self.get(name) == Some(&*octets.at(ends)),
            What::IsThere(name) => self.get(name).is_some(),
            What::IsAbsent(name) => self.get(name).is_none(),
            What::Order(names) => {
                let mut known = self.environ.iter().map(|(name, _)| name);
                names.iter().all(|name| known.any(|known| known == name))
            }
            What::Headers(fields) => self.headers == *fields,
            What::RawHead(octets) => self.raw_head == *octets,
            What::Body(octets) => self.body.as_ref().is_none_or(|body| body == octets),
            What::Trailers(fields) => self.trailers.as_ref().is_none_or(|trailers| trailers == fields),
        };
        if is_true {
            return Ok(());
        }
        Err(match &claim.what {
            What::Is(name, octets) => {
                format!("expected {name} {}, got {}", shown(&octets.at(ends)), value(name))
            }
            What::IsThere(name) => format!("expected {name}, got nothing"),
            What::IsAbsent(name) => format!("expected no {name}, got {}", value(name)),
            What::Order(names) => {
                let known: Vec<&str> = self.environ.iter().map(|(name, _)| &**name).collect();
                format!("expected {} in this order, got {}", names.join(" "), known.join(" "))
            }
            What::Headers(fields) => format!("expected headers {}, got {}", list(fields), list(&self.headers)),
            What::RawHead(octets) => format!("expected raw-head {}, got {}", shown(octets), shown(&self.raw_head)),
            What::Body(octets) => {
                format!("expected body {}, got {}", shown(octets), shown(self.body.as_deref().unwrap_or_default()))
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
