//! `--exec`: the command that a server was started for.
//!
//! It stays in the server's process group, so that Ctrl-C reaches both and the command may read from the terminal. The
//! group cannot be used to end it, then, as others are in it too: whoever descends from the command is asked one by one.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
};

use tokio::process::{Child, Command};

use crate::base::exit::Exit;

/// The variable by which it finds the server.
const URL: &str = "WASMSERVE_URL";

/// A command that runs. It is killed when it is dropped.
pub(super) struct Exec {
    child: Child,
    /// Those that descend from it and were asked to end.
    asked: family::Family,
}

impl Exec {
    /// Has the shell run it. It reads and writes what we do.
    ///
    /// # Errors
    ///
    /// There is no shell, or no room for another process.
    pub(super) fn spawn(command: &OsStr, url: &str) -> io::Result<Self> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut shell = Command::new(shell);
        shell.arg(flag).arg(command).env(URL, url).stdin(Stdio::inherit()).kill_on_drop(true);
        Ok(Self { child: shell.spawn()?, asked: family::Family::default() })
    }

    /// How it ends, as soon as it does, and all that were asked to. May be given up and called again at any time.
    pub(super) async fn wait(&mut self) -> Exit {
        // It fails only if somebody else has waited for our child.
        let code = self.child.wait().await.map_or(1, code);
        self.asked.wait().await;
        Exit::Command(code)
    }

    /// Asks it to end, with all that it has started and not left to itself.
    pub(super) fn terminate(&mut self) {
        if let Some(id) = self.child.id() {
            self.asked.join(family::Family::of(id));
            // Where nothing can be asked for, it has to be done.
            if cfg!(not(unix)) {
                _ = self.child.start_kill();
            }
        }
        self.asked.terminate();
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        if let Some(id) = self.child.id() {
            self.asked.join(family::Family::of(id));
        }
        self.asked.kill();
        // It fails only if it has ended.
        _ = self.child.start_kill();
    }
}

/// The exit code as a shell would tell it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(unix)]
mod family {
    use std::{fs, time::Duration};

    use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process};
    use tokio::time::sleep;

    /// A process and all that descend from it. Only Linux tells who they are; elsewhere it is the process alone.
    #[derive(Default)]
    pub(super) struct Family(Vec<Pid>);

    impl Family {
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

        /// Ready when none is left. They are no children of ours, so that nobody tells us of their ends.
        pub(super) async fn wait(&mut self) {
            self.0.retain(is_one);
            while !self.0.is_empty() {
                sleep(Duration::from_millis(10)).await;
                self.0.retain(is_one);
            }
        }

        fn signal(&self, signal: Signal) {
            for member in self.0.iter().filter(|member| is_one(member)) {
                // It fails only if the process has ended.
                _ = kill_process(*member, signal);
            }
        }
    }

    /// Whether it is still there: its number may be another's by now, but hardly one of our group.
    fn is_one(member: &Pid) -> bool {
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
mod family {
    /// Nobody knows who they are.
    #[derive(Default)]
    pub(super) struct Family;

    impl Family {
        pub(super) fn of(_: u32) -> Self {
            Self
        }

        pub(super) fn join(&mut self, _: Self) {}

        pub(super) fn terminate(&self) {}

        pub(super) fn kill(&self) {}

        pub(super) async fn wait(&mut self) {}
    }
}
