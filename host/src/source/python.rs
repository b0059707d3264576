//! WSGI apps: from what the user names to a module, the directory that it is imported from, and its dependencies.

mod declared;
mod environment;
mod install;
mod module;
pub(crate) mod name;
mod native;
mod phrases;
mod shim;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, anyhow, bail};
use sha2::Digest as _;

use self::{
    declared::Declared,
    install::{Installed, Installer},
    module::{Located, Module},
    native::Native,
};
use super::{
    build::{Failure, options::Messages},
    scope::Scope,
};
use crate::{
    base::lock::lock,
    kind::wasm::python::{App, Unprepared},
};

/// Finds apps, and remembers what has not to be done or said again when an app changes.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// The dependencies that are in use, by their directories.
    installed: Mutex<BTreeMap<PathBuf, Installed>>,
    /// The notices that the user has got.
    noticed: Mutex<BTreeSet<String>>,
    /// The declarations that nothing here can install, by their digests.
    impossible: Mutex<BTreeSet<[u8; 32]>>,
}

/// The dependencies of an app.
struct Dependencies {
    /// The directories to import them from.
    paths: Vec<PathBuf>,
    /// Where they are from, for people.
    origin: String,
    /// What may be the reason if a module is missing.
    hint: Option<&'static str>,
}

/// An app, and where its dependencies are from.
#[derive(Debug)]
pub(crate) struct Found {
    /// The app.
    pub app: App,
    /// Where its dependencies are from, for people.
    pub origin: String,
    /// What may be the reason if a module is missing.
    hint: Option<&'static str>,
}

impl Found {
    /// The failure of an app that cannot be imported. Prints the traceback, as a compiler does with its messages.
    pub(crate) fn failure(&self, failure: Unprepared, messages: &Messages) -> Failure {
        let Unprepared { mut line, traceback } = failure;
        let traceback = self.with_places(&traceback);
        line = anyhow!("{}", self.with_places(&format!("{line:#}")));
        messages.text(&traceback);
        if let Some(hint) = self.hint.filter(|_| phrases::is_module_missing(&traceback)) {
            line = anyhow!("{line:#}; {hint}");
        }
        Failure { line, output: traceback, sources: Vec::new() }
    }

    /// A text of Python with the files of the app and its dependencies where the user has them.
    fn with_places(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let paths = self.app.paths.iter().enumerate().map(|(at, path)| (format!("/deps/{at}/"), path));
        for (from, to) in paths.chain([("/app/".to_owned(), &self.app.directory)]) {
            for quote in ['"', '`'] {
                text = text.replace(&format!("{quote}{from}"), &format!("{quote}{}/", to.display()));
            }
        }
        text
    }
}

impl Finder {
    /// Finds an app by the absolute path that the user named, and by its name in the module if the user gave one.
    /// Installs its dependencies if they are not installed. Blocks until that is done.
    ///
    /// # Errors
    ///
    /// There is no such module, or a dependency cannot be installed. The line is to be read after the app's name.
    pub(crate) fn find(&self, place: &Path, attribute: Option<&str>, messages: &Messages) -> Result<Found, Failure> {
        let located = module::locate(place, attribute)?;
        let Dependencies { mut paths, origin, hint } = self.dependencies(&located, messages)?;
        let mut native = Native::default();
        for directory in paths.clone() {
            native.add(&directory);
            paths.extend(environment::added(&directory));
        }
        self.notice(native.notice(), messages);
        self.notice(exposed(&located.directory), messages);
        let (module, of_module) = match located.module {
            Module::File(module, _) => (module, None),
            Module::Elsewhere(module) if is_in(&module, &paths) => (module, None),
            Module::Elsewhere(module) => return Err(module::missing(&module, &located.directory).into()),
            Module::Script(file) => {
                let (module, directory) = shim::of_script(&file)?;
                (module, Some(directory))
            }
            Module::Django(settings) => {
                let (module, directory) = shim::of_django(&settings)?;
                (module, Some(directory))
            }
        };
        paths.splice(0..0, of_module);
        // Links may lead elsewhere by the next version, and this one goes on with its own files.
        let directory = fs::canonicalize(&located.directory).context("cannot be read")?;
        Ok(Found { app: App { module, attribute: located.attribute, directory, paths }, origin, hint })
    }

