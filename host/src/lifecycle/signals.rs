//! Receives the signals that stop the server or ask for a report.

#[cfg(windows)]
use std::io;
use std::{future::Future, time::Duration};

use tokio::time::timeout;

use super::process_tree::ProcessTree;
use crate::base::exit::Exit;

/// A request made by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has these"))]
pub(crate) enum Signal {
    /// Report what is running, and stop: SIGINT; on Windows, Ctrl-C.
    Interrupt,
    /// Stop: SIGTERM, and the other signals that would end the process; on Windows, the end of the console.
    Terminate,
    /// Stop, because the terminal has gone: SIGHUP. A closing terminal may send it more than once.
    HangUp,
    /// Report what is running, and continue: SIGQUIT or SIGUSR1; on Windows, Ctrl-Break.
    Report,
    /// The process continues after it was suspended, with Ctrl-Z for example: SIGCONT.
    Continue,
}

impl Signal {
    /// How the process ends if this signal stops it before it has served anything; `None` if it does not stop it.
    pub(crate) fn exit(self) -> Option<Exit> {
        match self {
            Self::HangUp => Some(Exit::Unready(128 + 1)),
            Self::Interrupt => Some(Exit::Unready(128 + 2)),
            Self::Terminate => Some(Exit::Unready(128 + 15)),
            Self::Report | Self::Continue => None,
        }
    }
}

/// How long processes may take to exit after they were asked to.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

impl Signals {
    /// Does work that precedes serving, such as a build. If a signal asks to stop, ends the processes that were started
    /// for it, and returns the exit code.
    ///
    /// # Errors
    ///
    /// A signal asked to stop. Blocking work continues in its thread, so the process must exit soon.
    pub(crate) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Exit> {
        let mut work = std::pin::pin!(work);
        let exit = loop {
            tokio::select! {
                // Ctrl-C ends cargo as well, and a build that fails for this reason is not reported.
                biased;
                signal = self.recv() => if let Some(exit) = signal.exit() { break exit },
                done = &mut work => return Ok(done),
            }
        };
        let mut started = ProcessTree::below_us();
        started.terminate();
        if timeout(EXIT_TIMEOUT, started.wait()).await.is_err() {
            started.kill();
        }
        // What they have left behind.
        ProcessTree::below_us().terminate();
        Err(exit)
    }
}

#[cfg(unix)]
pub(crate) use self::unix::Signals;

#[cfg(unix)]
mod unix {
    use std::{
        future::poll_fn,
        io,
        task::{Context, Poll},
    };

    use rustix::process::Signal as Number;
    use tokio::signal::unix::{self, SignalKind};

    use super::Signal;

    /// The signals that a process may inherit as ignored, and then ignores for good: `nohup` does this with SIGHUP.
    const ENDS: [(Number, Signal); 5] = [
        (Number::TERM, Signal::Terminate),
        (Number::HUP, Signal::HangUp),
        // Without a handler, these would end the process at once. `ulimit -t` sends the last one.
        (Number::ALARM, Signal::Terminate),
        (Number::USR2, Signal::Terminate),
        (Number::XCPU, Signal::Terminate),
    ];

    /// The signals that are received in any case. A shell starts each background job of a script with SIGINT and SIGQUIT
    /// ignored, and a script that sends them to the server nevertheless means it.
    const OTHERS: [(Number, Signal); 4] = [
        (Number::INT, Signal::Interrupt),
        (Number::QUIT, Signal::Report),
        (Number::USR1, Signal::Report),
        (Number::CONT, Signal::Continue),
    ];

    pub(crate) struct Signals(Vec<(unix::Signal, Signal)>);

    impl Signals {
        /// Receives signals from now on. Must be called from within a tokio runtime.
        pub(crate) fn new() -> io::Result<Self> {
            let receive = |number: Number| unix::signal(SignalKind::from_raw(number.as_raw()));
            // With a handler, writing beyond `ulimit -f` is an error instead of the end. The handler stays.
            drop(receive(Number::XFSZ)?);
            let ignored = ignored();
            let ends = ENDS.into_iter().filter(|(number, _)| ignored >> (number.as_raw() - 1) & 1 == 0);
            OTHERS
                .into_iter()
                .chain(ends)
                .map(|(number, signal)| Ok((receive(number)?, signal)))
                .collect::<io::Result<_>>()
                .map(Self)
        }

        /// The next signal. Cancel safe: it can be dropped and called again at any time.
        pub(crate) async fn recv(&mut self) -> Signal {
            poll_fn(|cx| self.poll_recv(cx)).await
        }

        fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
            for (received, signal) in &mut self.0 {
                if received.poll_recv(cx).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        }
    }

    /// The signals that are ignored, as a bit mask. Only Linux says this without a call that is not memory safe;
    /// elsewhere none is taken to be ignored.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(windows)]
pub(crate) struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    report: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { interrupt: ctrl_c()?, report: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// The next one. May be given up and called again at any time.
    pub(crate) async fn recv(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.report.recv() => Signal::Report,
            _ = self.close.recv() => Signal::Terminate,
            _ = self.shutdown.recv() => Signal::Terminate,
        }
    }
}
