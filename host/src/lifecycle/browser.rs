//! `--open`: opens the server's URL in a browser.

use std::{env, ffi::OsString, process::Stdio, sync::Arc};

use tokio::process::Command;

use crate::event::{Events, notice::Level};

/// Opens a URL in `$BROWSER`, a program that takes the URL as its only argument, or in the system's browser. Emits a
/// notice if that fails. Must be called from within a tokio runtime.
pub(super) fn open(url: &str, events: Arc<Events>) {
    let mut command = command(url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C must stop the server, not the browser.
    #[cfg(unix)]
    command.process_group(0);
    let failed = format!("note: cannot open a browser; open {url} yourself");
    let spawned = command.spawn();
    tokio::spawn(async move {
        let ended = match spawned {
            Ok(mut browser) => browser.wait().await,
            Err(error) => Err(error),
        };
        let why = match ended {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        events.notice(Level::Info, format!("{failed} ({why})"));
    });
}

fn command(url: &str) -> Command {
    let browser = env::var_os("BROWSER").filter(|browser| !browser.is_empty());
    let words: &[&str] = match () {
        () if browser.is_some() => &[],
        () if cfg!(target_os = "macos") => &["open"],
        () if cfg!(windows) => &["cmd", "/C", "start", ""],
        () => &["xdg-open"],
    };
    let mut words = browser.into_iter().chain(words.iter().map(OsString::from));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(url);
    command
}
