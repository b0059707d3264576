//! The server's lifecycle: when it stops, and with which exit code.
//!
//! It stops on a signal, after its last exchange (`--once`, `--requests`), after a time (`--ttl`, `--idle-exit`), or
//! when the command of `--exec` ends.

pub(crate) mod browser;
mod exec;
#[cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "keys are read on Unix only"))]
pub(crate) mod keys;
pub(crate) mod options;
mod port_file;
pub(crate) mod process_tree;
pub(crate) mod signals;

use std::{
    future::{Future, pending},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use self::{
    exec::Exec,
    options::LifecycleOptions,
    port_file::PortFile,
    signals::{Signal, Signals},
};
use crate::{
    base::{exit::Exit, limits::Limits},
    event::notice::Level,
    exchange::Exchanges,
    listen::exit_tracker::Progress,
};

/// The progress of exchanges, if the lifecycle depends on it.
pub(crate) type ExchangeProgress = Option<watch::Receiver<Progress>>;

/// How long the command may take to exit after a signal.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A server whose exchanges end within this time does not say that it waits for them, unless Ctrl-C was pressed.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// How long the end of the server may wait for its last report.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// The lifecycle of a listening server.
pub(crate) struct Lifecycle {
    options: LifecycleOptions,
    drain: Duration,
    exchanges: Arc<Exchanges>,
    progress: ExchangeProgress,
    signals: Signals,
    command: Option<Exec>,
    /// Removes the file when dropped.
    _port_file: Option<PortFile>,
    began: Instant,
    /// When it began, or when the process last continued after it was suspended.
    awake: Instant,
    stage: Stage,
    /// What was running when the server began to stop, if there was anything.
    waiting: Option<Waiting>,
}

/// The exchanges that a stopping server waits for.
struct Waiting {
    /// How many there were.
    exchanges: u64,
    /// How many were left when they were cut.
    cut: u64,
    /// Prints what the server waits for, if that takes long enough. The result is whether it has.
    report: JoinHandle<bool>,
    /// Whether Ctrl-C has asked for it.
    is_asked: bool,
}

/// How far the lifecycle has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The last exchange has begun. Exchanges in progress still have their full timeouts.
    Full,
    /// Whatever still runs must end by `until`.
    Draining {
        until: Instant,
    },
    /// A second signal asked to stop at once.
    Interrupted,
}

/// Why the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Full,
    Interrupt,
    /// A signal other than Ctrl-C.
    Signal,
    Age,
    Idle,
    Command,
}

impl Lifecycle {
    /// Begins the lifecycle of a server that listens on `addr`, and writes the port file.
    ///
    /// # Errors
    ///
    /// The port file cannot be written.
    pub(crate) fn begin(
        options: LifecycleOptions,
        drain: Duration,
        addr: SocketAddr,
        exchanges: Arc<Exchanges>,
        progress: ExchangeProgress,
        signals: Signals,
    ) -> anyhow::Result<Self> {
        let port_file = options.port_file.clone().map(|path| PortFile::write(path, addr.port())).transpose()?;
        Ok(Self {
            options,
            drain,
            exchanges,
            progress,
            signals,
            command: None,
            _port_file: port_file,
            began: Instant::now(),
            awake: Instant::now(),
            stage: Stage::Serving,
            waiting: None,
        })
    }

    /// Starts the command and the browser, if there are any. Flush the log first, so that its lines precede the
    /// command's output.
    ///
    /// # Errors
    ///
    /// The shell cannot run the command.
    pub(crate) fn launch(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let url = url(addr);
        let spawn = |command| Exec::spawn(command, &url).context("cannot run a shell for --exec");
        self.command = self.options.exec.as_deref().map(spawn).transpose()?;
        if self.options.open {
            browser::open(&url, Arc::clone(self.exchanges.events()));
        }
        Ok(())
    }

    /// Completes when the server must stop accepting. The returned future completes when it must cut what still runs.
    pub(crate) async fn shutdown(&mut self) -> impl Future<Output = ()> {
        match self.next_end().await {
            End::Full => self.stage = Stage::Full,
            end => self.drain(end),
        }
        self.cut()
    }

    /// Ends the command after the server has stopped, and returns the exit code of the process.
    pub(crate) async fn end(mut self) -> Exit {
        self.report_end().await;
        let command = match self.command.take() {
            Some(command) => Some(self.end_command(command).await),
            None => None,
        };
        match (self.stage, command) {
            (Stage::Interrupted, _) => Exit::Interrupted,
            (_, Some(exit)) => exit,
            (_, None) => self.verdict(),
        }
    }

