//! `wasmserve convert`: exports captured exchanges.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        output::{self, Output},
    },
    capture::{
        export::{Exported, Exporter},
        warc,
    },
    program::task::Convert,
    source::build::options::Messages,
};

/// Reads captures and writes them in another format. What was replaced, or cannot be expressed, is reported on stderr.
///
/// # Errors
///
/// A capture cannot be read or has none of the exchanges, or the result cannot be written.
pub(crate) fn run(task: &Convert) -> Result<Exit, StartError> {
    let Convert { files, format, only, output: named, redaction, messages } = task;
    let path = named.clone().unwrap_or_else(|| PathBuf::from("-"));
    // A wrong name is reported before the work.
    let output = Output::at(&path).or_exit(Exit::Failed)?;
    if output.is_terminal() && !format.is_text() {
        let why = anyhow!("{format} is not text for a terminal; redirect stdout, or name a file with -o");
        return Err(StartError::new(Exit::Usage, &why));
    }
    let mut exporter = Exporter::new(*format, redaction.clone());
    let (mut missing, mut count): (BTreeSet<u64>, u64) = (only.iter().copied().collect(), 0);
    for file in files {
        let mut records = warc::read_path(file).or_exit(Exit::Failed)?;
        for record in records.by_ref() {
            if only.is_empty() || only.contains(&record.id) {
                missing.remove(&record.id);
                count += 1;
                exporter.add(&record);
            }
        }
        records.problems().iter().for_each(|problem| messages.report(problem));
    }
    if let Some(id) = missing.first() {
        let why = anyhow!("there is no exchange {id} in what was captured; ids are those of the log");
        return Err(StartError::new(Exit::Failed, &why));
    }
    if count == 0 {
        return Err(StartError::new(Exit::Failed, &anyhow!("there is no complete exchange in what was captured")));
    }
    let Exported { bytes, beside, replaced, notes } = exporter.finish();
    output
        .write(&bytes, || messages.report(&format!("waiting for a reader of `{}`…", path.display())))
        .or_exit(Exit::Failed)?;
    write_beside(&output, &path, beside, messages).or_exit(Exit::Failed)?;
    notes.iter().for_each(|note| messages.report(note));
    if !replaced.is_empty() {
        let replaced = replaced.join(", ");
        messages.report(&format!(
            "replaced the secrets {replaced}; bodies and log lines were not searched; --with-secrets keeps them"
        ));
    }
    if output != Output::Stdout {
        // The file is written even if stdout is closed. The name is printed as it is, because scripts use it.
        _ = output::print(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
    }
    Ok(Exit::Done)
}

/// Writes further files into the directory of the result.
fn write_beside(
    output: &Output,
    path: &Path,
    beside: Vec<(String, Vec<u8>)>,
    messages: &Messages,
) -> anyhow::Result<()> {
    if !matches!(output, Output::File { .. }) {
        let names: Vec<String> = beside.into_iter().map(|(name, _)| name).collect();
        if !names.is_empty() {
            messages.report(&format!(
                "{} not written; name a file with -o to have what is beside it too",
                names.join(", ")
            ));
        }
        return Ok(());
    }
    for (name, bytes) in beside {
        let path = path.with_file_name(name);
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).with_context(|| format!("`{}` cannot be created", directory.display()))?;
        }
        Output::at(&path)?.write(&bytes, || {})?;
    }
    Ok(())
}
