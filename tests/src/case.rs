//! Cases: what a client sends, and what must result from it, one per file.
//!
//! `tests/requests/README.md` has the format.

pub mod check;

pub mod template;

pub mod view;

use std::{fs, path::Path, sync::LazyLock};

use self::{template::Template, view::Field};

/// All cases of `tests/requests`.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("requests");
    Case::all(&directory).unwrap_or_else(|problems| panic!("{problems}"))
});

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name without its extension: a claim that starts with its rule.
    pub name: String,
    /// The rules that it covers, such as `T3`. The first one is the one in its name.
    pub rules: Vec<String>,
    /// The server's flags.
    pub flags: Vec<String>,
    steps: Vec<Step>,
    /// Whether the server must close the connection after the last response. Otherwise it must accept another request.
    closes: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// The client closes its side.
    End,
    Receive(Answer),
}

/// A response, and claims about the request that it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    line: usize,
    /// The status code.
    pub status: u16,
    /// Whether a handler has seen the request. Otherwise the server has answered it itself.
    pub is_handled: bool,
    fields: Vec<(usize, String, String)>,
    claims: Vec<Claim>,
}

#[derive(Clone, Debug)]
struct Claim {
    line: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Is(String, Template),
    IsThere(String),
    IsAbsent(String),
    Order(Vec<String>),
    /// All header lines.
    Headers(Vec<Field>),
    RawHead(Vec<u8>),
    Body(Vec<u8>),
    /// All trailers.
    Trailers(Vec<Field>),
}

impl What {
    /// What the claim is about: a variable, or a part of the request.
    fn name(&self) -> &str {
        match self {
            Self::Is(name, _) | Self::IsThere(name) | Self::IsAbsent(name) => name,
            Self::Order(_) => "order",
            Self::Headers(_) => "header",
            Self::RawHead(_) => "raw-head",
            Self::Body(_) => "body",
            Self::Trailers(_) => "trailer",
        }
    }
}

