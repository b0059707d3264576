//! Escaping of untrusted bytes for terminals, logs and pages.

use std::fmt::{self, Write as _};

/// Escapes bytes so that they cannot control a terminal or forge another line.
///
/// Readable UTF-8 is kept, and backslashes are doubled. Control characters (C0, C1 and DEL, but not tab), characters that
/// change the direction of text, and invalid UTF-8 become `\x..` or `\u{..}`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for char in part.valid().chars() {
            _ = match char {
                '\t' => write!(text, "\t"),
                '\\' => write!(text, "\\\\"),
                '\0'..='\x1f' | '\x7f' => write!(text, "\\x{:02x}", char as u32),
                '\u{80}'..='\u{9f}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}' => write!(text, "\\u{{{:x}}}", char as u32),
                _ => write!(text, "{char}"),
            };
        }
        for byte in part.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Escapes text for HTML. Control characters, which HTML cannot contain, become the same as in the log.
#[must_use]
pub fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\\' => html.push(char),
            char => html.push_str(&escape(char.encode_utf8(&mut [0; 4]).as_bytes())),
        }
    }
    html
}

/// Returns bytes as text, with `\x..` for invalid UTF-8 and everything else as it is: for formats with escapes of their
/// own, such as JSON.
#[must_use]
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        for byte in part.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Escapes bytes unambiguously: printable ASCII is kept, everything else becomes `\r`, `\n`, `\t` or `\x..`, and
/// backslashes are doubled.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for byte in bytes {
        _ = match byte {
            b'\r' => write!(text, "\\r"),
            b'\n' => write!(text, "\\n"),
            b'\t' => write!(text, "\\t"),
            b'\\' => write!(text, "\\\\"),
            b' '..=b'~' => write!(text, "{}", *byte as char),
            _ => write!(text, "\\x{byte:02x}"),
        };
    }
    text
}

/// Like [`escape`], but for a quoted value in an access log (rule L4): ASCII only, and quotes are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let mut rest = self.0;
        while !rest.is_empty() {
            let (plain, others) = rest.split_at(rest.iter().take_while(|byte| is_plain(byte)).count());
            f.write_str(str::from_utf8(plain).unwrap_or_default())?;
            let Some((byte, others)) = others.split_first() else { break };
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02X}")?,
            }
            rest = others;
        }
        Ok(())
    }
}
