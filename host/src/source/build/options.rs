//! The options for building a handler from source.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
};

use wasmserve_gateway::escape::escape;

use crate::event::{Event, Events};

/// The options for building a handler from source.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    /// Whether the component has line tables, so that stacks show files and lines. Makes it many times larger.
    pub lines: bool,
    /// Where the messages of the compiler go.
    pub messages: Messages,
}

/// Where the messages of cargo, rustc, rustup and Python's installers go, line by line.
#[derive(Clone)]
pub(crate) enum Messages {
    /// To stderr, as they are.
    Stderr {
        /// Whether they may have colours.
        color: bool,
    },
    /// To the log, as [`Event::Build`].
    Log(Arc<Events>),
}

impl Messages {
    /// Whether messages may have colours.
    pub(super) fn has_colors(&self) -> bool {
        matches!(self, Self::Stderr { color: true })
    }

    /// Writes one line, which has no line end.
    pub(super) fn line(&self, line: &[u8]) {
        match self {
            // The build goes on even if stderr is closed.
            Self::Stderr { .. } => _ = io::stderr().write_all(&[line, b"\n"].concat()),
            Self::Log(events) => events.emit(&Event::Build { line }),
        }
    }

    /// Writes a text of several lines, which may come from the author of an app.
    pub(crate) fn text(&self, text: &str) {
        text.lines().for_each(|line| self.line(printable(line).as_bytes()));
    }

    /// Writes a message of our own.
    pub(crate) fn report(&self, text: &str) {
        self.line(format!("wasmserve: {}", printable(text)).as_bytes());
    }
}

/// A line that cannot control the terminal. Backslashes stay as they are: the text is for people.
fn printable(line: &str) -> String {
    escape(line.as_bytes()).replace("\\\\", "\\")
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Log(_)) { "Log" } else { "Stderr" })
    }
}
