//! Writes records to files, on its own thread, so that nothing waits for the disk.
//!
//! A run writes segments one after the other, and removes its oldest ones beyond a size. What the disk is too slow for, or
//! has no space for, is counted and reported.

mod segments;

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

pub(super) use self::segments::KEPT;
use self::segments::{Segments, check};
use super::{
    record::Record,
    store::{Sink, Store},
    warc::{self, Writer},
};
use crate::base::lock::lock;

/// Where records are written, and how much disk space they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// The directory, which is created if needed.
    pub dir: PathBuf,
    /// The bytes of all segments of this run together. Files of kept exchanges and of earlier runs do not count.
    pub size: u64,
}

impl ArchiveOptions {
    /// The default of `--capture-size`.
    pub const SIZE: u64 = 1 << 30;
}

/// What may wait to be written, in bytes.
const QUEUE_MAX: usize = 16 << 20;

/// How long it takes until writing is tried again after it has failed, and between two reports of losses.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes the records that it is given to files.
pub(crate) struct Archive {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    queue: Mutex<Queue>,
    news: Condvar,
    report: Box<dyn Fn(String) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// The bytes that tasks hold.
    bytes: usize,
    status: Status,
    /// Files of kept exchanges by their seq, of which the thread may not know yet.
    restored: Vec<(u64, PathBuf)>,
    /// How many lost exchanges have been reported.
    reported: u64,
    is_over: bool,
    is_ended: bool,
}

/// What has become of the records so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Exchanges that were written.
    pub written: u64,
    /// Exchanges that were not written, because the disk was too slow or full.
    pub lost: u64,
    /// Why nothing can be written at the moment.
    pub problem: Option<String>,
}

enum Task {
    Add(Arc<Record>),
    /// A record is kept, or no longer.
    Keep(Arc<Record>),
}

impl Task {
    fn size(&self) -> usize {
        let (Self::Add(record) | Self::Keep(record)) = self;
        record.request.bytes.len() + record.response.bytes.len() + (1 << 10)
    }
}

impl Sink for Archive {
    fn take(&self, record: &Arc<Record>) {
        self.push(Task::Add(Arc::clone(record)));
    }

    fn kept(&self, record: &Arc<Record>) {
        self.push(Task::Keep(Arc::clone(record)));
    }
}

impl Archive {
    /// Creates the directory and starts the thread. `report` gets a line for people when files cannot be written, when they
    /// can be again, when exchanges were lost, and when the first segment is removed.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or the system cannot create another thread.
    pub(crate) fn spawn(
        options: ArchiveOptions,
        report: impl Fn(String) + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let name = options.dir.display().to_string();
        check(&options.dir).with_context(|| format!("`{name}` cannot be used for --capture"))?;
        let shared = Arc::new(Shared {
            dir: options.dir.clone(),
            queue: Mutex::default(),
            news: Condvar::new(),
            report: Box::new(report),
        });
        let mut run = [0; 8];
        getrandom::fill(&mut run).context("the system has no randomness")?;
        let segments = Segments::new(options.dir, options.size, Writer::new(run));
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("archive".into());
        thread.spawn(move || of_thread.run(segments)).context("cannot create the thread for captures")?;
        Ok(Arc::new(Self { shared }))
    }