impl Case {
    /// Reads all cases in a directory, ordered by name.
    ///
    /// # Errors
    ///
    /// One line for each case that cannot be read: file, line and problem.
    pub fn all(directory: &Path) -> Result<Vec<Self>, String> {
        let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut paths: Vec<_> = paths.filter(|path| !path.ends_with("README.md")).collect();
        paths.sort();
        let (mut cases, mut problems) = (Vec::new(), Vec::new());
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(name) = name.strip_suffix(".case") else {
                problems.push(format!("{name}: the name of a case must end in `.case`"));
                continue;
            };
            let text = fs::read_to_string(&path).map_err(|error| format!("{name}.case: {error}"));
            match text.and_then(|text| Self::parse(name, &text)) {
                Ok(case) => cases.push(case),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(cases) } else { Err(problems.join("\n")) }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// File, line and problem.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut case =
            Self { name: name.to_owned(), rules: Vec::new(), flags: Vec::new(), steps: Vec::new(), closes: false };
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            case.line(number, line).map_err(|problem| format!("{name}.case:{number}: {problem}"))?;
            last = number;
        }
        case.finish().map_err(|problem| format!("{name}.case:{last}: {problem}"))?;
        Ok(case)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.ends_with([' ', '\t']) {
            return Err("white space at the end of a line is invisible; write it as \\x20".into());
        }
        if number == 1 {
            self.rules = rules(line)?;
            return Ok(());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "$" => self.flags.extend(rest.split_whitespace().map(str::to_owned)),
            ">" => self.send(Template::parse_known(rest)?)?,
            "end" => self.steps.push(Step::End),
            "<" if rest == "closed" => self.closes = true,
            "<" if rest.contains(": ") => {
                let (name, value) = rest.split_once(": ").unwrap_or_default();
                self.answer()?.fields.push((number, name.to_owned(), value.to_owned()));
            }
            "<" => self.await_status(number, rest)?,
            _ => {
                let what = self.claim(word, rest)?;
                if let Some(what) = what {
                    self.answer()?.claims.push(Claim { line: number, what });
                }
            }
        }
        Ok(())
    }

    /// Consecutive `>` lines are sent as one piece.
    fn send(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match self.steps.last_mut() {
            Some(Step::Send(before)) => before.extend(bytes),
            Some(Step::End) => return Err("the client has closed its side".into()),
            _ => self.steps.push(Step::Send(bytes)),
        }
        Ok(())
    }

    /// `200`, `200 by-host`, `400`, `400 by-handler`.
    fn await_status(&mut self, line: usize, rest: &str) -> Result<(), String> {
        if let Some(before) = self.answers().last()
            && before.status >= 400
        {
            return Err(format!("the connection is closed after a {}", before.status));
        }
        let (status, by) = rest.split_once(' ').unwrap_or((rest, ""));
        let status: u16 = status.parse().map_err(|_| format!("`{rest}` is neither a status nor a field"))?;
        let is_handled = match by {
            "" => (200..400).contains(&status),
            "by-handler" => true,
            "by-host" => false,
            _ => return Err(format!("`{by}` is neither `by-handler` nor `by-host`")),
        };
        self.steps.push(Step::Receive(Answer { line, status, is_handled, fields: Vec::new(), claims: Vec::new() }));
        self.closes |= status >= 400;
        Ok(())
    }

    /// Parses a claim about the request of the current response. Returns `None` if the line continues the previous
    /// claim.
    fn claim(&mut self, word: &str, rest: &str) -> Result<Option<What>, String> {
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        if rest.is_empty() && word != "body" {
            return Err(format!("`{word}` needs a name"));
        }
        let field = || Ok::<_, String>((name.to_owned(), Template::parse_known(value)?));
        let one = |what: fn(String) -> What| {
            if value.is_empty() { Ok(Some(what(name.to_owned()))) } else { Err("expected a single name".to_owned()) }
        };
        let before = self.answer()?.claims.last_mut().map(|claim| &mut claim.what);
        match (word, before) {
            ("=", _) => Ok(Some(What::Is(name.to_owned(), Template::parse(value)?))),
            ("?", _) => one(What::IsThere),
            ("!", _) => one(What::IsAbsent),
            ("order", _) => Ok(Some(What::Order(rest.split(' ').map(str::to_owned).collect()))),
            ("header", Some(What::Headers(fields))) | ("trailer", Some(What::Trailers(fields))) => {
                fields.push(field()?);
                Ok(None)
            }
            ("header", _) => Ok(Some(What::Headers(vec![field()?]))),
            ("trailer", _) => Ok(Some(What::Trailers(vec![field()?]))),
            ("raw-head", Some(What::RawHead(bytes))) => {
                bytes.extend(Template::parse_known(rest)?);
                Ok(None)
            }
            ("raw-head", _) => Ok(Some(What::RawHead(Template::parse_known(rest)?))),
            ("body", _) => Ok(Some(What::Body(Template::parse_known(rest)?))),
            _ => Err(format!("a line cannot begin with `{word}`")),
        }
    }

    /// The response that the following claims are about.
    fn answer(&mut self) -> Result<&mut Answer, String> {
        match self.steps.last_mut() {
            Some(Step::Receive(answer)) => Ok(answer),
            _ => Err("a claim must follow a `<` line with a status".into()),
        }
    }

    fn finish(&self) -> Result<(), String> {
        let rule = self.rules.first().ok_or("the file is empty")?;
        if !self.name.starts_with(&format!("{}_", rule.to_lowercase())) {
            return Err(format!("the name must start with the first rule, `{}_`", rule.to_lowercase()));
        }
        if !matches!(self.steps.first(), Some(Step::Send(_))) {
            return Err("nothing is sent before the first response".into());
        }
        for answer in self.answers() {
            let is_reported = answer.is_handled && answer.status == 200;
            if !is_reported && !answer.claims.is_empty() {
                return Err(format!("a {} reports nothing about its request", answer.status));
            }
        }
        match self.answers().last() {
            None => Err("no response is expected".into()),
            Some(last) if last.status < 200 => Err("a final response is missing".into()),
            Some(_) => Ok(()),
        }
    }

    /// The responses, in order.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.steps.iter().filter_map(|step| if let Step::Receive(answer) = step { Some(answer) } else { None })
    }

    /// Whether only a handler answers, and no flag changes what it gets. The other cases are about the server, as are those
    /// about connections (rules K).
    #[must_use]
    pub fn is_about_handlers(&self) -> bool {
        let is_about_connections = self.rules.first().is_some_and(|rule| rule.starts_with('K'));
        let is_handled = |answer: &Answer| answer.is_handled && answer.status == 200;
        self.flags.is_empty() && !is_about_connections && self.answers().all(is_handled)
    }

    /// The bytes that are sent before the client waits for a response.
    #[must_use]
    pub fn sent_first(&self) -> &[u8] {
        match self.steps.first() {
            Some(Step::Send(bytes)) => bytes,
            _ => &[],
        }
    }
}

