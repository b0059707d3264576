//! Parses files of variables (`--env-file`): lines of `NAME=VALUE`, as `.env` files have them.
//!
//! There is no standard for them. This is what Docker, Node and python-dotenv agree on, without the expansion of other
//! variables, so that a `$` in a secret stays what it is. The crates for these files expand variables.

use std::{fs::File, io::Read as _, iter::Peekable, str::Chars};

use wasmserve_gateway::environ::Variable;

/// How large a file may be, in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// Reads a file of variables. Reads it only once, so it may be a pipe.
///
/// # Errors
///
/// The file cannot be read, or a line is invalid. The message has the line's number, and none of its content.
pub(super) fn read(path: &str) -> Result<Vec<Variable>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err("it is larger than 1 MiB".into());
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })?;
    parse(text)
}

/// Parses a file's text.
///
/// # Errors
///
/// A line is invalid.
fn parse(text: &str) -> Result<Vec<Variable>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { rest: text.chars().peekable(), line: 1 };
    let mut variables = Vec::new();
    while parser.skip_to_variable() {
        let line = parser.line;
        variables.push(parser.variable().map_err(|why| format!("line {line}: {why}"))?);
    }
    Ok(variables)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Parser<'_> {
    /// Skips blank lines and comments. Returns whether anything follows.
    fn skip_to_variable(&mut self) -> bool {
        loop {
            match self.rest.peek() {
                Some('#') => _ = self.rest_of_line(),
                Some(c) if c.is_whitespace() => _ = self.next(),
                next => return next.is_some(),
            }
        }
    }

    fn variable(&mut self) -> Result<Variable, String> {
        const REMEDY: &str = "write NAME=VALUE, with a name that has neither white space nor quotes";

        let mut name = String::new();
        while let Some(next) = self.rest.next_if(|next| !matches!(next, '=' | '\r' | '\n')) {
            name.push(next);
        }
        if self.rest.next_if_eq(&'=').is_none() {
            return Err(REMEDY.into());
        }
        let name = name.trim_end();
        let exported = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        let name = exported.map_or(name, str::trim_start);
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')) {
            return Err(REMEDY.into());
        }
        let value = self.value()?;
        format!("{name}={value}").parse()
    }

    fn value(&mut self) -> Result<String, String> {
        let mut was_blank = false;
        while self.rest.next_if(|next| matches!(next, ' ' | '\t')).is_some() {
            was_blank = true;
        }
        match self.rest.peek() {
            Some('\'') => self.quoted('\''),
            Some('"') => self.quoted('"'),
            Some('#') if was_blank => {
                self.rest_of_line();
                Ok(String::new())
            }
            _ => {
                let line = self.rest_of_line();
                let comment = [" #", "\t#"].iter().filter_map(|mark| line.find(mark)).min();
                Ok(line[..comment.unwrap_or(line.len())].trim_end().to_owned())
            }
        }
    }

    /// A value in quotes, which may have several lines. In single quotes, a backslash is one.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        self.next();
        loop {
            match self.next() {
                None => return Err(format!("the value has no closing {quote}")),
                Some(c) if c == quote => break,
                Some('\\') if quote == '"' => match self.next() {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(c @ ('\\' | '"' | '\'' | '$' | '`')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                    None => {}
                },
                Some(c) => value.push(c),
            }
        }
        let rest = self.rest_of_line();
        let rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err(format!("after the closing {quote}, only a comment may follow"));
        }
        Ok(value)
    }

    /// The next character. The end of a line is one, `\n`, even if the file has `\r\n`.
    fn next(&mut self) -> Option<char> {
        let mut next = self.rest.next()?;
        if next == '\r' && self.rest.next_if_eq(&'\n').is_some() {
            next = '\n';
        }
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    /// The rest of the line.
    fn rest_of_line(&mut self) -> String {
        let mut line = String::new();
        while let Some(next) = self.next()
            && next != '\n'
        {
            line.push(next);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of a text, as `NAME=VALUE` with the value escaped.
    fn variables(text: &str) -> Result<Vec<String>, String> {
        let shown = |variable: &Variable| format!("{}={}", variable.name, variable.value.escape_debug());
        parse(text).map(|variables| variables.iter().map(shown).collect())
    }

    #[test]
    fn a_line_is_a_variable_whatever_surrounds_it() {
        for (text, shown) in [
            ("A=1", "A=1"),
            ("\u{feff}A=1\r\n", "A=1"),
            ("  export A=1\n", "A=1"),
            ("export\tA = 1 \n", "A=1"),
            ("exported=1", "exported=1"),
            ("# a comment\n\n \t\nA=1 # another", "A=1"),
            ("A=", "A="),
            ("A= # a comment", "A="),
            ("A=#1", "A=#1"),
            ("A=1#2\t# a comment", "A=1#2"),
            ("A=b=c==", "A=b=c=="),
            ("A=$HOME ${B} `c` \\n", "A=$HOME ${B} `c` \\\\n"),
            ("A=it's", "A=it\\'s"),
            ("A='$B \\n # \"c\"' # a comment", "A=$B \\\\n # \\\"c\\\""),
            ("A=\"a\\n\\t\\\"\\\\\\$B\\x # c\"#d", "A=a\\n\\t\\\"\\\\$B\\\\x # c"),
            ("A=\"one\r\ntwo\"\r\n", "A=one\\ntwo"),
            ("A=' '", "A= "),
        ] {
            assert_eq!(variables(text), Ok(vec![shown.to_owned()]), "{text:?}");
        }
        assert_eq!(variables("A='\n'\nB=2"), Ok(vec!["A=\\n".into(), "B=2".into()]));
        assert_eq!(variables(" \n# nothing"), Ok(Vec::new()));
    }

    #[test]
    fn an_error_names_the_line_and_no_value() {
        for (text, line) in [
            ("A=1\n\nsecret", 3),
            ("A=1\r\nB C=secret\r\n", 2),
            ("=secret", 1),
            ("A: secret", 1),
            ("A='one\ntwo'\nB='secret", 3),
            ("A=\"secret", 1),
            ("A='secret'secret", 1),
            ("export A\nB=1", 1),
            ("PATH_INFO=secret", 1),
            ("A=\"\0secret\"", 1),
        ] {
            let error = variables(text).expect_err("the text is invalid");
            assert!(error.starts_with(&format!("line {line}: ")) && !error.contains("secret"), "{text:?}: {error}");
        }
    }
}
