//! Installs an app's dependencies into the user's cache, once for each declaration.
//!
//! ```text
//! dependencies/0f3c…/packages/    what was installed
//! dependencies/0f3c….new/         what is being installed
//! dependencies/0f3c….lock         held by the process that installs, and shared by those that serve what is installed
//! ```

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, anyhow};

use super::{
    declared::{Declared, lock_of},
    name::is_python,
    phrases,
};
use crate::{
    base::{dirs, hex::hex},
    source::build::{Failure, options::Messages},
};

/// The version of Python that apps run on.
pub(super) const PYTHON: &str = "3.14";

/// How many sets of dependencies are kept, and how many bytes of disk they may take. Beyond this, those that were not
/// used for the longest time are removed.
const SETS_MAX: usize = 40;
const SIZE_MAX: u64 = 2 << 30;

/// How many bytes of an installer's messages are kept.
const KEPT_MAX: usize = 64 << 10;

/// Runs pip without the working directory on `sys.path`, where an app could have a module that pip would import.
const PIP: &str = "import sys; sys.path[:] = [path for path in sys.path if path]; import runpy; \
                   runpy.run_module('pip', run_name='__main__', alter_sys=True)";

/// What installs packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    /// uv, at this path.
    Uv(PathBuf),
    /// The pip of this Python.
    Pip(PathBuf),
}

impl Installer {
    /// The one that there is: uv, which knows what packages need for another version of Python than the running one,
    /// or pip.
    pub(super) fn find() -> Option<Self> {
        let python = || dirs::program("python3").or_else(|| dirs::program("python"));
        dirs::program("uv").map(Self::Uv).or_else(|| python().map(Self::Pip))
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Uv(_) => "uv",
            Self::Pip(_) => "pip",
        }
    }
}

/// Dependencies that are installed, and that nothing removes as long as this exists.
#[derive(Debug)]
pub(super) struct Installed {
    /// The directory to import them from.
    pub(super) packages: PathBuf,
    _lock: File,
}

/// Installs what is declared, unless it is installed already. Blocks until it is; `forget` has to drop what the process
/// has of the same dependencies.
///
/// # Errors
///
/// It cannot be installed. The line is to be read after the app's name.
pub(super) fn install(declared: &Declared, installer: &Installer, messages: &Messages) -> Result<Installed, Failure> {
    let base = dirs::cache_directory("dependencies")?;
    let mut digest = declared.digest();
    sha2::Digest::update(&mut digest, format!("\0{} {PYTHON} 1", installer.name()));
    let set = base.join(hex(&sha2::Digest::finalize(digest)[..8]));
    let (lock_file, packages) = (set.with_extension("lock"), set.join("packages"));
    let failed = || format!("cannot be served: `{}` cannot be used", set.display());
    loop {
        let lock = lock(&lock_file, File::try_lock_shared, File::lock_shared, messages).with_context(failed)?;
        if packages.is_dir() {
            // Only decides what is removed first.
            _ = lock.set_len(0).and_then(|()| (&lock).write_all(b"\n"));
            return Ok(Installed { packages, _lock: lock });
        }
        drop(lock);
        let _lock = self::lock(&lock_file, File::try_lock, File::lock, messages).with_context(failed)?;
        if !packages.is_dir() {
            let new = set.with_extension("new");
            _ = fs::remove_dir_all(&new);
            fs::create_dir_all(new.join("packages")).with_context(failed)?;
            let run = Run { declared, installer, directory: &new, messages };
            run.install().inspect_err(|_| _ = fs::remove_dir_all(&new))?;
            // What is there is not a whole set.
            _ = fs::remove_dir_all(&set);
            fs::rename(&new, &set).with_context(failed)?;
            shrink(&base, &set);
        }
    }
}

/// Takes a lock, which is held as long as the file is open. Blocks while another process installs.
fn lock(
    path: &Path,
    attempt: fn(&File) -> Result<(), TryLockError>,
    wait: fn(&File) -> io::Result<()>,
    messages: &Messages,
) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    match attempt(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            messages.report("waiting for another installation to finish…");
            wait(&file)?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

/// Removes the sets that were not used for the longest time, until there are few enough, and small enough. Those that are
/// in use stay.
fn shrink(base: &Path, newest: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let sets = entries.filter(|path| path.is_dir() && path.extension().is_none() && path != newest);
    let used = |set: &PathBuf| fs::metadata(set.with_extension("lock")).and_then(|lock| lock.modified()).ok();
    let mut sets: Vec<(u64, PathBuf)> = sets.map(|set| (dirs::size(&set), set)).collect();
    sets.sort_by_key(|(_, set)| used(set));
    let (mut left, mut size) = (sets.len(), sets.iter().map(|(size, _)| size).sum::<u64>());
    for (of_set, set) in sets {
        if left < SETS_MAX && size < SIZE_MAX {
            return;
        }
        let lock = File::options().append(true).open(set.with_extension("lock"));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) && fs::remove_dir_all(&set).is_ok() {
            (left, size) = (left - 1, size - of_set);
        }
    }
}

/// One run of an installer.
struct Run<'a> {
    declared: &'a Declared,
    installer: &'a Installer,
    /// Where to install: into `packages` in it.
    directory: &'a Path,
    messages: &'a Messages,
}

