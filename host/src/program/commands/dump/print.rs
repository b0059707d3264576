//! What was seen, as text.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use tokio::sync::mpsc::Receiver;
use wasmserve_gateway::escape::escape_bytes;

/// How many octets are in a line of numbers.
const ROW: usize = 16;

/// Something to print.
pub(super) enum Seen {
    /// What a client has sent: to stdout.
    Octets {
        /// The connection.
        id: u64,
        /// How many octets came before on that connection.
        at: u64,
        /// All that was read at once.
        octets: Vec<u8>,
    },
    /// What else there is to say: to stderr.
    Note(String),
}

/// Prints until there is nothing more to come.
///
/// # Errors
///
/// Nobody reads what is printed.
pub(super) fn print_all(mut seen: Receiver<Seen>, is_hex: bool) -> io::Result<()> {
    let mut lines = Lines::default();
    while let Some(it) = seen.blocking_recv() {
        let mut stdout = io::stdout().lock();
        match it {
            Seen::Octets { id, at, octets } if is_hex => stdout.write_all(hex(id, at, &octets).as_bytes())?,
            Seen::Octets { id, octets, .. } => stdout.write_all(lines.text(id, &octets).as_bytes())?,
            Seen::Note(note) => {
                stdout.write_all(lines.end().as_bytes())?;
                stdout.flush()?;
                // Whoever does not read the notes may still read the octets.
                _ = writeln!(io::stderr(), "{note}");
            }
        }
        stdout.flush()?;
    }
    io::stdout().write_all(lines.end().as_bytes())
}

/// Octets as lines: one for each that the client sends, whatever pieces it sends them in.
#[derive(Debug, Default)]
struct Lines {
    /// Whose line is not at its end yet.
    open: Option<u64>,
}

impl Lines {
    /// What is to be printed next. A line that another connection has interrupted goes on in a new one: it has no `\n`.
    fn text(&mut self, id: u64, octets: &[u8]) -> String {
        let mut text = String::new();
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            if self.open != Some(id) {
                text.push_str(self.end());
                _ = write!(text, "[{id}] ");
            }
            text.push_str(&escape_bytes(line));
            self.open = Some(id);
            if line.ends_with(b"\n") {
                text.push_str(self.end());
            }
        }
        text
    }

    /// What ends the line that is open, if one is.
    fn end(&mut self) -> &'static str {
        self.open.take().map_or("", |_| "\n")
    }
}

/// Octets as `hexdump -C` shows them. A row is shorter where the client has sent a part only.
fn hex(id: u64, at: u64, octets: &[u8]) -> String {
    let mut text = String::new();
    for (row, octets) in octets.chunks(ROW).enumerate() {
        _ = write!(text, "[{id}] {:08x} ", at + (row * ROW) as u64);
        for column in 0..ROW {
            let gap = if column % 8 == 0 { " " } else { "" };
            _ = match octets.get(column) {
                Some(octet) => write!(text, "{gap}{octet:02x} "),
                None => write!(text, "{gap}   "),
            };
        }
        let shown = |octet: &u8| if matches!(octet, b' '..=b'~') { *octet as char } else { '.' };
        _ = writeln!(text, " |{}|", octets.iter().map(shown).collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_clients_own_whatever_the_pieces() {
        let sent = b"GET / HTTP/1.1\r\nA: \xc3\xa9\\\x1b[2J\r\n\r\nbody";
        let expected = "[1] GET / HTTP/1.1\\r\\n\n[1] A: \\xc3\\xa9\\\\\\x1b[2J\\r\\n\n[1] \\r\\n\n[1] body\n";
        for size in 1..=sent.len() {
            let mut lines = Lines::default();
            let mut text: String = sent.chunks(size).map(|piece| lines.text(1, piece)).collect();
            text.push_str(lines.end());
            assert_eq!(text, expected, "pieces of {size}");
        }
    }

    #[test]
    fn connections_do_not_share_a_line() {
        let mut lines = Lines::default();
        let text: String =
            [(1, "ab"), (2, "x\n"), (1, "c\n"), (2, "y")].map(|(id, sent)| lines.text(id, sent.as_bytes())).concat();
        assert_eq!(text, "[1] ab\n[2] x\\n\n[1] c\\n\n[2] y");
        assert_eq!((lines.end(), lines.end()), ("\n", ""));
    }

    #[test]
    fn numbers_are_as_hexdump_shows_them() {
        let first = "[3] 00000010  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|\n";
        let second = "[3] 00000020  ff 0a                                             |..|\n";
        assert_eq!(hex(3, 16, b"ABCDEFGHIJKLMNOP\xff\n"), [first, second].concat());
    }
}
