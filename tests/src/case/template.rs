//! Bytes as they are written in a case file: printable ASCII, with escapes for everything else.

/// Bytes, some of which are only known once there is a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Known(Vec<u8>),
    Of(Fact),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    ServerPort,
    ClientPort,
    Server,
}

/// What a file cannot know: both ends of the connection, and the server's name.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The port of the server, `\{server-port}`.
    pub server_port: u16,
    /// The port of the client, `\{client-port}`.
    pub client_port: u16,
    /// The `Server` field of the response, `\{server}`.
    pub server: String,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// A description of what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut known = Vec::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            rest = &rest[char.len_utf8()..];
            if char != '\\' {
                if !matches!(char, ' '..='~') {
                    return Err(format!("{char:?} must be escaped as \\xNN"));
                }
                known.push(char as u8);
            } else if let Some(braced) = rest.strip_prefix('{') {
                let (inside, after) = braced.split_once('}').ok_or("a `\\{` without a `}`")?;
                rest = after;
                let fact = match inside {
                    "server-port" => Fact::ServerPort,
                    "client-port" => Fact::ClientPort,
                    "server" => Fact::Server,
                    _ => {
                        known.extend(repeated(inside)?);
                        continue;
                    }
                };
                pieces.extend([Piece::Known(std::mem::take(&mut known)), Piece::Of(fact)]);
            } else {
                let (byte, after) = escaped(rest)?;
                known.push(byte);
                rest = after;
            }
        }
        pieces.push(Piece::Known(known));
        Ok(Self(pieces))
    }

    /// Parses bytes that do not depend on a connection.
    ///
    /// # Errors
    ///
    /// A description of what is wrong with the text.
    pub fn parse_known(text: &str) -> Result<Vec<u8>, String> {
        match Self::parse(text)?.0.as_mut_slice() {
            [Piece::Known(known)] => Ok(std::mem::take(known)),
            _ => Err("only a claim may refer to the connection".into()),
        }
    }

    /// The bytes for a connection.
    #[must_use]
    pub fn at(&self, ends: &Ends) -> Vec<u8> {
        let piece = |piece: &Piece| match piece {
            Piece::Known(known) => known.clone(),
            Piece::Of(Fact::ServerPort) => ends.server_port.to_string().into(),
            Piece::Of(Fact::ClientPort) => ends.client_port.to_string().into(),
            Piece::Of(Fact::Server) => ends.server.clone().into(),
        };
        self.0.iter().flat_map(piece).collect()
    }
}

/// `8192 a`: a count, a space, and what to repeat.
fn repeated(inside: &str) -> Result<Vec<u8>, String> {
    let problem = || format!("`\\{{{inside}}}` is neither a name nor a count, a space and bytes");
    let (count, what) = inside.split_once(' ').ok_or_else(problem)?;
    let count = count.parse().map_err(|_| problem())?;
    Ok(Template::parse_known(what)?.repeat(count))
}

/// Parses what follows a backslash: the byte that it stands for, and the rest.
fn escaped(text: &str) -> Result<(u8, &str), String> {
    let problem = || format!("`\\{}` is not an escape", text.chars().take(3).collect::<String>());
    let simple = |byte| Ok((byte, &text[1..]));
    match text.as_bytes() {
        [b'r', ..] => simple(b'\r'),
        [b'n', ..] => simple(b'\n'),
        [b't', ..] => simple(b'\t'),
        [b'0', ..] => simple(0),
        [b'\\', ..] => simple(b'\\'),
        [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Ok((u8::from_str_radix(&text[1..3], 16).map_err(|_| problem())?, &text[3..]))
        }
        _ => Err(problem()),
    }
}

/// Formats bytes as they would be written in a case file.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    /// Longer output does not help.
    const MAX: usize = 400;
    let escape = |byte: &u8| match byte {
        b'\\' => "\\\\".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    let text: String = bytes.iter().take(MAX).map(escape).collect();
    let more = bytes.len().saturating_sub(MAX);
    if more > 0 { format!("`{text}` and {more} more bytes") } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        let cases: [(&str, &[u8]); 6] = [
            ("", b""),
            ("a b", b"a b"),
            (r"\r\n\t\0\\", b"\r\n\t\0\\"),
            (r"caf\xc3\xA9\x00", b"caf\xc3\xa9\0"),
            (r"/\{3 a}b", b"/aaab"),
            (r"\{2 A: \x7d\r\n}", b"A: }\r\nA: }\r\n"),
        ];
        for (text, bytes) in cases {
            assert_eq!(Template::parse_known(text).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn facts_are_filled_in_once_a_connection_is_known() {
        let ends = Ends { server_port: 80, client_port: 5000, server: "me/1".into() };
        let template = Template::parse(r"\{server-port} \{client-port}\{server}!").expect("it is well-formed");
        assert_eq!(template.at(&ends), b"80 5000me/1!");
        assert!(Template::parse_known(r"\{server-port}").is_err());
    }

    #[test]
    fn invalid_escapes_are_rejected() {
        for text in
            ["\\", "\\q", "\\x4", "\\xzz", "\\x\u{e9}", "\\{3 a", "\\{a}", "\\{}", "\\{-1 a}", "caf\u{e9}", "\t"]
        {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_are_shown_as_they_would_be_written() {
        assert_eq!(shown(b"a\\\r\n\xff"), r"`a\\\r\n\xff`");
        assert!(shown(&[b'a'; 500]).ends_with("` and 100 more bytes"));
    }
}
