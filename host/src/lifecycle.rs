//! How long the server lives, and how it ends: by a signal, with its last exchange, with its time, or with the command that
//! it was started for.

mod browser;
mod exec;
pub(crate) mod options;
mod port_file;
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
    time::{Instant, sleep_until, timeout, timeout_at},
};

use self::{
    exec::Exec,
    options::LifeOptions,
    port_file::PortFile,
    signals::{Signal, Signals},
};
use crate::{base::exit::Exit, event::notice::Level, exchange::Exchanges, listen::exit_tracker::Progress};

/// What is seen of exchanges, if the server's life depends on them.
pub(crate) type Ends = Option<watch::Receiver<Progress>>;

/// How long a command may take to end when it was asked to.
const FAREWELL: Duration = Duration::from_secs(2);

/// The life of a server that listens.
pub(crate) struct Lifecycle {
    options: LifeOptions,
    drain: Duration,
    exchanges: Arc<Exchanges>,
    ends: Ends,
    signals: Signals,
    command: Option<Exec>,
    /// Removes the file when this is dropped.
    _port_file: Option<PortFile>,
    began: Instant,
    stage: Stage,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// As many exchanges have begun as there may be. They have all the time that exchanges have.
    Full,
    /// What still runs has until then.
    Draining {
        until: Instant,
    },
    /// At once: it was asked to stop for a second time.
    Interrupted,
}

/// What ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Full,
    Interrupt,
    Terminate,
    Age,
    Idle,
    Command,
}

impl Lifecycle {
    /// Begins when the server listens there: tells whoever wants to know where that is.
    ///
    /// # Errors
    ///
    /// Signals cannot be received, or the file that was asked for cannot be written.
    pub(crate) fn begin(
        options: LifeOptions,
        drain: Duration,
        addr: SocketAddr,
        exchanges: Arc<Exchanges>,
        ends: Ends,
    ) -> anyhow::Result<Self> {
        let signals = Signals::new().context("no signals")?;
        let port_file = options.port_file.clone().map(|path| PortFile::write(path, addr.port())).transpose()?;
        Ok(Self {
            options,
            drain,
            exchanges,
            ends,
            signals,
            command: None,
            _port_file: port_file,
            began: Instant::now(),
            stage: Stage::Serving,
        })
    }

    /// Begins what comes to the server by itself: a command, a browser. All that was said before should be read before what
    /// they say.
    ///
    /// # Errors
    ///
    /// There is no shell to run a command.
    pub(crate) fn launch(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let url = url(addr);
        let spawn = |command| Exec::spawn(command, &url).context("cannot run a shell for --exec");
        self.command = self.options.exec.as_deref().map(spawn).transpose()?;
        if self.options.open {
            browser::open(&url, Arc::clone(self.exchanges.events()));
        }
        Ok(())
    }

    /// Ready when the server is to accept no more. What that gives is ready when it is to cut what still runs.
    pub(crate) async fn shutdown(&mut self) -> impl Future<Output = ()> {
        match self.next_end().await {
            End::Full => self.stage = Stage::Full,
            end => self.drain(end),
        }
        self.cut()
    }

