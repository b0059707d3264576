//! A server as a process.
//!
//! Its costs are measured from outside, like those of any other process.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Signal, kill_process},
};

/// The timeout of the first response, and of the exit.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The interval between attempts to connect.
const PACE: Duration = Duration::from_micros(200);

/// A running server. It is stopped when it is dropped.
pub struct Process {
    child: Child,
    addr: SocketAddr,
    /// The time from exec to the first response.
    ready: Duration,
}

impl Process {
    /// Starts a server and waits for its first response. Its output goes to a file, as in production.
    ///
    /// # Errors
    ///
    /// It does not start or does not answer. The error includes the end of its output.
    pub fn start(mut command: Command, addr: SocketAddr, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        let mut process = Self { child, addr, ready: Duration::ZERO };
        while !process.answers() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || began.elapsed() > TIMEOUT {
                let output = fs::read_to_string(log).unwrap_or_default();
                let output: Vec<&str> = output.lines().rev().take(3).collect();
                let ended = ended.map_or("still running".into(), |status| status.to_string());
                bail!("`{name}` does not answer ({ended}): {}", output.join("; "));
            }
            thread::sleep(PACE);
        }
        process.ready = began.elapsed();
        Ok(process)
    }

    /// Whether it answers a GET, with any status.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.addr) else { return false };
        let mut version = *b"HTTP/1.";
        _ = stream.set_read_timeout(Some(TIMEOUT));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut version).is_ok()
            && version == *b"HTTP/1."
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The time from exec to the first response.
    #[must_use]
    pub fn ready(&self) -> Duration {
        self.ready
    }

    /// The id of the process that was started.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its processes: some servers have workers.
    #[must_use]
    pub fn family(&self) -> Family {
        let mut ids = vec![self.child.id()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            ids.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            next += 1;
        }
        Family(ids)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has exited.
        _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > TIMEOUT / 10 {
                _ = self.child.kill();
            }
            thread::sleep(PACE);
        }
    }
}

/// The processes of a server.
#[derive(Clone, Debug)]
pub struct Family(Vec<u32>);

impl Family {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The CPU time of all of their threads.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        self.0
            .iter()
            .map(|id| Cpu::of(*id))
            .fold(Cpu::default(), |sum, cpu| Cpu { user: sum.user + cpu.user, system: sum.system + cpu.system })
    }

    /// Their resident memory in KiB. Shared pages count for each process.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The part of it that is their own, without file-backed pages, in KiB.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// Their memory in KiB. A page that several processes or instances have in common counts once.
    #[must_use]
    pub fn proportional(&self) -> u64 {
        self.sum("smaps_rollup", "Pss:")
    }

    /// The size of their page tables, in KiB.
    #[must_use]
    pub fn page_tables(&self) -> u64 {
        self.status("VmPTE:")
    }

    /// How many memory mappings they have. The system limits them for each process (`vm.max_map_count`).
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.0.iter().map(|id| fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default().lines().count()).sum()
    }

    fn status(&self, name: &str) -> u64 {
        self.sum("status", name)
    }

    /// The sum of a figure in a file that each process has.
    fn sum(&self, file: &str, name: &str) -> u64 {
        let of_one = |id: &u32| {
            let text = fs::read_to_string(format!("/proc/{id}/{file}")).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.0.iter().filter_map(of_one).sum()
    }
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the system on behalf of the program.
    pub system: Duration,
}

impl Cpu {
    /// The CPU time of a process, and of its children that have ended.
    fn of(id: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        // utime, stime, cutime and cstime, fields 14 to 17. Linux keeps sums in nanoseconds and reports them in ticks.
        let mut ticks = fields.skip(11).map(|ticks| ticks.parse::<u64>().unwrap_or_default());
        let mut time = || Duration::from_millis(ticks.next().unwrap_or_default() * 1000 / clock_ticks_per_second());
        let (user, system, ended_user, ended_system) = (time(), time(), time(), time());
        Self { user: user + ended_user, system: system + ended_system }
    }

    /// The difference from an earlier time.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self { user: self.user.saturating_sub(then.user), system: self.system.saturating_sub(then.system) }
    }
}

/// An address that nothing listens on at the moment.
///
/// # Errors
///
/// There are no ports left.
pub fn free_addr() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}
