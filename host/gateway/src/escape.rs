//! Octets of strangers as text: for terminals, and for lines that others read.

use std::fmt::{self, Write as _};

/// Octets as text that cannot do anything to a terminal and cannot pass for another line.
///
/// Readable UTF-8 stays; control characters (C0, C1, DEL, the tab excepted), characters that change the direction of text,
/// backslashes and octets that are no UTF-8 become `\x..` or `\u{..}`.
#[must_use]
pub fn escape(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for part in octets.utf8_chunks() {
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
        for octet in part.invalid() {
            _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

/// Octets one by one, so that no two texts look alike: printable ASCII stays, the rest becomes `\r`, `\n`, `\t` or `\x..`,
/// and a backslash two.
#[must_use]
pub fn escape_bytes(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() + octets.len() / 8);
    for octet in octets {
        _ = match octet {
            b'\r' => write!(text, "\\r"),
            b'\n' => write!(text, "\\n"),
            b'\t' => write!(text, "\\t"),
            b'\\' => write!(text, "\\\\"),
            b' '..=b'~' => write!(text, "{}", *octet as char),
            _ => write!(text, "\\x{octet:02x}"),
        };
    }
    text
}

/// The same as [`escape`] for a value between quotes in an access log (rule L4): ASCII only, and no quote of its own.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |octet: &u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\');
        let mut rest = self.0;
        while !rest.is_empty() {
            let (plain, others) = rest.split_at(rest.iter().take_while(|octet| is_plain(octet)).count());
            f.write_str(str::from_utf8(plain).unwrap_or_default())?;
            let Some((octet, others)) = others.split_first() else { break };
            match octet {
                b'"' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                _ => write!(f, "\\x{octet:02X}")?,
            }
            rest = others;
        }
        Ok(())
    }
}