    /// Finds the dependencies of an app, and installs them if they are not installed.
    fn dependencies(&self, located: &Located, messages: &Messages) -> Result<Dependencies, Failure> {
        let of_environment = |environment: &Path| Dependencies {
            paths: environment::site_packages(environment),
            origin: format!("the virtual environment `{}`", environment.display()),
            hint: None,
        };
        let none = |origin: &str| Dependencies { paths: Vec::new(), origin: origin.to_owned(), hint: None };
        let declared = declared::find(located)?;
        let file = match &declared {
            Declared::Nothing => return Ok(none("none declared")),
            Declared::Environment(environment) => return Ok(of_environment(environment)),
            Declared::Script { requirements, .. } if requirements.is_empty() => {
                return Ok(none("none, as its metadata says"));
            }
            Declared::Script { file, .. } | Declared::Requirements(file) | Declared::Project { file, .. } => file,
        };
        let environment = environment::find(&declared::directories(located));
        let identity = <[u8; 32]>::from(declared.digest().finalize());
        let failure = match Installer::find() {
            // It takes long to find out.
            _ if environment.is_some() && lock(&self.impossible).contains(&identity) => {
                anyhow!("is known to fail").into()
            }
            None => install::none(&format!("`{}`", install::shown(file))).into(),
            Some(installer) => match self.install(&declared, &installer, messages) {
                Err(failure) => failure,
                Ok(packages) => {
                    let origin = format!("`{}`, installed with {}", file.display(), installer.name());
                    let hint = matches!(installer, Installer::Pip(_)).then_some(
                        "pip chose the packages for its own version of Python, not for 3.14; install uv \
                         (https://docs.astral.sh/uv/), which chooses them for 3.14",
                    );
                    return Ok(Dependencies { paths: vec![packages], origin, hint });
                }
            },
        };
        // An installer with messages has found out that the declaration is wrong.
        let Some(environment) = environment.filter(|_| failure.output.is_empty()) else { return Err(failure) };
        lock(&self.impossible).insert(identity);
        let text = format!(
            "the dependencies in `{}` cannot be installed now; using those in the virtual environment `{}`",
            install::shown(file),
            environment.display()
        );
        self.notice(Some(text), messages);
        Ok(of_environment(&environment))
    }

    fn install(&self, declared: &Declared, installer: &Installer, messages: &Messages) -> Result<PathBuf, Failure> {
        let mut known = lock(&self.installed);
        // What is installed stays as long as it is known, unless users remove it themselves.
        known.retain(|packages, _| packages.is_dir());
        let installed = install::install(declared, installer, messages)?;
        let packages = installed.packages.clone();
        known.insert(packages.clone(), installed);
        Ok(packages)
    }

    fn notice(&self, text: Option<String>, messages: &Messages) {
        if let Some(text) = text
            && lock(&self.noticed).insert(text.clone())
        {
            messages.report(&text);
        }
    }
}

/// Checks that a path leads to what may be an app, so that a mistake is reported before anything is installed.
///
/// # Errors
///
/// It does not. The text is to be read after the app's name.
pub(super) fn check(place: &Path, attribute: Option<&str>) -> anyhow::Result<()> {
    let located = module::locate(place, attribute)?;
    if let Some(file) = located.file().filter(|file| *file == place) {
        match &*name::begin(file).context("cannot be read")? {
            [] => bail!("is empty; `wasmserve new hello --template wsgi` writes an app to start from"),
            [b'\0', b'a', b's', b'm', ..] => bail!("is wasm, not Python; leave out `python:`"),
            _ => {}
        }
    }
    match &located.module {
        Module::Elsewhere(module) if !is_standard(module) && declared::find(&located)? == Declared::Nothing => {
            Err(module::missing(module, &located.directory))
        }
        _ => Ok(()),
    }
}

/// Adds the files whose changes are changes of an app to its scope: all of its directory, the declarations of its
/// dependencies, and what is edited in place.
pub(super) fn add_inputs(scope: &mut Scope, place: &Path, attribute: Option<&str>) {
    let Ok(located) = module::locate(place, attribute) else { return };
    scope.apps.insert(located.directory.clone());
    for directory in declared::directories(&located) {
        let names = ["requirements.txt", "pyproject.toml"].into_iter().map(PathBuf::from);
        let environments = environment::NAMES.map(|name| Path::new(name).join(environment::MARK));
        scope.files.extend(names.chain(environments).map(|name| directory.join(name)));
    }
    // What cannot be parsed now is one of the files above.
    let Ok(declared) = declared::find(&located) else { return };
    scope.files.extend(declared.files());
    if let Declared::Environment(environment) = declared {
        for directory in environment::site_packages(&environment) {
            scope.apps.extend(environment::added(&directory));
            scope.listed.insert(directory);
        }
    }
}

/// Whether a module is in the standard library, as far as it has WSGI apps.
fn is_standard(module: &str) -> bool {
    module.split('.').next() == Some("wsgiref")
}

/// Whether a module is in one of these directories.
fn is_in(module: &str, paths: &[PathBuf]) -> bool {
    let top = module.split('.').next().unwrap_or(module);
    is_standard(module) || paths.iter().any(|path| path.join(top).is_dir() || name::module_file(path, top).is_some())
}

/// A warning if the directory that an app may read has more in it than the app.
fn exposed(directory: &Path) -> Option<String> {
    let home = env::home_dir().and_then(|home| fs::canonicalize(home).ok())?;
    let directory = fs::canonicalize(directory).ok()?;
    let text = format!(
        "the app can read all files in `{}`, because it is in that directory; move it to a directory of its own",
        directory.display()
    );
    home.starts_with(&directory).then_some(text)
}
