//! Pages that are not in memory when their instance is wiped: swapped out, or being moved.
//!
//! Both look the same in the page tables, and the content of neither may survive.
//!
//! Swap space, memory cgroups and compaction affect the whole machine, so this only runs in the full siege, and as
//! root.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    iter,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{TIMEOUT, number_in};
use crate::{
    client::Client,
    place::Place,
    server::{Launch, Server},
    siege::{Report, wire},
};

/// The file that asks the kernel to compact memory.
const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// How many KiB of a process must be in swap before an instance may end: half of what the instance has filled.
const SWAPPED: u64 = 8 << 10;

/// The size of the swap space in bytes: twice what the instance and the server need.
const SWAP: usize = 64 << 20;

pub(super) fn lay(report: &mut Report) {
    match swapped(8) {
        Ok((instances, found)) => {
            report.row(vec!["is swapped out when it returns".into(), instances.to_string(), found.to_string()]);
            report.count("foreign words and entries after an instance that was swapped out", 0, found);
        }
        Err(why) => report.note(format!("Not tested with swapped-out memory: {why}.")),
    }
    match compacted(30) {
        Ok((instances, found)) => {
            let how = "returns while memory is compacted (192 KiB, not 16 MiB)";
            report.row(vec![how.into(), instances.to_string(), found.to_string()]);
            report.count("foreign words and entries while memory is compacted", 0, found);
        }
        Err(why) => report.note(format!("Not tested while memory is compacted: {why}.")),
    }
}

/// Instances whose memory is in swap when they end. Returns how many ran, and how much foreign data they found.
///
/// # Errors
///
/// Why this machine does not allow it.
fn swapped(rounds: u64) -> Result<(u64, u64), String> {
    // In this order, so that the server is dropped before its cgroup, and both before the swap space.
    let _swap = Swap::on()?;
    let group = Group::new()?;
    // The kernel may take its time.
    let patient = ["--timeout", "5m", "--body-timeout", "5m", "--min-rate", "0"];
    let server = Launch::mounted(&["remembers"]).flags(patient).start();
    group.take(&server)?;
    let mut found = 0;
    for _ in 0..rounds {
        found += filled(&server, || {
            let until = Instant::now() + TIMEOUT;
            while group.reclaim(&server)? < SWAPPED {
                if Instant::now() > until {
                    return Err("the kernel does not swap anything out".to_owned());
                }
            }
            Ok(())
        })?;
    }
    // The last instance has no successor otherwise.
    found += filled(&server, || Ok(()))?;
    Ok((rounds, found))
}

/// Has an instance report how much foreign data it finds and fill its memory, does something, and then lets the
/// instance end.
///
/// # Errors
///
/// The action in between has failed.
///
/// # Panics
///
/// The server does not answer.
fn filled(server: &Server, meanwhile: impl FnOnce() -> Result<(), String>) -> Result<u64, String> {
    let mut stream = wire::connect(server.addr(), TIMEOUT).expect("the server listens");
    let head = "POST /remembers/waits HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nContent-Length: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the server reads the head");
    let (mut seen, mut part) = (Vec::new(), [0; 4096]);
    let found = loop {
        if let Some(found) = number_in(&seen) {
            break found;
        }
        let read = stream.read(&mut part).expect("the server answers in time");
        assert!(read > 0, "the response is cut: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..read]);
    };
    meanwhile()?;
    stream.write_all(b"x").expect("the server reads the body");
    stream.read_to_end(&mut seen).expect("the response ends in time");
    assert!(seen.ends_with(b"\r\n0\r\n\r\n"), "the handler has not returned: {}", String::from_utf8_lossy(&seen));
    Ok(found)
}

/// Small instances whose pages the kernel moves while they end. Returns how many ran, and how much foreign data they
/// found.
///
/// The kernel rarely moves pages again that it has moved once, so this needs many new pages, from new servers.
///
/// # Errors
///
/// Why this machine does not allow it.
fn compacted(servers: usize) -> Result<(u64, u64), String> {
    /// How many instances of a server end in sequence.
    const AT_ONCE: usize = 900;
    /// How often each slot is used.
    const USES: usize = 3;
    /// All clients are admitted: no handler is refused because others compute, or because the machine is slow.
    const FLAGS: [[&str; 2]; 8] = [
        ["--max-queue", "1000"],
        ["--queue-wait", "5m"],
        ["--max-computing", "1000"],
        ["--timeout", "5m"],
        ["--head-timeout", "5m"],
        ["--body-timeout", "5m"],
        ["--keep-alive", "5m"],
        ["--min-rate", "0"],
    ];
    let compact = || fs::write(COMPACT, "1");
    compact().map_err(|error| format!("{COMPACT} cannot be written ({error})"))?;
    let is_over = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        scope.spawn(|| {
            // It was possible a moment ago.
            while !is_over.load(Ordering::Relaxed) {
                if compact().is_err() {
                    break;
                }
            }
        });
        let _over = Over(&is_over);
        let mut found = 0;
        for _ in 0..servers {
            let launch = Launch::mounted(&["remembers"]).flags(["--access-log-format", "none"]);
            let server = launch.flags(FLAGS.as_flattened()).start();
            let mut clients: Vec<_> = iter::repeat_with(|| server.connect()).take(AT_ONCE).collect();
            for _ in 0..USES {
                found += all_at_once(&mut clients);
            }
        }
        found
    });
    Ok(((servers * AT_ONCE * USES) as u64, found))
}

