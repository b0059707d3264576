//! `wasmserve replay`: sends captured requests again, without a network, and compares the responses.

pub(crate) mod captured;

use std::{
    future::{Ready, ready},
    io, panic,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::{runtime::Builder, sync::oneshot, task::spawn_blocking};
use wasmserve_gateway::escape::escape;

use super::serve;
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        output,
    },
    capture::{
        record::Record,
        store::{CaptureOptions, Store},
        warc,
    },
    event::{Event, Events, Listener, notice::Level},
    exchange::Exchanges,
    lifecycle::{process_tree::ProcessTree, signals::Signals},
    listen::{
        access_log::{AccessLog, format::Format},
        recorder::Recorder,
    },
    program::task::{Replay, ReplayOptions},
    replay::{
        arrivals::Arrivals,
        compare::comparison::Comparison,
        replayer::{Replayer, Verified},
        saved::Verdict,
    },
    server,
};

/// What is captured of replays: all of them, one at a time.
const CAPTURE: CaptureOptions = CaptureOptions { memory: 2 << 30, body: 1 << 30 };

/// Replays the captured exchanges, and prints how each response compares.
///
/// # Errors
///
/// The handler cannot be served, or a file cannot be read or written.
pub(crate) fn run(mut task: Replay) -> Result<Exit, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let log =
        AccessLog::spawn(task.config.access_log).context("cannot create the log's thread").or_exit(Exit::Failed)?;
    let log = Arc::new(log);
    let printed: Arc<dyn Listener> = match task.config.access_log {
        Format::None => Arc::new(Notices(Arc::clone(&log))),
        _ => Arc::clone(&log) as _,
    };
    let events = Arc::new(Events::new(vec![printed, Arc::new(Recorder)]));
    for hint in std::mem::take(&mut task.hints) {
        events.notice(Level::Info, hint);
    }
    let done = runtime.block_on(async {
        let mut signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        match signals.unless_stopped(replay(task, &events)).await {
            Ok(done) => done,
            Err(exit) => Ok(exit),
        }
    });
    runtime.shutdown_background();
    log.flush();
    // A build may be running, whose result nothing needs any more.
    ProcessTree::below_us().terminate();
    done
}

/// Prints what the server itself reports, and nothing about single exchanges: the report has that.
struct Notices(Arc<AccessLog>);

impl Listener for Notices {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Notice(_) = event {
            self.0.on_event(event);
        }
    }
}

/// Loads the handlers, and replays into them until all files are done.
async fn replay(task: Replay, events: &Arc<Events>) -> Result<Exit, StartError> {
    let Replay { config, files, options, .. } = task;
    let allowances = serve::check(&config.handlers, events)?;
    let has_network = allowances.iter().any(|allowance| !allowance.grants.net.is_empty());
    let engine = serve::start_engine(&config, events)?;
    let loader = serve::loader(&engine, config.component, config.build, &allowances);
    let handlers = config.handlers;
    let loaded = spawn_blocking(move || serve::load(&loader, handlers)).await;
    let (mounts, _) = loaded.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))?;

    let arrivals = Arc::<Arrivals>::default();
    let store = Store::spawn(CAPTURE, vec![Arc::clone(&arrivals) as _]);
    let store = store.context("cannot create the thread for captures").or_exit(Exit::Failed)?;
    let exchanges = Exchanges::new(mounts, config.limits, config.concurrency, config.gateway, Arc::clone(events));
    let exchanges = Arc::new(exchanges.captured(Some(Arc::clone(&store))));
    // A run that does not follow the record could send requests for real.
    let (replayer, guests) = Replayer::new(Arc::clone(&store), arrivals, None, !has_network);
    let (done, is_done) = oneshot::channel::<()>();
    let serving = server::run(Vec::new(), guests, exchanges, None, ended(is_done));
    let replaying = async {
        let replayed = replay_files(&replayer, &store, &files, &options).await;
        drop(done);
        replayed
    };
    let (served, replayed) = tokio::join!(serving, replaying);
    served.context("cannot create the threads for connections").or_exit(Exit::Failed)?;
    replayed
}

/// Ready when all is replayed. Nothing is under way then.
async fn ended(is_done: oneshot::Receiver<()>) -> Ready<()> {
    _ = is_done.await;
    ready(())
}

async fn replay_files(
    replayer: &Replayer,
    store: &Store,
    files: &[PathBuf],
    options: &ReplayOptions,
) -> Result<Exit, StartError> {
    let mut counts = Counts::default();
    for path in files {
        let mut captured = warc::read_path(path).or_exit(Exit::Failed)?;
        // All exchanges of the file, if it may have to be written again.
        let (mut records, mut accepted) = (Vec::new(), 0);
        for mut record in captured.by_ref() {
            if options.is_chosen(&record) {
                let result = Replayed::new(replayer, path, &record, options).await;
                // Nothing is compared with earlier exchanges.
                store.clear();
                counts.add(result.verdict);
                print(result.to_text(options).as_bytes())?;
                if let (true, Verdict::Differs, Some(new)) = (options.accept, result.verdict, result.new) {
                    record = accept(record, &new);
                    accepted += 1;
                }
            } else if options.is_left_out(&record) {
                counts.left_out += 1;
            }
            if options.accept {
                records.push(record);
            }
        }
        let problems = captured.problems();
        for problem in &problems {
            counts.failed += 1;
            print(problem_text(problem, options).as_bytes())?;
        }
        if accepted > 0 {
            if !problems.is_empty() {
                let why = anyhow!("`{}` is not complete, so its responses cannot be accepted", path.display());
                return Err(why).or_exit(Exit::Failed);
            }
            write(path, &records)
                .with_context(|| format!("cannot write `{}`", path.display()))
                .or_exit(Exit::Failed)?;
            counts.accepted += accepted;
        }
    }
    print(counts.to_text(options).as_bytes())?;
    Ok(counts.exit())
}