    /// Ends what has begun with the server, which has served for the last time: how the process ends.
    pub(crate) async fn end(mut self) -> Exit {
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

    /// What ends it next. May be given up and called again at any time.
    async fn next_end(&mut self) -> End {
        let Self { options, exchanges, ends, signals, command, began, stage, .. } = self;
        let is_serving = *stage == Stage::Serving;
        loop {
            tokio::select! {
                signal = signals.recv() => match signal {
                    Signal::Report => exchanges.report_running().await,
                    Signal::Interrupt => {
                        // Whoever presses Ctrl-C may do so because something is stuck, and need not wait for it to tell.
                        let exchanges = Arc::clone(exchanges);
                        match exchanges.running() {
                            0 => exchanges.report_running().await,
                            _ => _ = tokio::spawn(async move { exchanges.report_running().await }),
                        }
                        return End::Interrupt;
                    }
                    Signal::Terminate => return End::Terminate,
                },
                () = exchanges.all_begun(), if is_serving => return End::Full,
                () = is_over(options.ttl.map(|ttl| *began + ttl)) => return End::Age,
                () = is_idle(ends.clone(), options.idle, exchanges), if is_serving => return End::Idle,
                () = has_ended(command) => return End::Command,
            }
        }
    }

    /// From now on, what runs has the time that it has to end.
    fn drain(&mut self, end: End) {
        self.stage = Stage::Draining { until: Instant::now() + self.drain };
        let line = match end {
            End::Age => Some("stopping, as the time of --ttl is over"),
            End::Idle => Some("stopping, as there was no exchange for the time of --idle-exit"),
            End::Full | End::Interrupt | End::Terminate | End::Command => None,
        };
        if let Some(line) = line {
            self.exchanges.events().notice(Level::Info, line);
        }
        // Ctrl-C has reached it as well, and after the last exchange it may still be busy with the answer.
        if let (End::Terminate | End::Age | End::Idle, Some(command)) = (end, &mut self.command) {
            command.terminate();
        }
    }

    /// Ready when what still runs is to be cut.
    async fn cut(&mut self) {
        if self.stage == Stage::Full {
            let ended = all_ended(self.ends.clone(), self.options.exchanges);
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
    }

    /// Lets the command end by itself as long as exchanges may, then asks it to, then ends it.
    async fn end_command(&mut self, mut command: Exec) -> Exit {
        let until = match self.stage {
            Stage::Draining { until } => until,
            Stage::Interrupted => Instant::now(),
            Stage::Serving | Stage::Full => Instant::now() + self.drain,
        };
        for until in [until, until + FAREWELL] {
            if self.stage != Stage::Interrupted {
                tokio::select! {
                    exit = timeout_at(until, command.wait()) => if let Ok(exit) = exit { return exit },
                    () = second_signal(&mut self.signals, &self.exchanges) => self.stage = Stage::Interrupted,
                }
            }
            command.terminate();
        }
        command.kill();
        // Nobody survives that, but the system may take its time.
        timeout(FAREWELL, command.wait()).await.unwrap_or(Exit::Failed)
    }

    /// How the exchanges ended that the server was there for, if it was there for a number of them.
    fn verdict(&self) -> Exit {
        match (self.options.exchanges, &self.ends) {
            (Some(exchanges), Some(ends)) => {
                let progress = *ends.borrow();
                let otherwise = if progress.counted < exchanges { Exit::Unserved } else { Exit::Done };
                progress.failure.unwrap_or(otherwise)
            }
            _ => Exit::Done,
        }
    }
}

/// Where clients find a server that listens there.
fn url(mut addr: SocketAddr) -> String {
    // Every address of this machine is no address that one could connect to, though some systems take it for one.
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{addr}")
}

/// Ready when somebody asks it to stop that stops already.
async fn second_signal(signals: &mut Signals, exchanges: &Exchanges) {
    while signals.recv().await == Signal::Report {
        exchanges.report_running().await;
    }
}

async fn is_over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Ready when there was no exchange for that time.
async fn is_idle(ends: Ends, time: Option<Duration>, exchanges: &Exchanges) {
    let (Some(mut ends), Some(time)) = (ends, time) else { return pending().await };
    loop {
        let Progress { ended, since, .. } = *ends.borrow_and_update();
        let is_any = || exchanges.tally().accepted > ended;
        // Who tells is among the exchanges, which are there for longer than this.
        if is_any() {
            _ = ends.changed().await;
        } else if timeout_at(since + time, ends.changed()).await.is_err() && !is_any() {
            return;
        }
    }
}

/// Ready when so many exchanges have ended that count.
async fn all_ended(ends: Ends, exchanges: Option<u64>) {
    if let (Some(mut ends), Some(exchanges)) = (ends, exchanges) {
        _ = ends.wait_for(|progress| progress.counted >= exchanges).await;
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
    fn a_url_is_one_that_can_be_connected_to() {
        for (addr, expected) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(url(addr.parse().expect("it is an address")), expected);
        }
    }
}