impl Answer {
    /// The body that the handler has read, if the file claims one.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.claims.iter().find_map(|claim| if let What::Body(bytes) = &claim.what { Some(&**bytes) } else { None })
    }
}

/// `# T3, E11: why`
fn rules(line: &str) -> Result<Vec<String>, String> {
    let problem = || "the first line must name the rules and the reason: `# T3, E11: ..`".to_owned();
    let (rules, why) = line.strip_prefix("# ").and_then(|line| line.split_once(": ")).ok_or_else(problem)?;
    let is_rule = |rule: &str| {
        let number = rule.strip_prefix(|char: char| char.is_ascii_uppercase());
        number.is_some_and(|number| number.parse::<u8>().is_ok())
    };
    let rules: Vec<String> = rules.split(", ").map(str::to_owned).collect();
    if rules.iter().all(|rule| is_rule(rule)) && !why.is_empty() { Ok(rules) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "# T3, E11: why\n> GET /a HTTP/1.1\\r\\n\n> \\r\\n\n";

    fn parse(lines: &str) -> Result<Case, String> {
        Case::parse("t3_it_is_so", &format!("{GET}{lines}"))
    }

    #[test]
    fn a_case_file_describes_a_conversation() {
        let case = parse(
            "< 100\n> more\nend\n< 200\n< Connection: close\n= A x\\x20\n= B\n! C\n? D\norder A B\nheader a 1\nheader b \
             2\nbody\n< closed\n",
        )
        .expect("it is well-formed");
        assert_eq!(case.rules, ["T3", "E11"]);
        assert_eq!(case.sent_first(), b"GET /a HTTP/1.1\r\n\r\n");
        assert!(case.closes);
        let answers: Vec<_> =
            case.answers().map(|it| (it.status, it.is_handled, it.fields.len(), it.claims.len())).collect();
        assert_eq!(answers, [(100, false, 0, 0), (200, true, 1, 7)]);
        let steps: Vec<_> = case
            .steps
            .iter()
            .map(|step| match step {
                Step::Send(bytes) => bytes.len(),
                Step::End => 1000,
                Step::Receive(answer) => answer.status.into(),
            })
            .collect();
        assert_eq!(steps, [19, 100, 4, 1000, 200]);
    }

    #[test]
    fn a_refusal_comes_from_the_host_and_closes_the_connection() {
        let case = parse("< 400\n").expect("it is well-formed");
        assert!(case.closes && case.answers().all(|answer| !answer.is_handled));
        let case = parse("< 400 by-handler\n").expect("it is well-formed");
        assert!(case.closes && case.answers().all(|answer| answer.is_handled));
        assert!(!parse("< 200 by-host\n").expect("it is well-formed").closes);
    }

    #[test]
    fn problems_are_reported_with_file_and_line() {
        let cases = [
            ("< 200\n= A x \n", "5: white space at the end"),
            ("< 200\n= A \\q\n", "5: `\\q` is not an escape"),
            ("= A x\n", "4: a claim must follow"),
            ("< 200\n\nis A x\n", "6: a line cannot begin with `is`"),
            ("< 200\n!\n", "5: `!` needs a name"),
            ("< 200\n! A x\n", "5: expected a single name"),
            ("< OK\n", "4: `OK` is neither a status nor a field"),
            ("< 200 by-me\n", "4: `by-me` is neither"),
            ("< 400\n< 200\n", "5: the connection is closed after a 400"),
            ("< 400\n= A x\n", "5: a 400 reports nothing about its request"),
            ("< 100\n", "4: a final response is missing"),
            ("end\n> x\n", "5: the client has closed its side"),
            ("", "3: no response is expected"),
        ];
        for (lines, problem) in cases {
            let got = parse(lines).expect_err(lines);
            assert!(got.starts_with(&format!("t3_it_is_so.case:{problem}")), "{lines:?}: {got}");
        }
        let named = |name, first: &str| Case::parse(name, &format!("{first}\n> x\n< 200\n"));
        assert!(named("t4_other", "# T3: why").is_err_and(|it| it.contains("must start with the first rule, `t3_`")));
        for first in ["", "# why", "# T: why", "T3: why", "# T3:", "# T3 E1: why"] {
            assert!(named("t3_it", first).is_err_and(|it| it.starts_with("t3_it.case:1: the first line")), "{first:?}");
        }
        assert!(Case::parse("t3_it", "").is_err_and(|it| it == "t3_it.case:0: the file is empty"));
    }
}
