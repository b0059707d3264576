//! Reads the body of a response from a file, a chunk at a time.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind},
};

use bytes::Bytes;

use super::range::Span;

/// How much is read at once. The response holds two chunks at most, one that is being sent and one that waits.
const CHUNK: usize = 128 << 10;

/// From this size on, the system is asked to read further ahead.
const LARGE: u64 = 1 << 20;

/// A part of a body.
#[derive(Debug)]
pub(super) enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// This part of the file.
    Span(Span),
}

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Body {
    file: Option<File>,
    parts: VecDeque<Part>,
    left: u64,
}

impl Body {
    /// A body of bytes only.
    #[must_use]
    pub(super) fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(None, [Part::Bytes(bytes.into())])
    }

    /// A body with parts of a file.
    #[must_use]
    pub(super) fn of_file(file: File, parts: impl IntoIterator<Item = Part>) -> Self {
        let body = Self::new(Some(file), parts);
        if let Some(file) = body.file.as_ref().filter(|_| body.left >= LARGE) {
            read_ahead(file);
        }
        body
    }

    fn new(file: Option<File>, parts: impl IntoIterator<Item = Part>) -> Self {
        let parts: VecDeque<Part> = parts.into_iter().collect();
        let left = parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Span(span) => span.length,
        });
        Self { file, left: left.sum(), parts }
    }

    /// How many bytes are left.
    #[must_use]
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Reads the next chunk, if that does not block: it is in memory. Otherwise [`next()`](Self::next) reads it.
    pub(super) fn next_in_memory(&mut self) -> Option<Bytes> {
        let (Some(Part::Span(span)), Some(file)) = (self.parts.front_mut(), &self.file) else { return None };
        let read = read_in_memory(file, span.start, usize::try_from(span.length).unwrap_or(CHUNK).min(CHUNK))?;
        span.skip(read.len() as u64);
        self.left -= read.len() as u64;
        Some(read.into())
    }

    /// Reads the next chunk, which is empty at the end. Blocks while reading.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is shorter than it was ([`ErrorKind::UnexpectedEof`]).
    pub(super) fn next(&mut self) -> io::Result<Bytes> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK
            && let Some(part) = self.parts.pop_front()
        {
            match (part, &self.file) {
                // Bytes alone need no copy.
                (Part::Bytes(bytes), None) => {
                    self.left -= bytes.len() as u64;
                    return Ok(bytes);
                }
                (Part::Bytes(bytes), Some(_)) => chunk.extend_from_slice(&bytes),
                (Part::Span(mut span), Some(file)) if span.length > 0 => {
                    let most = usize::try_from(span.length).unwrap_or(CHUNK).min(CHUNK - chunk.len());
                    let read = read_at(file, span.start, most)?;
                    if read.is_empty() {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    span.skip(read.len() as u64);
                    self.parts.push_front(Part::Span(span));
                    if chunk.is_empty() { chunk = read } else { chunk.extend_from_slice(&read) }
                }
                (Part::Span(_), _) => {}
            }
        }
        self.left -= chunk.len() as u64;
        Ok(chunk.into())
    }
}

/// Reads up to `most` bytes at a position of the file, without writing to the buffer before.
#[cfg(unix)]
fn read_at(file: &File, position: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut read = Vec::with_capacity(most);
    rustix::io::retry_on_intr(|| rustix::io::pread(file, rustix::buffer::spare_capacity(&mut read), position))?;
    // The buffer may be larger than it was asked for.
    read.truncate(most);
    Ok(read)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, position: u64, most: usize) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut read = Vec::with_capacity(most);
    file.seek(SeekFrom::Start(position))?;
    file.take(most as u64).read_to_end(&mut read)?;
    Ok(read)
}

/// Reads up to `most` bytes at a position of the file, if the system has them in memory.
#[cfg(target_os = "linux")]
fn read_in_memory(file: &File, position: u64, most: usize) -> Option<Vec<u8>> {
    use rustix::io::ReadWriteFlags;
    let mut read = vec![0; most];
    let length = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut read)], position, ReadWriteFlags::NOWAIT);
    read.truncate(length.ok().filter(|length| *length > 0)?);
    Some(read)
}

#[cfg(not(target_os = "linux"))]
fn read_in_memory(_: &File, _: u64, _: usize) -> Option<Vec<u8>> {
    None
}

/// Asks the system to read further ahead. Not every system and file can.
#[cfg(target_os = "linux")]
fn read_ahead(file: &File) {
    _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
}

#[cfg(not(target_os = "linux"))]
fn read_ahead(_: &File) {}