    /// Puts the exchanges that earlier runs have kept into a store.
    pub(crate) fn restore(&self, store: &Store) {
        let directory = self.shared.dir.join(KEPT);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "warc"));
        paths.sort();
        for path in paths {
            let mut files = match warc::read_path(&path) {
                Ok(files) => files,
                Err(error) => {
                    (self.shared.report)(format!("{error:#}"));
                    continue;
                }
            };
            let records: Vec<Record> = files.by_ref().collect();
            files.problems().into_iter().for_each(&self.shared.report);
            let is_alone = records.len() == 1;
            for record in records {
                match store.restore(record) {
                    // A file with several exchanges is the user's own, and stays.
                    Some(seq) if is_alone => lock(&self.shared.queue).restored.push((seq, path.clone())),
                    Some(_) => {}
                    None => {
                        (self.shared.report)(format!("`{}` needs more memory than --ui-memory leaves", path.display()));
                    }
                }
            }
        }
    }

    /// What has become of the records so far.
    #[must_use]
    pub(crate) fn status(&self) -> Status {
        lock(&self.shared.queue).status.clone()
    }

    /// The directory.
    #[must_use]
    pub(crate) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Waits until everything is written, at most for `timeout`, and ends the thread.
    pub(crate) fn end(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut queue = lock(&self.shared.queue);
        queue.is_over = true;
        self.shared.news.notify_all();
        while !queue.is_ended {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            queue = match self.shared.news.wait_timeout(queue, left) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let waiting = queue.tasks.len() as u64;
        queue.status.lost += waiting;
        queue.tasks.clear();
        let lost = queue.status.lost - queue.reported;
        queue.reported = queue.status.lost;
        let problem = queue.status.problem.clone();
        drop(queue);
        if lost > 0 {
            (self.shared.report)(self.shared.not_written(lost, problem.as_deref()));
        }
    }

    fn push(&self, task: Task) {
        let mut queue = lock(&self.shared.queue);
        let size = task.size();
        // One task always has room, however large it is.
        if queue.bytes > 0 && queue.bytes + size > QUEUE_MAX {
            queue.status.lost += 1;
            return;
        }
        queue.bytes += size;
        queue.tasks.push_back(task);
        drop(queue);
        self.shared.news.notify_all();
    }
}

impl Shared {
    fn run(&self, mut segments: Segments) {
        let mut reported_at: Option<Instant> = None;
        let mut retry_at: Option<Instant> = None;
        while let Some(task) = self.next(retry_at) {
            for (seq, path) in std::mem::take(&mut lock(&self.queue).restored) {
                segments.kept.insert(seq, path);
            }
            let done = match &task {
                Task::Add(record) => segments.append(record),
                Task::Keep(record) => segments.keep(record),
            };
            let mut queue = lock(&self.queue);
            let line = match done {
                Ok(()) => {
                    queue.bytes = queue.bytes.saturating_sub(task.size());
                    queue.status.written += u64::from(matches!(task, Task::Add(_)));
                    retry_at = None;
                    let was_problem = queue.status.problem.take().is_some();
                    let lost = queue.status.lost - queue.reported;
                    let is_time = reported_at.is_none_or(|at| at.elapsed() >= PAUSE);
                    if was_problem || (lost > 0 && is_time) {
                        queue.reported = queue.status.lost;
                        reported_at = Some(Instant::now());
                        Some(if was_problem { self.again(lost) } else { self.not_written(lost, None) })
                    } else {
                        None
                    }
                }
                Err(error) => {
                    let is_new = queue.status.problem.replace(error.to_string()).is_none();
                    queue.tasks.push_front(task);
                    if queue.is_over {
                        break;
                    }
                    retry_at = Some(Instant::now() + PAUSE);
                    is_new.then(|| {
                        let dir = self.dir.display();
                        format!("captures cannot be written to `{dir}`: {error}; trying again every 10 s")
                    })
                }
            };
            drop(queue);
            if let Some(line) = line {
                (self.report)(line);
            }
            if std::mem::take(&mut segments.has_removed) {
                let dir = self.dir.display();
                (self.report)(format!(
                    "captures in `{dir}` reached --capture-size; the oldest of this run are removed"
                ));
            }
        }
        lock(&self.queue).is_ended = true;
        self.news.notify_all();
    }

