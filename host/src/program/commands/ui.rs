//! `wasmserve ui`: shows captured exchanges in the viewer, without a handler and without a server for one.

use std::{panic, path::PathBuf};

use anyhow::{Context as _, anyhow};
use tokio::{runtime::Builder, task::spawn_blocking};

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        size,
    },
    capture::collection::Collection,
    lifecycle::signals::Signals,
    program::task::Ui,
    source::build::options::Messages,
    viewer::{
        Bound,
        hub::{Captures, Source, Subject},
    },
};

/// How many lines about what cannot be read the page shows. All of them are on stderr.
const PROBLEMS_MAX: usize = 20;

/// Reads captures and shows their exchanges until a signal asks to stop.
///
/// # Errors
///
/// The address cannot be used, or a capture cannot be read, or there is no exchange in them.
pub(crate) fn run(task: Ui) -> Result<Exit, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?
    };
    let Ui { files, memory, viewer, redaction, messages } = task;
    // A wrong address is reported before the work.
    let bound = Bound::new(&viewer, &[]).or_exit(Exit::Address)?;
    let names = files.iter().map(|file| file.display().to_string()).collect();
    let reading = {
        let messages = messages.clone();
        async move {
            let read = spawn_blocking(move || read(&files, memory, &messages)).await;
            read.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
        }
    };
    let (collection, problems) = match runtime.block_on(signals.unless_stopped(reading)) {
        Ok(read) => read?,
        Err(exit) => {
            runtime.shutdown_background();
            return Ok(exit);
        }
    };
    if collection.is_empty() {
        return Err(StartError::new(Exit::Failed, &nothing(&collection, memory)));
    }
    if collection.left_out() > 0 {
        messages.report(&left_out(&collection, memory));
    }
    let (store, of) = collection.into_store().context("cannot create the thread for captures").or_exit(Exit::Failed)?;
    let url = bound.url();
    let subject = Subject { store, redaction, source: Source::Captures(Captures { names, of, problems }) };
    let viewer = bound.serve(subject).context("cannot start the viewer's thread").or_exit(Exit::Failed)?;
    messages.text(&format!("viewer on {url}"));
    runtime.block_on(async { while signals.recv().await.exit().is_none() {} });
    viewer.end();
    Ok(Exit::Done)
}

/// Reads the captures, and reports what cannot be read. Returns the first of these reports, too.
fn read(files: &[PathBuf], memory: usize, messages: &Messages) -> Result<(Collection, Vec<String>), StartError> {
    let (mut collection, mut problems) = (Collection::new(memory), Vec::new());
    for file in files {
        let report = |problem: String| {
            messages.report(&problem);
            if problems.len() < PROBLEMS_MAX {
                problems.push(problem);
            }
        };
        collection.add(file, report).or_exit(Exit::Failed)?;
    }
    Ok((collection, problems))
}

/// Why there is nothing to show.
fn nothing(collection: &Collection, memory: usize) -> anyhow::Error {
    match collection.left_out() {
        0 => anyhow!(
            "there is no complete exchange in what was captured; to see what a handler serves, write `wasmserve HANDLER --ui`"
        ),
        _ => anyhow::Error::msg(left_out(collection, memory)),
    }
}

fn left_out(collection: &Collection, memory: usize) -> String {
    let (left_out, memory) = (collection.left_out(), size::text(memory as u64));
    let what = if left_out == 1 { "exchange does" } else { "exchanges do" };
    let older = if collection.is_empty() { "" } else { "older " };
    format!("{left_out} {older}{what} not fit into {memory}; raise --ui-memory")
}
