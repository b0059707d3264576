//! Prints what `wasmserve dump` received, as escaped text or as hexadecimal numbers.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use tokio::sync::mpsc::Receiver;
use wasmserve_gateway::escape::{escape, escape_bytes};

use crate::program::task::Layout;

/// How many bytes are in a row of numbers.
const ROW: usize = 16;

/// An item to print.
pub(super) enum Seen {
    /// Bytes from a client, for stdout.
    Bytes {
        /// The number of the connection.
        id: u64,
        /// The offset of the bytes in the connection.
        at: u64,
        /// The bytes of one read.
        bytes: Vec<u8>,
    },
    /// Requests laid out for people, for stdout: whole lines, escaped already.
    Lines {
        /// The number of the connection.
        id: u64,
        /// The lines.
        lines: String,
    },
    /// A note, for stderr: one line.
    Note(String),
}

/// Prints all items until the channel is closed. Blocks.
///
/// # Errors
///
/// Stdout is closed.
pub(super) fn print_all(mut seen: Receiver<Seen>, layout: Layout) -> io::Result<()> {
    let mut lines = Lines::default();
    while let Some(it) = seen.blocking_recv() {
        let mut stdout = io::stdout().lock();
        match it {
            Seen::Bytes { id, at, bytes } if layout == Layout::Hex => {
                stdout.write_all(hex(id, at, &bytes).as_bytes())?
            }
            Seen::Bytes { id, bytes, .. } => stdout.write_all(lines.text(id, &bytes).as_bytes())?,
            Seen::Lines { id, lines } => {
                let lines: String =
                    lines.lines().map(|line| format!("[{id}] {line}").trim_end().to_owned() + "\n").collect();
                stdout.write_all(lines.as_bytes())?;
            }
            Seen::Note(note) => {
                stdout.write_all(lines.end().as_bytes())?;
                stdout.flush()?;
                // Stdout may still be read even if stderr is closed.
                _ = writeln!(io::stderr(), "{}", escape(note.as_bytes()));
            }
        }
        stdout.flush()?;
    }
    io::stdout().write_all(lines.end().as_bytes())
}

/// Splits bytes into the lines that the client sent, whatever pieces they arrived in.
#[derive(Debug, Default)]
struct Lines {
    /// The connection whose line has not ended yet.
    open: Option<u64>,
}

impl Lines {
    /// The text to print next. A line that another connection interrupts continues on a new line; the first part has no
    /// `\n`.
    fn text(&mut self, id: u64, bytes: &[u8]) -> String {
        let mut text = String::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
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

    /// The newline that ends an open line, if there is one.
    fn end(&mut self) -> &'static str {
        self.open.take().map_or("", |_| "\n")
    }
}

/// Bytes as `hexdump -C` prints them, with the number of their connection.
fn hex(id: u64, at: u64, bytes: &[u8]) -> String {
    hex_rows(at, bytes).lines().map(|row| format!("[{id}] {row}\n")).collect()
}

/// Bytes as `hexdump -C` prints them. A row is shorter if fewer bytes arrived.
pub(super) fn hex_rows(at: u64, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, bytes) in bytes.chunks(ROW).enumerate() {
        _ = write!(text, "{:08x} ", at + (row * ROW) as u64);
        for column in 0..ROW {
            let gap = if column % 8 == 0 { " " } else { "" };
            _ = match bytes.get(column) {
                Some(byte) => write!(text, "{gap}{byte:02x} "),
                None => write!(text, "{gap}   "),
            };
        }
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { *byte as char } else { '.' };
        _ = writeln!(text, " |{}|", bytes.iter().map(shown).collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_depend_on_the_pieces_they_arrive_in() {
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
    fn numbers_are_formatted_like_hexdump() {
        let first = "[3] 00000010  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|\n";
        let second = "[3] 00000020  ff 0a                                             |..|\n";
        assert_eq!(hex(3, 16, b"ABCDEFGHIJKLMNOP\xff\n"), [first, second].concat());
    }
}