/// A record whose response is that of its replay.
fn accept(original: Record, new: &Record) -> Record {
    let Record { facts, handler, response, marks, lines, fault, script, outcome, .. } = new.clone();
    Record { facts, handler, response, marks, lines, fault, script, outcome, left: None, ..original }
}

/// Writes a file of captures again.
fn write(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    let mut run = [0; 8];
    getrandom::fill(&mut run)?;
    let writer = warc::Writer::new(run);
    let mut bytes = writer.begin(1, records.first().map_or(0, |record| record.began));
    records.iter().zip(1..).for_each(|(record, number)| writer.add(number, record, &mut bytes));
    // A link is followed, not replaced.
    output::replace(&path.canonicalize()?, &bytes)?;
    Ok(())
}

/// Prints on stdout. If its reader has left, the exit code still shows the result.
fn print(text: &[u8]) -> Result<(), StartError> {
    match output::print(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("stdout cannot be written").or_exit(Exit::Failed)
        }
        _ => Ok(()),
    }
}

/// The replay of one exchange.
struct Replayed<'a> {
    path: &'a Path,
    id: u64,
    request: String,
    verdict: Verdict,
    text: String,
    comparison: Option<Comparison>,
    new: Option<Arc<Record>>,
}

impl<'a> Replayed<'a> {
    async fn new(replayer: &Replayer, path: &'a Path, record: &Record, options: &ReplayOptions) -> Self {
        let head = record.request_head();
        let request = format!("{} {}", escape(head.method()), escape(head.target()));
        let (verdict, text, comparison, new) = match replayer.verify(record, options.pace, &options.ignore).await {
            Ok(Verified { record, comparison }) if comparison.is_same => {
                (Verdict::Alike, String::new(), Some(comparison), Some(record))
            }
            Ok(Verified { record, comparison }) => {
                (Verdict::Differs, comparison.summary(), Some(comparison), Some(record))
            }
            Err(refusal) => (Verdict::Failed, refusal.text, None, None),
        };
        Self { path, id: record.id, request, verdict, text, comparison, new }
    }

    fn to_text(&self, options: &ReplayOptions) -> String {
        let Self { path, id, request, verdict, text, comparison, new } = self;
        let left = new.as_ref().and_then(|new| new.left.as_deref());
        if options.json {
            let (path, verdict) = (path.display().to_string(), *verdict);
            return json(&Line { path, id: *id, request, verdict, text, left, comparison: comparison.as_ref() });
        }
        let name = match path.file_name() {
            Some(name) if options.is_directory => format!("{} ", escape(name.as_encoded_bytes())),
            _ => String::new(),
        };
        let result = match verdict {
            Verdict::Alike => return format!("{name}[{id}] {request}: alike\n"),
            Verdict::Differs if options.accept => "accepted",
            Verdict::Differs => "differs",
            Verdict::Failed => "not replayed",
        };
        let details = comparison.as_ref().map(|comparison| comparison.to_text(options.is_colorful)).unwrap_or_default();
        let left = left.map(|left| format!("  left the record at {left}\n")).unwrap_or_default();
        format!("{name}[{id}] {request}: {result}: {text}\n{details}{left}")
    }
}

/// One line of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    path: String,
    id: u64,
    request: &'a str,
    verdict: Verdict,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

fn json(it: &impl Serialize) -> String {
    serde_json::to_string(it).unwrap_or_default() + "\n"
}

fn problem_text(problem: &str, options: &ReplayOptions) -> String {
    let problem = escape(problem.as_bytes());
    if options.json { json(&serde_json::json!({ "problem": problem })) } else { format!("not read: {problem}\n") }
}

/// How many exchanges have which result.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    alike: u64,
    differ: u64,
    failed: u64,
    accepted: u64,
    left_out: u64,
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Alike => self.alike += 1,
            Verdict::Differs => self.differ += 1,
            Verdict::Failed => self.failed += 1,
        }
    }

    fn to_text(&self, options: &ReplayOptions) -> String {
        if options.json {
            return json(self);
        }
        let Self { alike, differ, failed, accepted, left_out } = *self;
        let all = match alike + differ + failed {
            0 => "nothing to replay".to_owned(),
            1 => "1 exchange".to_owned(),
            all => format!("{all} exchanges"),
        };
        let parts = [
            (alike, "alike"),
            (differ - accepted, if differ - accepted == 1 { "differs" } else { "differ" }),
            (accepted, "accepted"),
            (failed, "not replayed"),
            (left_out, "left out because they are replays themselves"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        if parts.is_empty() { format!("{all}\n") } else { format!("{all}: {}\n", parts.join(", ")) }
    }

    fn exit(&self) -> Exit {
        match self {
            Self { differ, accepted, .. } if differ > accepted => Exit::Differs,
            Self { failed: 0, alike, differ, .. } if alike + differ > 0 => Exit::Done,
            _ => Exit::NotReplayed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_result() {
        let counts = |alike, differ, accepted, failed| Counts { alike, differ, failed, accepted, left_out: 0 };
        for (counts, code) in [
            (counts(1, 0, 0, 0), 0),
            (counts(1, 1, 0, 0), 14),
            (counts(1, 1, 1, 0), 0),
            (counts(1, 0, 0, 1), 15),
            (counts(1, 1, 0, 1), 14),
            (counts(0, 0, 0, 0), 15),
        ] {
            assert_eq!(counts.exit().code(), code, "{counts:?}");
        }
    }
}