    /// Waits for the next reason to stop. Cancel safe: it can be dropped and called again at any time.
    async fn next_end(&mut self) -> End {
        let Self { options, exchanges, progress, signals, command, began, awake, stage, .. } = self;
        let is_serving = *stage == Stage::Serving;
        loop {
            tokio::select! {
                // The time of `--idle-exit` may have passed while the process was suspended, and clients may wait.
                biased;
                signal = signals.recv() => match signal {
                    Signal::Report => exchanges.report_running().await,
                    Signal::Continue => *awake = Instant::now(),
                    Signal::Interrupt => return End::Interrupt,
                    Signal::Terminate | Signal::HangUp => return End::Signal,
                },
                () = exchanges.all_begun(), if is_serving => return End::Full,
                () = is_over(options.ttl.map(|ttl| *began + ttl)) => return End::Age,
                () = is_idle(progress.clone(), options.idle, *awake, exchanges), if is_serving => return End::Idle,
                () = has_ended(command) => return End::Command,
            }
        }
    }

    /// Starts the drain period.
    fn drain(&mut self, end: End) {
        self.stage = Stage::Draining { until: Instant::now() + self.drain };
        let line = match end {
            End::Age => Some("stopping: the time of --ttl is over"),
            End::Idle => Some("stopping: no request for the time of --idle-exit"),
            End::Full | End::Interrupt | End::Signal | End::Command => None,
        };
        if let Some(line) = line {
            self.exchanges.events().notice(Level::Info, line);
        }
        self.report_start(end);
        // Ctrl-C has reached the command as well, and after the last exchange it may still be processing the response.
        if let (End::Signal | End::Age | End::Idle, Some(command)) = (end, &mut self.command) {
            command.terminate();
        }
    }

    /// Completes when the server must cut what still runs.
    async fn cut(&mut self) {
        if self.stage == Stage::Full {
            let ended = all_ended(self.progress.clone(), self.options.exchanges);
            let end = tokio::select! {
                end = self.next_end() => end,
                () = ended => End::Full,
            };
            self.drain(end);
        }
        let Stage::Draining { until } = self.stage else { return };
        if timeout_at(until, second_signal(&mut self.signals, &self.exchanges)).await.is_ok() {
            self.stage = Stage::Interrupted;
        }
        let left = self.exchanges.in_progress();
        if let Some(waiting) = &mut self.waiting {
            waiting.cut = left.min(waiting.exchanges);
        }
    }

    /// Reports what the server waits for, if anything; after Ctrl-C, at once and beneath a list of what is running.
    fn report_start(&mut self, end: End) {
        let exchanges = Arc::clone(&self.exchanges);
        let (in_progress, running) = (exchanges.in_progress(), exchanges.running());
        let is_asked = end == End::Interrupt;
        let awaited = match (in_progress, running) {
            (0, 0) => None,
            // After their responses.
            (0, 1) => Some("1 handler".to_owned()),
            (0, running) => Some(format!("{running} handlers")),
            _ => Some(counted(in_progress)),
        };
        // With no time to wait, nothing is waited for.
        if self.drain.is_zero() || awaited.is_none() && !is_asked {
            return;
        }
        let hint = if is_asked || self.options.is_terminal { "; Ctrl-C again stops now" } else { "" };
        let limit = if self.drain < Limits::UNLIMITED { format!(" up to {:?}", self.drain) } else { String::new() };
        let line = awaited.map(|awaited| format!("waiting{limit} for {awaited}{hint}"));
        // Something may be stuck, so stopping does not wait for the list.
        let report = tokio::spawn(async move {
            if is_asked {
                exchanges.report_running().await;
            } else {
                sleep(QUIET_TIME).await;
            }
            line.is_some_and(|line| {
                exchanges.events().notice(Level::Info, line);
                true
            })
        });
        self.waiting = Some(Waiting { exchanges: in_progress, cut: 0, report, is_asked });
    }

