//! `wasmserve doc`: builds the SDK's documentation and opens it in a browser.

use std::{
    io::{self, Write as _},
    panic,
    pin::pin,
};

use anyhow::{Context as _, anyhow};
use tokio::{runtime::Builder, task::spawn_blocking};
use url::Url;

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        output,
    },
    lifecycle::{browser, signals::Signals},
    source::build::{self, Failure, options::Messages},
};

/// Builds the documentation unless it is up to date, prints the URL of its first page on stdout, and opens it. Blocks
/// until the browser's command has ended, which may be when the browser is closed. Without a browser, a note asks the
/// user to open the URL.
///
/// # Errors
///
/// The documentation cannot be built, or stdout cannot be written.
pub(crate) fn run(is_colorful: bool) -> Result<Exit, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let done = runtime.block_on(async {
        let mut signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        let built = signals.unless_stopped(spawn_blocking(move || url(is_colorful))).await;
        let url = match built {
            Ok(built) => built.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))?,
            Err(exit) => return Ok(exit),
        };
        // First, because the browser's command may last.
        match output::print(format!("{url}\n").as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error).context("stdout cannot be written").or_exit(Exit::Failed);
            }
            _ => {}
        }
        let mut showing = pin!(browser::show(url.as_str()));
        loop {
            tokio::select! {
                // A signal ends the wait, and not the browser.
                signal = signals.recv() => if let Some(exit) = signal.exit() { return Ok(exit) },
                shown = &mut showing => {
                    if let Err(note) = shown {
                        // The URL is printed even if stderr is closed.
                        _ = io::stderr().write_all(format!("wasmserve: {note}\n").as_bytes());
                    }
                    return Ok(Exit::Done);
                }
            }
        }
    });
    // Does not wait for a build that was stopped.
    runtime.shutdown_background();
    done
}

/// Builds the documentation, and returns the URL of its first page.
fn url(is_colorful: bool) -> Result<Url, StartError> {
    let built = build::documentation(&Messages::Stderr { color: is_colorful });
    let page =
        built.map_err(|Failure { line, .. }| anyhow!("the SDK's documentation {line:#}")).or_exit(Exit::Failed)?;
    let url = Url::from_file_path(&page);
    url.map_err(|()| anyhow!("`{}` has no URL", page.display())).or_exit(Exit::Failed)
}
