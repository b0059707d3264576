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

use crate::base::exit::Exit;

/// The environment variable with the server's URL.
const URL: &str = "WASMSERVE_URL";

/// A running command. Dropping it kills the command.
pub(super) struct Exec {
    child: Child,
    /// The processes of the command that were signalled.
    signalled: process_tree::ProcessTree,
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
        shell.arg(flag).arg(command).env(URL, url).stdin(Stdio::inherit()).kill_on_drop(true);
        Ok(Self { child: shell.spawn()?, signalled: process_tree::ProcessTree::default() })
    }

    /// Waits until the command and all signalled processes have exited. Cancel safe: it can be dropped and called again.
    pub(super) async fn wait(&mut self) -> Exit {
        // Fails only if something else has waited for our child.
        let code = self.child.wait().await.map_or(1, code);
        self.signalled.wait().await;
        Exit::Command(code)
    }

    /// Terminates the command and its descendants.
    pub(super) fn terminate(&mut self) {
        if let Some(id) = self.child.id() {
            self.signalled.join(process_tree::ProcessTree::of(id));
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
            self.signalled.join(process_tree::ProcessTree::of(id));
        }
        self.signalled.kill();
        // Fails only if the command has exited.
        _ = self.child.start_kill();
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

#[cfg(unix)]
mod process_tree {
    use std::{fs, time::Duration};

    use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process};
    use tokio::time::sleep;

    /// A process and its descendants. Only Linux lists descendants; elsewhere it is the process alone.
    #[derive(Default)]
    pub(super) struct ProcessTree(Vec<Pid>);

    impl ProcessTree {
        pub(super) fn of(id: u32) -> Self {
            let mut members: Vec<Pid> = pid(id).into_iter().collect();
            let mut next = 0;
            while let Some(member) = members.get(next) {
                let children = children(*member);
                members.extend(children);
                next += 1;
            }
            Self(members)
        }

        pub(super) fn join(&mut self, others: Self) {
            self.0.extend(others.0);
        }

        pub(super) fn terminate(&self) {
            self.signal(Signal::TERM);
        }

        pub(super) fn kill(&self) {
            self.signal(Signal::KILL);
        }

        /// Waits until all processes have exited, by polling: the system does not report the exit of grandchildren.
        pub(super) async fn wait(&mut self) {
            self.0.retain(is_member);
            while !self.0.is_empty() {
                sleep(Duration::from_millis(10)).await;
                self.0.retain(is_member);
            }
        }

        fn signal(&self, signal: Signal) {
            for member in self.0.iter().filter(|member| is_member(member)) {
                // Fails only if the process has exited.
                _ = kill_process(*member, signal);
            }
        }
    }

    /// Whether the process still exists. Its number may have been reused, but hardly in our process group.
    fn is_member(member: &Pid) -> bool {
        getpgid(Some(*member)).is_ok_and(|group| group == getpgrp())
    }

    fn children(of: Pid) -> Vec<Pid> {
        let id = of.as_raw_nonzero();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|id| pid(id.parse().ok()?)).collect::<Vec<_>>())
            .collect()
    }

    fn pid(id: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(id).ok()?)
    }
}

#[cfg(not(unix))]
mod process_tree {
    /// Empty: this system does not list descendants.
    #[derive(Default)]
    pub(super) struct ProcessTree(());

    impl ProcessTree {
        pub(super) fn of(_: u32) -> Self {
            Self(())
        }

        pub(super) fn join(&mut self, _: Self) {}

        pub(super) fn terminate(&self) {}

        pub(super) fn kill(&self) {}

        pub(super) async fn wait(&mut self) {}
    }
}
