//! `--open`: shows the server to whoever has started it.

use std::{env, ffi::OsString, process::Stdio, sync::Arc};

use tokio::process::Command;

use crate::event::{Events, notice::Level};

/// Opens a URL in `$BROWSER`, which is a program that takes it as its only argument, or in what the system opens pages with.
/// If it cannot, that is a note in the log.
pub(super) fn open(url: &str, events: Arc<Events>) {
    let mut command = command(url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is for the server, and a browser may stay.
    #[cfg(unix)]
    command.process_group(0);
    let failed = format!("note: no browser could be opened; the address is {url}");
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
