//! A server as a process: what it costs is read from outside, as any other's.

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

/// How long a server may take until it answers, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often it is asked whether it answers.
const PACE: Duration = Duration::from_micros(200);

/// A server that runs. It is stopped when it is dropped.
pub struct Process {
    child: Child,
    addr: SocketAddr,
    /// What it took from exec to the first answer.
    ready: Duration,
}

impl Process {
    /// Starts a server and waits for its first answer. What it writes goes into a file, as it would where it is used.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not answer; with the end of what it says.
    pub fn start(mut command: Command, addr: SocketAddr, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        let mut process = Self { child, addr, ready: Duration::ZERO };
        while !process.answers() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(log).unwrap_or_default();
                let said: Vec<&str> = said.lines().rev().take(3).collect();
                let ended = ended.map_or("it runs".into(), |status| status.to_string());
                bail!("`{name}` does not answer ({ended}): {}", said.join("; "));
            }
            thread::sleep(PACE);
        }
        process.ready = began.elapsed();
        Ok(process)
    }

    /// Whether it answers a GET, whatever it says.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.addr) else { return false };
        let mut version = *b"HTTP/1.1";
        _ = stream.set_read_timeout(Some(PATIENCE));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut version).is_ok()
            && version == *b"HTTP/1.1"
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it took from exec to the first answer.
    #[must_use]
    pub fn ready(&self) -> Duration {
        self.ready
    }

    /// The process that was started.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its processes: some have workers.
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
        // Both fail only if it has ended.
        _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE / 10 {
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
    /// How long they have computed, all their threads together.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        self.0
            .iter()
            .map(|id| Cpu::of(*id))
            .fold(Cpu::default(), |sum, cpu| Cpu { user: sum.user + cpu.user, system: sum.system + cpu.system })
    }

    /// How much memory they occupy, in KiB; what they share counts for each.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// How much of that is their own, and not pages of a file that others have as well, in KiB.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// How much of the system's memory is for their page tables, in KiB.
    #[must_use]
    pub fn page_tables(&self) -> u64 {
        self.status("VmPTE:")
    }

    /// How many ranges of addresses they have mapped; the system allows each a number of them (`vm.max_map_count`).
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.0.iter().map(|id| fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default().lines().count()).sum()
    }

    fn status(&self, name: &str) -> u64 {
        let of_one = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.0.iter().filter_map(of_one).sum()
    }
}

/// Time of processors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the system for it.
    pub system: Duration,
}

impl Cpu {
    fn of(id: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        // utime and stime, the 14th and the 15th of all. Linux keeps their sum in nanoseconds and tells it in ticks.
        let mut ticks = fields.skip(11).map(|ticks| ticks.parse::<u64>().unwrap_or_default());
        let mut time = || Duration::from_millis(ticks.next().unwrap_or_default() * 1000 / clock_ticks_per_second());
        Self { user: time(), system: time() }
    }

    /// What came since then.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self { user: self.user.saturating_sub(then.user), system: self.system.saturating_sub(then.system) }
    }
}

/// An address at which nobody listens now.
///
/// # Errors
///
/// There are no ports left.
pub fn free_addr() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}
