//! Python applications, and the servers that run them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::Result;
use wasmserve_tests::place;

use super::Grid;
use crate::process::{Process, free_addr};

/// An application that greets, and echoes what is posted to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// A function without a framework.
    Hello,
    /// One of Flask.
    Flask,
    /// One of Django.
    Django,
    /// One of Pyramid.
    Pyramid,
}

impl App {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hello, Self::Flask, Self::Django, Self::Pyramid];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Flask => "Flask",
            Self::Django => "Django",
            Self::Pyramid => "Pyramid",
        }
    }

    /// The package that it imports, if it is not a part of Python.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Hello => None,
            Self::Flask => Some("flask"),
            Self::Django => Some("django"),
            Self::Pyramid => Some("pyramid"),
        }
    }

    /// Its module.
    fn module(self) -> String {
        self.package().map_or("greets".into(), |package| format!("greets_with_{package}"))
    }

    /// Its source.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Hello => include_str!("../../python/greets.py"),
            Self::Flask => include_str!("../../python/greets_with_flask.py"),
            Self::Django => include_str!("../../python/greets_with_django.py"),
            Self::Pyramid => include_str!("../../python/greets_with_pyramid.py"),
        }
    }
}

/// A server of Python applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The real server, without flags.
    Wasmserve,
    /// Gunicorn with a process for each core, each with one request at a time.
    Gunicorn,
    /// The same, which starts its processes anew when the application changes.
    ReloadingGunicorn,
    /// A process that has imported the application, and forks for each request.
    Fork,
}

impl Server {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasmserve => "wasmserve",
            Self::Gunicorn => "gunicorn",
            Self::ReloadingGunicorn => "gunicorn --reload",
            Self::Fork => "fork per request",
        }
    }
}

/// A server with an application, to be started as often as needed.
pub struct Stage<'a> {
    grid: &'a Grid,
    venv: Option<PathBuf>,
}

impl<'a> Stage<'a> {
    /// Writes the applications into the directory of a grid. `venv` is the virtual environment with the packages.
    ///
    /// # Errors
    ///
    /// The directory is not writable.
    pub fn new(grid: &'a Grid, venv: Option<PathBuf>) -> Result<Self> {
        let stage = Self { grid, venv };
        for app in App::ALL {
            fs::create_dir_all(stage.directory(app))?;
            fs::write(stage.file(app), app.source())?;
        }
        grid.file("forks.py", include_str!("../../python/forks.py"))?;
        Ok(stage)
    }

    /// The file of an application.
    #[must_use]
    pub fn file(&self, app: App) -> PathBuf {
        self.directory(app).join(app.module()).with_extension("py")
    }

    /// Each has a directory of its own, so that an edit changes no other one.
    fn directory(&self, app: App) -> PathBuf {
        self.grid.place().join(format!("app-{}", app.module()))
    }

    /// Whether this machine has what a server with an application needs.
    #[must_use]
    pub fn is_there(&self, server: Server, app: App) -> bool {
        let has_package = app.package().is_none_or(|package| self.packages().any(|at| at.join(package).is_dir()));
        let has_server = match server {
            Server::Gunicorn | Server::ReloadingGunicorn => self.packages().any(|at| at.join("gunicorn").is_dir()),
            Server::Wasmserve | Server::Fork => true,
        };
        has_package && has_server
    }

    /// The directories of the virtual environment with packages.
    fn packages(&self) -> impl Iterator<Item = PathBuf> {
        let versions = self.venv.as_ref().and_then(|venv| fs::read_dir(venv.join("lib")).ok());
        versions.into_iter().flatten().flatten().map(|version| version.path().join("site-packages"))
    }

    /// Starts a server with an application. wasmserve gets this cache.
    ///
    /// # Errors
    ///
    /// It does not start. The error includes its output.
    pub fn start(&self, server: Server, app: App, words: &[String], cache: &Path) -> Result<Process> {
        let addr = free_addr()?;
        let at = addr.to_string();
        let mut command = match server {
            Server::Wasmserve => {
                let mut command = Command::new(&self.grid.wasmserve);
                command.args(["--addr", &at]).arg(self.file(app)).env("XDG_CACHE_HOME", cache);
                command
            }
            Server::Gunicorn | Server::ReloadingGunicorn => {
                let workers = thread::available_parallelism().map_or(1, usize::from).to_string();
                let mut command = self.python();
                command.args(["-m", "gunicorn", "-w", &workers, "-b", &at, "--access-logfile", "-"]);
                command.args((server == Server::ReloadingGunicorn).then_some("--reload"));
                command.arg(format!("{}:app", app.module()));
                command
            }
            Server::Fork => {
                let mut command = self.python();
                command.arg(self.grid.place().join("forks.py"));
                command.args([addr.ip().to_string(), addr.port().to_string(), app.module()]);
                command
            }
        };
        command.args(words).current_dir(self.directory(app));
        command.envs(self.venv.iter().map(|venv| ("VIRTUAL_ENV", venv)));
        self.grid.launch(command, addr)
    }

    /// Starts it with the cache that all servers share.
    ///
    /// # Errors
    ///
    /// As for [`Stage::start()`].
    pub fn start_warm(&self, server: Server, app: App) -> Result<Process> {
        self.start(server, app, &[], &place::shared_cache())
    }

    /// The Python of the virtual environment, or the one on the PATH.
    fn python(&self) -> Command {
        let python = self.venv.as_ref().map_or("python3".into(), |venv| venv.join("bin/python"));
        let mut command = Command::new(python);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}
