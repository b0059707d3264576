//! The keys that a server at a terminal reads: shorter to type than a signal or a URL.
//!
//! The terminal belongs to the process group in the foreground: while that is another one, nothing is read and no
//! mode is set, because the system would stop the process. Keys come without Enter and without an echo. Ctrl-C, Ctrl-\
//! and Ctrl-Z stay signals, and the terminal gets its own mode back whenever the process ends or is suspended.

use std::sync::Arc;

use crate::{
    event::{Event, Events, listening::Listening, notice::Level},
    source::watch::Rebuild,
};

/// The most important keys, for the lines below the one that says that the server listens.
pub(crate) const SHORT: &str = "o open, r rebuild, s what is running, q quit, ? all keys";

/// All keys.
const ALL: [&str; 7] = [
    "o  open the server in the browser",
    "r  rebuild the handlers although nothing has changed",
    "s  show what is running, and where it is",
    "u  show the addresses, and one as a QR code",
    "c  clear the terminal",
    "q  quit when the running requests are done; twice: at once (like Ctrl-C)",
    "?  show the keys",
];

/// What the keys act on.
pub(crate) struct Actions {
    /// What is served, and where.
    pub listening: Listening,
    /// The events to emit notices to.
    pub events: Arc<Events>,
    /// Builds the handlers once more; `None` if they are not watched.
    pub rebuild: Option<Rebuild>,
    /// Clears the terminal.
    pub clear: Box<dyn Fn() + Send>,
}

impl Actions {
    #[cfg(unix)]
    fn press(&self, key: u8) {
        use rustix::process::{Signal, getpid, kill_process};
        // Fails only if there is no such process.
        let signal = |signal| _ = kill_process(getpid(), signal);
        match key {
            b'o' => super::browser::open(&self.listening.local, Arc::clone(&self.events)),
            b'r' => match &self.rebuild {
                Some(rebuild) => rebuild.ask(),
                None => self.events.notice(Level::Info, "nothing to rebuild: the handlers are not watched"),
            },
            b's' => signal(Signal::QUIT),
            b'u' => self.events.emit(&Event::Listening(&Listening { qr: true, ..self.listening.clone() })),
            b'c' => (self.clear)(),
            b'q' => signal(Signal::INT),
            b'?' | b'h' => ALL.iter().for_each(|line| self.events.notice(Level::Status, format!("  {line}"))),
            _ => {}
        }
    }
}

#[cfg(unix)]
pub(crate) use self::unix::{Keys, are_available};
#[cfg(not(unix))]
pub(crate) use self::unknown::{Keys, are_available};

#[cfg(unix)]
mod unix {
    use std::{
        io::{self, IsTerminal as _},
        sync::{Arc, Mutex},
        thread,
        time::Duration,
    };

    use rustix::{
        event::{PollFd, PollFlags, poll},
        process::{Signal, getpgrp, getpid, getsid, kill_process},
        termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr},
    };
    use tokio::{
        runtime::Handle,
        signal::unix::{Signal as Receiver, SignalKind, signal},
        task::JoinHandle,
        time::sleep,
    };

    use super::Actions;
    use crate::base::lock::lock;

    /// How often to look whether the process is in the foreground again while another process has the
    /// terminal.
    const BACKGROUND_INTERVAL: Duration = Duration::from_millis(250);

    /// Whether keys can be read: stdin and stderr are a terminal, and it belongs to this process group.
    pub(crate) fn are_available() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal() && is_in_foreground()
    }

    fn is_in_foreground() -> bool {
        tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
    }

    /// Reads keys until it is dropped. Then the terminal has its mode back.
    pub(crate) struct Keys {
        mode: Arc<Mode>,
        suspending: JoinHandle<()>,
    }

    impl Keys {
        /// Reads keys from now on. Must be called from within a tokio runtime.
        ///
        /// # Errors
        ///
        /// The terminal's mode cannot be changed, or the system cannot create another thread.
        pub(crate) fn read(actions: Actions) -> io::Result<Self> {
            let mode = Arc::new(Mode { original: tcgetattr(io::stdin())?, is_set: Mutex::new(false) });
            // Before the mode is set, so that Ctrl-Z always restores it.
            let receive = |signal_: Signal| signal(SignalKind::from_raw(signal_.as_raw()));
            let (suspended, resumed) = (receive(Signal::TSTP)?, receive(Signal::CONT)?);
            mode.set()?;
            let suspending = tokio::spawn(suspend(Arc::clone(&mode), suspended, resumed));
            let keys = Self { mode: Arc::clone(&mode), suspending };
            let runtime = Handle::current();
            thread::Builder::new().name("keys".into()).spawn(move || {
                let _inside = runtime.enter();
                read(&mode, &actions);
            })?;
            Ok(keys)
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            self.suspending.abort();
            self.mode.restore();
        }
    }

    /// The mode of the terminal.
    struct Mode {
        /// The mode before.
        original: Termios,
        /// Whether keys come without Enter and without an echo.
        is_set: Mutex<bool>,
    }

    impl Mode {
        fn set(&self) -> io::Result<()> {
            let mut is_set = lock(&self.is_set);
            if is_in_foreground() {
                let mut mode = self.original.clone();
                mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
                mode.special_codes[SpecialCodeIndex::VMIN] = 1;
                mode.special_codes[SpecialCodeIndex::VTIME] = 0;
                tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
                *is_set = true;
            }
            Ok(())
        }

        fn restore(&self) {
            let mut is_set = lock(&self.is_set);
            // In the background, the terminal has the mode of the shell.
            if *is_set && is_in_foreground() {
                // Fails only if the terminal has gone.
                _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.original);
            }
            *is_set = false;
        }

        fn is_set(&self) -> bool {
            *lock(&self.is_set)
        }
    }

    /// Reads keys until the terminal has gone.
    fn read(mode: &Mode, actions: &Actions) {
        let mut keys = [0; 16];
        loop {
            let stdin = io::stdin();
            let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut polled, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            if !mode.is_set() || !is_in_foreground() {
                thread::sleep(BACKGROUND_INTERVAL);
                continue;
            }
            match rustix::io::read(&stdin, &mut keys) {
                Ok(0) => return,
                Ok(read) => keys[..read].iter().for_each(|key| actions.press(*key)),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Gives the terminal its mode back while the process is suspended with Ctrl-Z.
    async fn suspend(mode: Arc<Mode>, mut suspended: Receiver, mut resumed: Receiver) {
        // A shell does not signal a job that runs when it brings it to the foreground.
        let mut is_waiting = !mode.is_set();
        loop {
            tokio::select! {
                _ = suspended.recv() => {
                    // Without a shell that could resume it, the system would not suspend it either.
                    if getsid(None).is_ok_and(|leader| leader != getpid()) {
                        mode.restore();
                        _ = kill_process(getpid(), Signal::STOP);
                    }
                }
                _ = resumed.recv() => is_waiting = true,
                () = sleep(BACKGROUND_INTERVAL), if is_waiting => {}
            }
            if is_waiting {
                // If this fails, the terminal has gone.
                _ = mode.set();
                is_waiting = !mode.is_set();
            }
        }
    }
}

#[cfg(not(unix))]
mod unknown {
    use std::io;

    use super::Actions;

    /// Never: this system's terminals are not supported.
    pub(crate) fn are_available() -> bool {
        false
    }

    pub(crate) struct Keys(());

    impl Keys {
        pub(crate) fn read(_: Actions) -> io::Result<Self> {
            Ok(Self(()))
        }
    }
}
