//! Opens captures by their paths.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    vec,
};

use anyhow::{Context as _, bail};

use super::read::{Piece, Reader};
use crate::capture::record::Record;

/// Opens a capture, which consists of the files at [`paths`].
///
/// # Errors
///
/// As for [`paths`].
pub fn read_path(path: &Path) -> anyhow::Result<Files> {
    Ok(Files { paths: paths(path)?.into_iter(), reader: None, problems: Vec::new() })
}

/// The files of a capture: a file, or all `*.warc` of a directory in the order of their names, which is that of time. Not
/// what is in directories below it.
///
/// # Errors
///
/// The path cannot be read, or is a directory without such files.
pub fn paths(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = || format!("`{}` cannot be read", path.display());
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = path.read_dir().with_context(name)?;
        let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths = entries.with_context(name)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "warc"));
        paths.sort();
        if paths.is_empty() {
            bail!("`{}` contains no captures; --capture writes files that end in .warc", path.display());
        }
    } else {
        // A wrong name is an error, and not a problem among others.
        File::open(path).with_context(name)?;
    }
    Ok(paths)
}

/// The records of one or several files, oldest first. What cannot be read is skipped, and reported as a problem.
#[derive(Debug)]
pub struct Files {
    paths: vec::IntoIter<PathBuf>,
    reader: Option<(PathBuf, Reader<BufReader<File>>)>,
    problems: Vec<String>,
}

impl Files {
    /// What could not be read so far, one line each, and removes it.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }
}

impl Iterator for Files {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let Some((path, reader)) = &mut self.reader else {
                let path = self.paths.next()?;
                match File::open(&path) {
                    Ok(file) => self.reader = Some((path, Reader::new(BufReader::with_capacity(64 << 10, file)))),
                    Err(error) => self.problems.push(format!("`{}` cannot be read: {error}", path.display())),
                }
                continue;
            };
            match reader.next() {
                Some(Piece::Exchange(record)) => return Some(*record),
                Some(Piece::Problem(why)) => self.problems.push(format!("`{}`: {why}", path.display())),
                None => self.reader = None,
            }
        }
    }
}