    /// Reports what became of the exchanges that the server waited for.
    async fn report_end(&mut self) {
        let Some(Waiting { exchanges, cut, report, is_asked }) = self.waiting.take() else { return };
        let abort = report.abort_handle();
        // The lines stay in order. A list that takes too long is not worth waiting for.
        let reported = match (is_asked, self.stage) {
            (true, Stage::Draining { .. }) => timeout(REPORT_TIMEOUT, report).await,
            _ => timeout(Duration::ZERO, report).await,
        };
        abort.abort();
        let is_reported = matches!(reported, Ok(Ok(true)));
        let finished = exchanges - cut;
        let line = match (finished, cut) {
            (_, 0) if !is_reported => return,
            (0, 0) => return,
            (_, 0) => format!("stopped: {} finished", counted(finished)),
            (0, _) => format!("stopped: {} cut", counted(cut)),
            _ => format!("stopped: {} finished, {cut} cut", counted(finished)),
        };
        self.exchanges.events().notice(Level::Info, line);
    }

    /// Waits for the command as long as for exchanges, then terminates it, then kills it.
    async fn end_command(&mut self, mut command: Exec) -> Exit {
        let until = match self.stage {
            Stage::Draining { until } => until,
            Stage::Interrupted => Instant::now(),
            Stage::Serving | Stage::Full => Instant::now() + self.drain,
        };
        for until in [until, until + EXIT_TIMEOUT] {
            if self.stage != Stage::Interrupted {
                tokio::select! {
                    exit = timeout_at(until, command.wait()) => if let Ok(exit) = exit { return exit },
                    () = second_signal(&mut self.signals, &self.exchanges) => self.stage = Stage::Interrupted,
                }
            }
            command.terminate();
        }
        command.kill();
        // SIGKILL always works, but the system may take a moment.
        match timeout(EXIT_TIMEOUT, command.wait()).await {
            Ok(exit) => exit,
            // Something that the command has left takes longer.
            Err(_) => timeout(EXIT_TIMEOUT, command.exit()).await.unwrap_or(Exit::Failed),
        }
    }

    /// The exit code for how the exchanges of `--once` or `--requests` ended; [`Exit::Done`] without these flags.
    fn verdict(&self) -> Exit {
        match (self.options.exchanges, &self.progress) {
            (Some(exchanges), Some(progress)) => {
                let progress = *progress.borrow();
                let otherwise = if progress.counted < exchanges { Exit::Unserved } else { Exit::Done };
                progress.failure.unwrap_or(otherwise)
            }
            _ => Exit::Done,
        }
    }
}

/// The URL at which clients on this machine reach a server that listens on `addr`.
pub(crate) fn url(mut addr: SocketAddr) -> String {
    // Not every system can connect to the unspecified address.
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{addr}")
}

/// A number of exchanges, in words.
fn counted(exchanges: u64) -> String {
    format!("{exchanges} exchange{}", if exchanges == 1 { "" } else { "s" })
}

/// Completes when another signal asks to stop at once. SIGHUP never does: shell and system both send it when a terminal
/// closes, and systemd sends it right after SIGTERM.
async fn second_signal(signals: &mut Signals, exchanges: &Exchanges) {
    loop {
        match signals.recv().await {
            Signal::Interrupt | Signal::Terminate => return,
            Signal::Report => exchanges.report_running().await,
            Signal::HangUp | Signal::Continue => {}
        }
    }
}

async fn is_over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Completes when there was no exchange for `time`, counted from `awake` or later; never if it is `None`.
async fn is_idle(progress: ExchangeProgress, time: Option<Duration>, awake: Instant, exchanges: &Exchanges) {
    let (Some(mut progress), Some(time)) = (progress, time) else { return pending().await };
    loop {
        let Progress { ended, since, .. } = *progress.borrow_and_update();
        let is_any = || exchanges.tally().accepted > ended;
        // The sender lives as long as the exchanges, which outlive this, so `changed` cannot fail.
        if is_any() {
            _ = progress.changed().await;
        } else if timeout_at(since.max(awake) + time, progress.changed()).await.is_err() && !is_any() {
            return;
        }
    }
}

/// Completes when `exchanges` exchanges that count have ended; at once if it is `None`.
async fn all_ended(progress: ExchangeProgress, exchanges: Option<u64>) {
    if let (Some(mut progress), Some(exchanges)) = (progress, exchanges) {
        _ = progress.wait_for(|progress| progress.counted >= exchanges).await;
    }
}

async fn has_ended(command: &mut Option<Exec>) {
    match command {
        Some(command) => _ = command.wait().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_an_address_that_clients_can_connect_to() {
        for (addr, expected) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(url(addr.parse().expect("the address is valid")), expected);
        }
    }
}
