//! The flags for directories that are served: `--spa` for all of them, `--spa=/app` for the one at a mount.

use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;
use wasmserve_gateway::mounts::{Mount, Mounts};

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        options::FileOptions,
    },
    source::locate::{Named, Source},
};

/// The flags for directories.
#[derive(Debug, Args)]
pub(super) struct DirectoryArgs {
    /// Answer with a directory's index.html for pages that do not exist
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    spa: Vec<Which>,

    /// Let pages of all origins read a directory's files (CORS)
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    cors: Vec<Which>,

    /// Reload a directory's pages in browsers when a file changes
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    live: Vec<Which>,
}

/// The directories that a flag is for: all, or the one at a mount.
#[derive(Clone, Debug)]
struct Which(Option<Mount>);

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(Self(None)) } else { Ok(Self(Some(text.parse()?))) }
    }
}

impl DirectoryArgs {
    /// Checks that each flag is for a directory.
    ///
    /// # Errors
    ///
    /// It is not ([`Exit::Usage`]).
    pub(super) fn check(&self, handlers: &Mounts<Named>) -> Result<(), StartError> {
        for (flag, values) in [("--spa", &self.spa), ("--cors", &self.cors), ("--live", &self.live)] {
            values.iter().try_for_each(|which| which.check(flag, handlers)).or_exit(Exit::Usage)?;
        }
        Ok(())
    }

    /// How the directory at this mount is served.
    pub(super) fn of(&self, mount: &Mount) -> FileOptions {
        let is_for = |values: &[Which]| values.iter().any(|Which(path)| path.as_ref().is_none_or(|path| path == mount));
        FileOptions { spa: is_for(&self.spa), cors: is_for(&self.cors), live: is_for(&self.live) }
    }
}

impl Which {
    fn check(&self, flag: &str, handlers: &Mounts<Named>) -> anyhow::Result<()> {
        let is_directory = |named: &Named| Source::new(named.clone()).is_directory();
        let Some(path) = &self.0 else {
            return match handlers.iter().any(|(_, named)| is_directory(named)) {
                true => Ok(()),
                false => Err(anyhow!("{flag} is for directories; name one, as in `wasmserve {flag} site/`")),
            };
        };
        match handlers.iter().find(|(mount, _)| mount == path) {
            Some((_, named)) if is_directory(named) => Ok(()),
            Some((_, named)) => Err(anyhow!("{flag}={path} is for a directory, but `{named}` is mounted there")),
            None => {
                let mounts: Vec<String> = handlers.iter().map(|(mount, _)| format!("`{mount}`")).collect();
                Err(anyhow!("{flag}={path}: no handler is mounted there; mounted are {}", mounts.join(", ")))
            }
        }
    }
}
