//! The flags that decide what is captured of exchanges, and where.

use std::path::PathBuf;

use clap::Args;

use crate::{
    base::size,
    capture::{archive::ArchiveOptions, redact::Redaction, store::CaptureOptions},
};

/// The flags that decide what is captured of exchanges, and where.
#[derive(Debug, Args)]
pub(super) struct CaptureArgs {
    /// Write every exchange to files in a directory, to the byte, for `wasmserve convert` and `wasmserve replay`
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,

    /// With --capture: how much disk space the files may take; the oldest ones of this run are removed
    #[arg(long, value_name = "SIZE", default_value = size::text(ArchiveOptions::SIZE), value_parser = size::parse)]
    capture_size: u64,

    /// How many bytes to capture of each body; the rest is only counted
    #[arg(long, value_name = "SIZE", default_value = size::text(CaptureOptions::DEFAULT.body as u64), value_parser = size::parse)]
    capture_body: u64,

    #[command(flatten)]
    redact: RedactArgs,
}

/// The flag for secrets.
#[derive(Debug, Args)]
pub(super) struct RedactArgs {
    /// Further fields and query parameters whose values are replaced in what is exported from captures
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    redact: Vec<String>,
}

impl RedactArgs {
    /// What is replaced.
    pub(super) fn redaction(&self) -> Redaction {
        Redaction::with(&self.redact)
    }
}

impl CaptureArgs {
    /// Where exchanges are written, if anywhere.
    pub(super) fn archive(&self) -> Option<ArchiveOptions> {
        self.capture.clone().map(|dir| ArchiveOptions { dir, size: self.capture_size })
    }

    /// What is captured, and how much memory that may take: `memory` if it is also shown. If it is only written to files,
    /// memory is needed for what the disk is behind with. `None` if nothing is captured.
    pub(super) fn options(&self, memory: Option<usize>) -> Option<CaptureOptions> {
        let body = usize::try_from(self.capture_body).unwrap_or(usize::MAX);
        let of_files = self.capture.as_ref().map(|_| body.saturating_mul(4).clamp(16 << 20, 1 << 30));
        memory.or(of_files).map(|memory| CaptureOptions { memory, body })
    }

    /// What is replaced in exports.
    pub(super) fn redaction(&self) -> Redaction {
        self.redact.redaction()
    }
}
