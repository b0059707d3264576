//! A terminal with a shell in it, and what a person sees there.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    num::NonZeroU16,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use crate::{TIMEOUT, guest, place};

const ROWS: NonZeroU16 = NonZeroU16::new(60).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).unwrap();

/// A terminal with an interactive shell. `$HANDLER` is a guest, and `wasmserve` is in the path.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    bytes: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Terminal {
    /// Opens a terminal, and waits for the shell's prompt.
    ///
    /// # Panics
    ///
    /// There is no bash, or no `script` of util-linux.
    #[must_use]
    pub fn open(program: &str, variables: &[(&str, &str)]) -> Self {
        let shell = format!(
            "stty rows {ROWS} cols {COLUMNS}; exec env HISTFILE=/dev/null bash --norc --noprofile --noediting -i"
        );
        let directory = Path::new(guest::server()).parent().expect("the server is in a directory");
        let mut command = Command::new("script");
        command.args(["-qfec", &shell, "/dev/null"]).envs(place::environment());
        for name in ["NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.env("HANDLER", guest::program(program)).env("WASMSERVE", directory.join("wasmserve"));
        command.envs([("PS1", "$ "), ("TERM", "xterm-256color"), ("SHELL", "/bin/sh")]).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` is installed");
        let keyboard = child.stdin.take().expect("stdin is piped");
        let mut output = child.stdout.take().expect("stdout is piped");
        let shown = Arc::<Shown>::default();
        thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = output.read(&mut buffer) {
                    shown.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
                    shown.changed.notify_all();
                }
            }
        });
        let terminal = Self { child, keyboard, shown };
        terminal.wait(|screen| screen.trim_end() == "$");
        terminal
    }

    /// Types keys.
    ///
    /// # Panics
    ///
    /// The terminal has gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
        self.keyboard.flush().expect("the terminal is open");
    }

    /// Types a command that starts the server, waits until it listens, and returns its address.
    ///
    /// # Panics
    ///
    /// It does not start to listen.
    pub fn serve(&mut self, command: &str) -> SocketAddr {
        self.press(&format!("{command}\n"));
        let addr = |screen: &str| {
            let (_, rest) = screen.rsplit_once("listening on http://")?;
            let (addr, _) = rest.split_once('\n')?;
            addr.trim().parse::<SocketAddr>().ok()
        };
        addr(&self.wait(|screen| addr(screen).is_some())).expect("the line ends in an address")
    }

    /// Waits until the screen is as expected, and returns it.
    ///
    /// # Panics
    ///
    /// That takes too long.
    pub fn wait(&self, is_it: impl Fn(&str) -> bool) -> String {
        let bytes = self.shown.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |bytes: &mut Vec<u8>| !is_it(&contents(bytes));
        let (bytes, waited) =
            self.shown.changed.wait_timeout_while(bytes, TIMEOUT, waits).unwrap_or_else(PoisonError::into_inner);
        let contents = contents(&bytes);
        assert!(!waited.timed_out(), "the screen is not as expected:\n{contents}");
        contents
    }

    /// All bytes that were written to the terminal.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The colour of a text, and whether it is bold, where it is on the screen for the first time.
    #[must_use]
    pub fn style(&self, text: &str) -> Option<(vt100::Color, bool)> {
        let screen = screen(&self.bytes());
        let rows: Vec<String> = screen.rows(0, COLUMNS.get()).collect();
        let (row, column) = rows.iter().enumerate().find_map(|(row, line)| Some((row, line.find(text)?)))?;
        let cell = screen.cell(u16::try_from(row).ok()?, u16::try_from(column).ok()?)?;
        Some((cell.fgcolor(), cell.bold()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal closes, so that everything in it gets SIGHUP.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The text on the screen. Its last line has a line end only if it is complete.
fn contents(bytes: &[u8]) -> String {
    let screen = screen(bytes);
    let mut contents = screen.contents();
    if screen.cursor_position().1 == 0 {
        contents.push('\n');
    }
    contents
}

fn screen(bytes: &[u8]) -> vt100::Screen {
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    parser.process(bytes);
    parser.screen().clone()
}