    /// The next task, not before `retry_at`. `None` at the end.
    fn next(&self, retry_at: Option<Instant>) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            let left = retry_at.and_then(|at| at.checked_duration_since(Instant::now()));
            let is_time = queue.is_over || left.is_none_or(|left| left.is_zero());
            if is_time && let Some(task) = queue.tasks.pop_front() {
                return Some(task);
            }
            if queue.is_over {
                return None;
            }
            queue = match left {
                Some(left) => match self.news.wait_timeout(queue, left) {
                    Ok((queue, _)) => queue,
                    Err(poisoned) => poisoned.into_inner().0,
                },
                None => self.news.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner()),
            };
        }
    }

    fn again(&self, lost: u64) -> String {
        let dir = self.dir.display();
        match lost {
            0 => format!("captures are written to `{dir}` again"),
            1 => format!("captures are written to `{dir}` again; one exchange was not"),
            _ => format!("captures are written to `{dir}` again; {lost} exchanges were not"),
        }
    }

    fn not_written(&self, lost: u64, problem: Option<&str>) -> String {
        let exchanges = if lost == 1 { "exchange was" } else { "exchanges were" };
        let why = problem.unwrap_or("the disk is too slow");
        format!("{lost} {exchanges} not written to `{}`: {why}", self.dir.display())
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;
    use crate::capture::{sample, store::CaptureOptions};

    /// An archive in a new directory, and what it reports.
    struct Place {
        dir: PathBuf,
        reports: Arc<Mutex<Vec<String>>>,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("wasmserve-archive-{name}-{}", process::id()));
            _ = fs::remove_dir_all(&dir);
            Self { dir, reports: Arc::default() }
        }

        fn archive(&self, size: u64) -> Arc<Archive> {
            let reports = Arc::clone(&self.reports);
            let options = ArchiveOptions { dir: self.dir.clone(), size };
            Archive::spawn(options, move |line| lock(&reports).push(line)).expect("the directory can be used")
        }

        fn reports(&self) -> Vec<String> {
            lock(&self.reports).clone()
        }

        /// The ids of what is in the segments.
        fn ids(&self) -> Vec<u64> {
            warc::read_path(&self.dir).map(|files| files.map(|record| record.id).collect()).unwrap_or_default()
        }

        fn kept(&self) -> Vec<String> {
            let entries = fs::read_dir(self.dir.join(KEPT)).into_iter().flatten().flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.dir);
            _ = fs::remove_file(&self.dir);
        }
    }

    const SOON: Duration = Duration::from_secs(60);

    fn record(id: u64) -> Arc<Record> {
        let record =
            sample::record(b"POST /a/../b?c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", &[b'x'; 1000]);
        Arc::new(Record { seq: id, id, ..record })
    }

    #[test]
    fn the_oldest_segments_of_a_run_are_removed_beyond_its_size() {
        let place = Place::new("size");
        let archive = place.archive(40_000);
        for id in 1..=100 {
            archive.take(&record(id));
        }
        archive.end(SOON);
        let ids = place.ids();
        assert!(ids.len() > 3 && ids.len() < 20, "{ids:?}");
        assert_eq!(ids, (101 - ids.len() as u64..=100).collect::<Vec<_>>(), "the newest are there");
        let reports = place.reports();
        assert!(reports.len() == 1 && reports[0].contains("reached --capture-size"), "{reports:?}");
        assert_eq!(archive.status(), Status { written: 100, lost: 0, problem: None });
        // An earlier run's files stay, and do not count.
        let archive = place.archive(40_000);
        archive.take(&record(101));
        archive.end(SOON);
        assert_eq!(place.ids().len(), ids.len() + 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = Place::new("mode");
        let archive = place.archive(1 << 20);
        archive.take(&record(1));
        archive.kept(&Arc::new(Record { kept: Some(String::new()), ..Record::clone(&record(1)) }));
        archive.end(SOON);
        let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        for directory in [&place.dir, &place.dir.join(KEPT)] {
            assert_eq!(mode(directory), 0o700);
            let files = fs::read_dir(directory).expect("it exists").flatten().map(|entry| entry.path());
            let modes: Vec<u32> = files.filter(|path| path.is_file()).map(|path| mode(&path)).collect();
            assert_eq!(modes, [0o600]);
        }
    }

    #[test]
    fn a_directory_that_was_removed_is_created_again() {
        let place = Place::new("removed");
        let archive = place.archive(1 << 20);
        archive.take(&record(1));
        while archive.status().written < 1 {
            thread::yield_now();
        }
        fs::remove_dir_all(&place.dir).expect("it exists");
        archive.take(&record(2));
        archive.end(SOON);
        assert_eq!((place.ids(), place.reports()), (vec![2], vec![]));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_reported() {
        let place = Place::new("broken");
        let archive = place.archive(1 << 20);
        fs::remove_dir_all(&place.dir).expect("it exists");
        fs::write(&place.dir, "a file in its place").expect("it is free");
        archive.take(&record(1));
        while archive.status().problem.is_none() {
            thread::yield_now();
        }
        archive.take(&record(2));
        archive.end(SOON);
        let reports = place.reports();
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports[0].starts_with("captures cannot be written to `"), "{reports:?}");
        assert!(reports[0].ends_with("; trying again every 10 s"), "{reports:?}");
        assert!(reports[1].starts_with("2 exchanges were not written to `"), "{reports:?}");
        assert_eq!((archive.status().written, archive.status().lost), (0, 2));
    }

    #[test]
    fn a_slow_disk_costs_records_and_not_memory() {
        // Without a thread, nothing is ever written.
        let shared =
            Shared { dir: "slow".into(), queue: Mutex::default(), news: Condvar::new(), report: Box::new(|_| {}) };
        let archive = Archive { shared: Arc::new(shared) };
        let large = sample::record(&vec![b'x'; 3 << 20], b"");
        for _ in 0..20 {
            archive.take(&Arc::new(large.clone()));
        }
        assert_eq!(archive.status().lost, 15);
        archive.end(Duration::ZERO);
        assert_eq!(archive.status().lost, 20);
    }

    #[test]
    fn kept_exchanges_have_files_of_their_own_and_are_there_again_after_a_restart() {
        let place = Place::new("kept");
        let archive = place.archive(1 << 20);
        let kept = |id: u64, note: Option<&str>| Record { kept: note.map(str::to_owned), ..Record::clone(&record(id)) };
        for (id, note) in [(1, Some("")), (2, Some("two")), (3, Some("three")), (3, None), (2, Some("other"))] {
            archive.kept(&Arc::new(kept(id, note)));
        }
        // Another run may have used the id.
        archive.kept(&Arc::new(Record { seq: 9, ..kept(1, Some("again")) }));
        archive.end(SOON);
        assert_eq!(place.kept(), ["1-POST-a-b-2.warc", "1-POST-a-b.warc", "2-POST-a-b.warc"]);

        let archive = place.archive(1 << 20);
        fs::write(place.dir.join(KEPT).join("own.warc"), "no capture").expect("it is writable");
        let store = Store::spawn(CaptureOptions::DEFAULT, vec![Arc::clone(&archive) as _]).expect("a thread");
        archive.restore(&store);
        let notes: Vec<_> = store.kept().iter().map(|record| (record.id, record.kept.clone())).collect();
        let note = |note: &str| Some(note.to_owned());
        assert_eq!(notes, [(1, note("again")), (1, note("")), (2, note("other"))]);
        assert!(place.reports()[0].contains("this is not a WARC record"), "{:?}", place.reports());
        // What is no longer kept has no file any more.
        let seq = store.kept()[0].seq;
        store.keep(seq, None).expect("there is memory");
        store.end(Duration::from_secs(60));
        archive.end(SOON);
        assert_eq!(place.kept(), ["1-POST-a-b.warc", "2-POST-a-b.warc", "own.warc"]);
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_an_error() {
        let place = Place::new("file");
        fs::write(&place.dir, "").expect("it is free");
        let options = ArchiveOptions { dir: place.dir.clone(), size: 1 << 20 };
        let error = Archive::spawn(options, |_| {}).err().expect("it is a file");
        assert!(format!("{error:#}").contains("cannot be used for --capture: "), "{error:#}");
    }
}
