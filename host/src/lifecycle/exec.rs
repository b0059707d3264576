//! `--exec`: runs a command, and terminates it with all of its descendants.
//!
//! The command stays in the server's process group, so that Ctrl-C reaches both and the command can read from the
//! terminal. The group contains other processes as well, so the descendants of the command are signalled one by one.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
};

use tokio::process::{Child, Command};

use super::process_tree::ProcessTree;
use crate::base::exit::Exit;

/// The environment variable with the server's URL.
const URL: &str = "WASMSERVE_URL";

/// A running command. Dropping it kills the command and its descendants.
pub(super) struct Exec {
    child: Child,
    /// The processes of the command that were signalled.
    signalled: ProcessTree,
}

impl Exec {
    /// Runs the command in the shell, with our stdin, stdout and stderr.
    ///
    /// # Errors
    ///
    /// There is no shell, or the system cannot create another process.
    pub(super) fn spawn(command: &OsStr, url: &str) -> io::Result<Self> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut shell = Command::new(shell);
        shell.arg(flag).arg(command).env(URL, url).stdin(Stdio::inherit());
        Ok(Self { child: shell.spawn()?, signalled: ProcessTree::default() })
    }

    /// Waits until the command and all signalled processes have exited. Cancel safe: it can be dropped and called again.
    pub(super) async fn wait(&mut self) -> Exit {
        let exit = self.exit().await;
        self.signalled.wait().await;
        exit
    }

    /// Waits until the command itself has exited. Cancel safe, as `wait`.
    pub(super) async fn exit(&mut self) -> Exit {
        // Fails only if something else has waited for our child.
        Exit::Command(self.child.wait().await.map_or(1, code))
    }

    /// Terminates the command and its descendants.
    pub(super) fn terminate(&mut self) {
        if let Some(id) = self.child.id() {
            self.signalled.join(ProcessTree::of(id));
            // Without signals, killing is the only way.
            if cfg!(not(unix)) {
                _ = self.child.start_kill();
            }
        }
        self.signalled.terminate();
    }

    /// Kills the command and its descendants.
    pub(super) fn kill(&mut self) {
        if let Some(id) = self.child.id() {
            self.signalled.join(ProcessTree::of(id));
        }
        self.signalled.kill();
        // Fails only if the command has exited.
        _ = self.child.start_kill();
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The exit code that a shell would report.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
