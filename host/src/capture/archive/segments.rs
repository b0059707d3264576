//! The files of a run: segments one after the other, and one file for each exchange that is kept.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::bail;

use crate::capture::{message::Message, record::Record, time, warc::Writer};

/// The subdirectory for exchanges that are kept.
pub(in crate::capture) const KEPT: &str = "kept";

/// The largest segment, in bytes. A larger exchange has a segment of its own.
const SEGMENT_MAX: u64 = 64 << 20;

/// The files of a run.
pub(super) struct Segments {
    dir: PathBuf,
    /// The bytes of all segments together.
    size: u64,
    writer: Writer,
    /// The beginning of the names of all segments.
    prefix: String,
    number: u64,
    open: Option<Segment>,
    /// Those that are complete, oldest first, with their lengths.
    closed: VecDeque<(PathBuf, u64)>,
    /// The bytes of those there are.
    total: u64,
    /// Whether the first segment has just been removed.
    pub has_removed: bool,
    has_ever_removed: bool,
    /// The files of kept exchanges, by seq.
    pub kept: HashMap<u64, PathBuf>,
    buffer: Vec<u8>,
}

struct Segment {
    file: File,
    path: PathBuf,
    length: u64,
    /// Whether it contains no exchange yet.
    is_empty: bool,
}

impl Segments {
    /// The files of a run that has not begun to write.
    pub(super) fn new(dir: PathBuf, size: u64, writer: Writer) -> Self {
        let date: String = time::rfc3339(now() / 1_000_000 * 1_000_000).replace(['-', ':'], "");
        Self {
            dir,
            size,
            writer,
            prefix: format!("wasmserve-{date}-{}", process::id()),
            number: 0,
            open: None,
            closed: VecDeque::new(),
            total: 0,
            has_removed: false,
            has_ever_removed: false,
            kept: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Appends a record to the segment at hand, or to a new one. The file has all of it or nothing, unless the process is
    /// killed meanwhile.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.writer.add(record.seq, record, &mut buffer);
        let appended = self.append_bytes(&buffer);
        // One large exchange must not take memory for good.
        if buffer.capacity() <= 1 << 20 {
            self.buffer = buffer;
        }
        appended?;
        self.remove_oldest();
        Ok(())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let added = bytes.len() as u64;
        let max = SEGMENT_MAX.min(self.size / 4);
        if let Some(open) = &self.open
            && (open.length + added > max || is_removed(&open.file))
        {
            self.close();
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                self.number += 1;
                let path = self.dir.join(format!("{}-{:05}.warc", self.prefix, self.number));
                create_dir(&self.dir)?;
                let file = create(&path)?;
                let open = none.insert(Segment { file, path, length: 0, is_empty: true });
                let begin = self.writer.begin(self.number, now());
                if let Err(error) = open.file.write_all(&begin) {
                    _ = fs::remove_file(&open.path);
                    self.open = None;
                    return Err(error);
                }
                open.length = begin.len() as u64;
                self.total += open.length;
                open
            }
        };
        if let Err(error) = open.file.write_all(bytes) {
            // Without the half that was written, the file is whole.
            _ = open.file.set_len(open.length);
            if open.is_empty {
                _ = fs::remove_file(&open.path);
                self.total -= open.length;
                self.open = None;
            }
            self.close();
            return Err(error);
        }
        open.length += added;
        open.is_empty = false;
        self.total += added;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(Segment { path, length, .. }) = self.open.take() {
            self.closed.push_back((path, length));
        }
    }

    fn remove_oldest(&mut self) {
        while self.total > self.size
            && let Some((path, length)) = self.closed.pop_front()
        {
            // The user may have removed it.
            _ = fs::remove_file(path);
            self.total -= length;
            self.has_removed |= !std::mem::replace(&mut self.has_ever_removed, true);
        }
    }

    /// Writes a kept exchange to a file of its own, or removes the file.
    pub(super) fn keep(&mut self, record: &Record) -> io::Result<()> {
        if let Some(path) = self.kept.remove(&record.seq) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if record.kept.is_none() {
            return Ok(());
        }
        let directory = self.dir.join(KEPT);
        create_dir(&directory)?;
        let name = name(record);
        let mut names = (1..).map(|n| if n == 1 { format!("{name}.warc") } else { format!("{name}-{n}.warc") });
        let (path, mut file) = loop {
            let path = directory.join(names.next().unwrap_or_default());
            match create(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let mut bytes = self.writer.begin(self.number, now());
        self.writer.add(record.seq, record, &mut bytes);
        if let Err(error) = file.write_all(&bytes) {
            _ = fs::remove_file(path);
            return Err(error);
        }
        self.kept.insert(record.seq, path);
        Ok(())
    }
}

/// The name of a kept exchange's file: `17-POST-hook`.
fn name(record: &Record) -> String {
    let request = Message::request(record);
    let [method, target, _] = request.words();
    let target = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let part = |bytes: &[u8]| {
        let words = bytes.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.map(|word| str::from_utf8(word).unwrap_or_default()).collect();
        let text = words.join("-");
        text[..text.len().min(60)].to_owned()
    };
    let parts = [record.id.to_string(), part(method), part(target)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Creates the directory, and checks that files can be created in it.
pub(super) fn check(directory: &Path) -> anyhow::Result<()> {
    create_dir(directory)?;
    if !directory.is_dir() {
        bail!("it is not a directory");
    }
    #[cfg(unix)]
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}

/// Creates a directory that only its owner can read, unless it exists.
fn create_dir(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// Creates a file that only its owner can read. Follows no link, and replaces nothing.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

/// Whether a file has no name any more, so that nothing can read what is written to it.
#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0)
}

#[cfg(not(unix))]
fn is_removed(_: &File) -> bool {
    false
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time::micros(now)
}