/// Sets the flag when it is dropped, even after a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has an instance for each client fill its memory, and lets all of them end once all have done so. Returns how much
/// foreign data they found.
///
/// # Panics
///
/// A response is wrong.
fn all_at_once(clients: &mut [Client]) -> u64 {
    for client in &mut *clients {
        client.send("POST /remembers/wee HTTP/1.1\r\nHost: siege\r\nContent-Length: 1\r\n\r\n");
    }
    // Instances begin to respond once they have filled their memory, and end once they have read the request.
    let heads: Vec<_> = clients.iter_mut().map(|client| client.head().expect("there is a response")).collect();
    for client in &mut *clients {
        client.send("x");
    }
    let numbers = clients.iter_mut().zip(&heads).map(|(client, head)| {
        let number: Vec<u8> = client.body(head).flatten().collect();
        str::from_utf8(&number).ok().and_then(|number| number.parse::<u64>().ok()).expect("the response is a number")
    });
    numbers.sum()
}

/// Swap space: that of the machine, or a file that is removed when this is dropped.
struct Swap {
    /// The file, and the directory that is removed with it.
    file: Option<(PathBuf, Place)>,
}

impl Swap {
    fn on() -> Result<Self, String> {
        let has_some = fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1);
        if has_some {
            return Ok(Self { file: None });
        }
        let place = Place::new();
        // Written, because swap files must not have holes.
        let path = place.file("swap", vec![0; SWAP]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|error| error.to_string())?;
        run("mkswap", &path)?;
        run("swapon", &path)?;
        Ok(Self { file: Some((path, place)) })
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            // If this fails, the swap space stays until the machine restarts.
            _ = run("swapoff", path);
        }
    }
}

/// Runs a program with one argument.
///
/// # Errors
///
/// The program is missing or fails.
fn run(program: &str, word: &Path) -> Result<(), String> {
    let output = Command::new(program).arg(word).output().map_err(|error| format!("no {program} ({error})"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program} fails ({})", stderr.trim()))
}

/// A memory cgroup, removed when it is dropped.
struct Group {
    path: PathBuf,
    /// The file that makes the kernel reclaim memory, and what to write to it.
    reclaim: (&'static str, &'static str),
}

impl Group {
    fn new() -> Result<Self, String> {
        let (root, reclaim) =
            [("/sys/fs/cgroup/memory", ("memory.force_empty", "0")), ("/sys/fs/cgroup", ("memory.reclaim", "64M"))]
                .into_iter()
                .find(|(root, _)| Path::new(root).join("cgroup.procs").exists())
                .ok_or("no cgroup is mounted below /sys/fs/cgroup")?;
        // This changes nothing if it is enabled already or the hierarchy is version 1.
        _ = fs::write(Path::new(root).join("cgroup.subtree_control"), "+memory");
        let path = Path::new(root).join(format!("wasmserve-siege-{}", process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot create a memory cgroup ({error})"))?;
        let group = Self { path, reclaim };
        if group.path.join(reclaim.0).exists() {
            Ok(group)
        } else {
            Err(format!("cgroups on this machine have no {}", reclaim.0))
        }
    }

    fn take(&self, server: &Server) -> Result<(), String> {
        let taken = fs::write(self.path.join("cgroup.procs"), server.id().to_string());
        taken.map_err(|error| format!("cannot move the server into a cgroup ({error})"))
    }

    /// Has the kernel swap out what it can, and returns how many KiB of the server are in swap.
    fn reclaim(&self, server: &Server) -> Result<u64, String> {
        let (file, word) = self.reclaim;
        // The write fails if the kernel could reclaim less than it was asked to.
        _ = fs::write(self.path.join(file), word);
        swapped_of(server.id()).map_err(|error| format!("the kernel does not report what is swapped out ({error})"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just exited may still be in it for a moment.
        let until = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How many KiB of a process are in swap.
fn swapped_of(id: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.ok_or_else(|| io::Error::other("no VmSwap"))
}