impl Run<'_> {
    fn install(&self) -> Result<(), Failure> {
        let file = self.declared.file().unwrap_or(self.directory);
        let shown = file.file_name().unwrap_or(file.as_os_str()).display();
        let name = self.installer.name();
        self.messages.report(&format!("installing the dependencies in `{shown}` with {name}…"));
        let requirements = self.requirements()?;
        let mut output = match self.attempt(&requirements, true)? {
            Ok(()) => return Ok(()),
            Err(output) => output,
        };
        if !phrases::is_offline(&output) && phrases::needs_build(&output) {
            let text = format!(
                "not all dependencies in `{shown}` have wheels; trying to build them, which runs their own code…"
            );
            self.messages.report(&text);
            output = match self.attempt(&requirements, false)? {
                Ok(()) => return Ok(()),
                Err(output) => output,
            };
        }
        Err(self.failure(output))
    }

    /// The failure of an installer that has printed this.
    fn failure(&self, output: String) -> Failure {
        let file = self.declared.file().unwrap_or(self.directory);
        let shown = file.file_name().unwrap_or(file.as_os_str()).display();
        let name = self.installer.name();
        if phrases::is_offline(&output) {
            return anyhow!(
                "has dependencies in `{shown}`, and {name} cannot reach the package index; connect to the network, or \
                 activate a virtual environment that has them"
            )
            .into();
        }
        if phrases::has_no_pip(&output) {
            return none(&format!("`{shown}`")).into();
        }
        self.messages.text(&output);
        let line = anyhow!("has dependencies in `{shown}` that {name} cannot install; its messages say why");
        Failure { line, output, sources: Vec::new() }
    }

    /// The file with the requirements, as the installer can read it.
    fn requirements(&self) -> Result<PathBuf, Failure> {
        let written = self.directory.join("requirements.txt");
        let write = |text: &str| {
            fs::write(&written, text)
                .with_context(|| format!("cannot be served: `{}` cannot be written", written.display()))
        };
        match (self.declared, self.installer) {
            (Declared::Requirements(file), _) => return Ok(file.clone()),
            // With the sources and indexes that are configured there.
            (Declared::Script { file, .. }, Installer::Uv(_)) if is_python(file) => return Ok(file.clone()),
            (Declared::Project { file, .. }, Installer::Uv(uv)) => {
                if !lock_of(file).is_file() {
                    return Ok(file.clone());
                }
                let mut command = Command::new(uv);
                command.args(["export", "--frozen", "--no-dev", "--no-emit-project", "--no-editable", "--no-header"]);
                command.args(["--no-annotate", "--quiet", "--color", "never", "--output-file"]).arg(&written);
                self.run(command)?.map_err(|output| self.failure(output))?;
            }
            (Declared::Script { requirements, .. }, _)
            | (Declared::Project { requirements: Some(requirements), .. }, Installer::Pip(_)) => write(requirements)?,
            (Declared::Project { file, .. }, Installer::Pip(_)) => {
                return Err(anyhow!(
                    "has dependencies in `{}` that only the project's build system knows, and pip cannot ask it; install \
                     uv (https://docs.astral.sh/uv/), or write them to `project.dependencies`",
                    file.file_name().unwrap_or(file.as_os_str()).display()
                )
                .into());
            }
            (Declared::Environment(_) | Declared::Nothing, _) => write("")?,
        }
        Ok(written)
    }

    /// Installs from wheels only, or also from sources. Returns the installer's messages if it fails.
    fn attempt(&self, requirements: &Path, only_wheels: bool) -> Result<Result<(), String>, Failure> {
        let command = match self.installer {
            Installer::Uv(uv) => {
                let mut command = Command::new(uv);
                command.args(["pip", "install", "--python-version", PYTHON, "--color", "never", "--no-progress"]);
                if only_wheels {
                    command.arg("--no-build");
                }
                // Not the Python of an environment beside the app, which may come from the app's author.
                if dirs::virtual_environment().is_none() {
                    command.arg("--system");
                }
                command
            }
            Installer::Pip(python) => {
                let mut command = Command::new(python);
                command.args(["-c", PIP, "install", "--no-compile", "--no-input", "--disable-pip-version-check"]);
                command.args(["--no-color", "--progress-bar", "off", "--no-warn-script-location"]);
                // pip allows another version for wheels only.
                if only_wheels {
                    command.args(["--only-binary", ":all:", "--python-version", PYTHON]);
                }
                // Users who forbid to install elsewhere mean other installations.
                command.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0");
                command
            }
        };
        let packages = self.directory.join("packages");
        // A failed attempt must leave nothing for the next one.
        _ = fs::remove_dir_all(&packages);
        fs::create_dir_all(&packages)?;
        let mut command = command;
        command.arg("--target").arg(&packages).arg("--requirement").arg(requirements);
        self.run(command)
    }

    /// Runs a command in the directory of the declaration. Returns its messages if it fails.
    fn run(&self, mut command: Command) -> Result<Result<(), String>, Failure> {
        let directory = self.declared.file().and_then(Path::parent).unwrap_or(self.directory);
        let ended = command.current_dir(directory).stdin(Stdio::null()).output();
        let name = self.installer.name();
        let ended = ended.with_context(|| format!("has dependencies, but {name} cannot be run"))?;
        if ended.status.success() {
            return Ok(Ok(()));
        }
        let mut output = String::from_utf8_lossy(&ended.stderr).into_owned();
        if output.trim().is_empty() {
            output = String::from_utf8_lossy(&ended.stdout).into_owned();
        }
        output.truncate(output.floor_char_boundary(KEPT_MAX));
        Ok(Err(output))
    }
}

/// The error if there is neither installer; `declared` says where dependencies are declared.
pub(super) fn none(declared: &str) -> anyhow::Error {
    anyhow!(
        "has dependencies in {declared}, and there is neither uv nor a python3 with pip to install them; install uv: \
         https://docs.astral.sh/uv/"
    )
}

/// The name of a file for messages.
pub(super) fn shown(file: &Path) -> impl std::fmt::Display + '_ {
    file.file_name().unwrap_or(OsStr::new("")).display()
}
