//! Handlers that serve the files in a directory. They run in this process, without an instance.

mod body;
mod conditions;
mod copies;
mod listing;
mod media;
mod path;
mod range;
pub(crate) mod reload;
mod root;
mod site;
mod watch;

use std::{io, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use self::{
    reload::Changes,
    root::Root,
    site::{Answer, Request, Site},
};
use crate::{
    admission::Slot,
    base::{grants::Allowance, options::FileOptions},
    event::Stream,
    fault::Fault,
    handler::{Call, Handler, lanes::CallFuture},
};

/// A directory that is served.
///
/// No timeout applies to a call except those for clients that read nothing: a large file may take as long as it does.
pub(crate) struct Files {
    site: Arc<Site>,
    allowance: Arc<Allowance>,
}

/// Makes a handler that serves the directory at an absolute path. With `--live`, pages reload at `changes`, which
/// include those of this directory from now on.
///
/// # Errors
///
/// The directory cannot be opened or watched. The text is to be read after its name.
pub(crate) fn handler(
    path: PathBuf,
    options: &FileOptions,
    changes: &Arc<Changes>,
    allowance: &Allowance,
) -> anyhow::Result<Files> {
    let root = Root::new(path.clone()).context("cannot be opened")?;
    let changes = options.live.then(|| Arc::clone(changes));
    if let Some(changes) = &changes {
        watch::spawn(path, Arc::clone(changes)).context("cannot be watched for --live")?;
    }
    let site = Arc::new(Site::new(root, options.clone(), changes));
    Ok(Files { site, allowance: Arc::new(allowance.clone()) })
}

impl Handler for Files {
    fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    fn call(&self, mut call: Call, slot: Slot) -> CallFuture {
        let site = Arc::clone(&self.site);
        CallFuture::new(None, slot, async move {
            match site.changes().filter(|_| is_for_changes(&call)) {
                Some(changes) => changes.stream(&call.exchange.head, &mut call.writer).await,
                None => send(&site, &mut call).await?,
            }
            call.conclude(Ok(()))
        })
    }

    fn drain(&self) {
        if let Some(changes) = self.site.changes() {
            changes.stop();
        }
    }
}

/// Whether a request asks for the changes of the files.
fn is_for_changes(call: &Call) -> bool {
    let head = &call.exchange.head;
    let below = head.parts().path.strip_prefix(&**call.mount.path());
    below == Some(reload::PATH.as_bytes()) && matches!(head.method(), b"GET" | b"HEAD")
}

/// Sends the file that a request wants. Threads for that open and read files, because a disk may be slow; only what the
/// system has in memory is read here. The first chunk is read in the same step in which the file is opened, and each
/// further one while the one before is sent.
async fn send(site: &Arc<Site>, call: &mut Call) -> Result<(), Fault> {
    let request = Request { head: call.exchange.head.clone(), mount: call.mount.clone() };
    let has_body = request.head.method() != b"HEAD";
    let site = Arc::clone(site);
    let first = move || {
        let mut answer = site.answer(&request)?;
        let chunk = if has_body { answer.body.next()? } else { Bytes::new() };
        Ok((answer, chunk))
    };
    let (Answer { status, fields, mut body, note }, mut chunk) = blocking(first).await?;
    if let Some(note) = note {
        call.log(Stream::Note, note.as_bytes());
    }
    // What is wrong with a head is reported when the call ends.
    _ = call.writer.start(status, fields, None);
    while has_body && body.left() > 0 {
        if call.writer.push(chunk).is_err() || call.writer.space().await.is_err() {
            // The client has left, or reads nothing.
            return Ok(());
        }
        if let Some(next) = body.next_in_memory() {
            chunk = next;
            continue;
        }
        (body, chunk) = blocking(move || {
            let next = body.next()?;
            Ok((body, next))
        })
        .await?;
    }
    _ = call.writer.finish(chunk);
    Ok(())
}

/// Does what blocks on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Fault::unreadable(&error)),
        Err(error) => Err(Fault::HostBug(error.to_string())),
    }
}
