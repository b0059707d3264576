//! A process and its descendants, for ending them together.

#[cfg(unix)]
pub(crate) use self::unix::ProcessTree;
#[cfg(not(unix))]
pub(crate) use self::unknown::ProcessTree;

#[cfg(unix)]
mod unix {
    use std::{fs, time::Duration};

    use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, kill_process};
    use tokio::time::sleep;

    /// A process and its descendants. Only Linux lists descendants; elsewhere it is the process alone.
    ///
    /// A process may start another one just before a signal ends it. From the first tree on, such orphans become children
    /// of this process, and belong to the next tree [`below_us`](Self::below_us).
    #[derive(Default)]
    pub(crate) struct ProcessTree(Vec<Pid>);

    impl ProcessTree {
        /// This process and its descendants.
        pub(crate) fn of(id: u32) -> Self {
            Self::with_descendants(pid(id).into_iter().collect())
        }

        /// What this process has started: its children and their descendants.
        pub(crate) fn below_us() -> Self {
            Self::with_descendants(children(getpid()))
        }

        fn with_descendants(mut members: Vec<Pid>) -> Self {
            // Fails only in a system without it.
            #[cfg(target_os = "linux")]
            {
                _ = rustix::process::set_child_subreaper(Some(getpid()));
            }
            let mut next = 0;
            while let Some(member) = members.get(next) {
                let children = children(*member);
                members.extend(children);
                next += 1;
            }
            Self(members)
        }

        pub(crate) fn join(&mut self, others: Self) {
            self.0.extend(others.0);
        }

        pub(crate) fn terminate(&self) {
            self.signal(Signal::TERM);
        }

        pub(crate) fn kill(&self) {
            self.signal(Signal::KILL);
        }

        /// Waits until all processes have exited, by polling: the system does not report the exit of grandchildren.
        pub(crate) async fn wait(&mut self) {
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

    /// Whether the process still runs. Its number may have been reused, but hardly in our process group.
    fn is_member(member: &Pid) -> bool {
        getpgid(Some(*member)).is_ok_and(|group| group == getpgrp()) && !is_zombie(*member)
    }

    /// Whether the process has exited, but whatever inherited it from its parent has not noticed that yet, if it ever
    /// does. Only Linux says so.
    fn is_zombie(process: Pid) -> bool {
        let stat = fs::read(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
        // The name before it may contain anything.
        let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
        state == Some(&b'Z')
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
mod unknown {
    /// Empty: this system does not list descendants.
    #[derive(Default)]
    pub(crate) struct ProcessTree(());

    impl ProcessTree {
        pub(crate) fn of(_: u32) -> Self {
            Self(())
        }

        pub(crate) fn below_us() -> Self {
            Self(())
        }

        pub(crate) fn join(&mut self, _: Self) {}

        pub(crate) fn terminate(&self) {}

        pub(crate) fn kill(&self) {}

        pub(crate) async fn wait(&mut self) {}
    }
}
