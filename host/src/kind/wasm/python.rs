//! Python applications: WSGI applications as they are, each request in a fresh copy of the interpreter that has imported
//! them.

pub(super) mod assemble;
mod base;
mod dirs;
mod host;
mod link;
pub(super) mod locks;
mod parts;
mod passive;
mod passwords;
mod prepare;
pub(super) mod stack;
mod world;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use wasmtime::{Module, component::Component as Compiled};

pub(crate) use self::base::Interpreter;
use self::{
    assemble::{Frame, Whole},
    base::Base,
    dirs::Dirs,
    host::{Prepared, Python},
    prepare::Output,
};
use super::{
    bindings::ApplicationPre, component::Component, cores::Core, engine::Engine, image::Image, inspect::ComponentInfo,
    layer::Around, world::World as _,
};
use crate::{
    base::{
        grants::{Dir, Grants},
        limits::Limits,
    },
    handler::Handler,
};

/// An application, and where its code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App {
    /// The module that has it, importable from `directory`.
    pub(crate) module: String,
    /// Its name in the module, which may be dotted, or end with `()` if it is what makes the application; `None` for the
    /// one that the module obviously has.
    pub(crate) attribute: Option<String>,
    /// The directory with the application's code.
    pub(crate) directory: PathBuf,
    /// The directories with what it depends on, in the order in which Python looks into them.
    pub(crate) paths: Vec<PathBuf>,
}

impl App {
    fn target(&self) -> String {
        match &self.attribute {
            Some(attribute) => format!("{}:{attribute}", self.module),
            None => self.module.clone(),
        }
    }

    /// The directories that its instances see, and that they can only read.
    fn dirs(&self, base: &Base) -> anyhow::Result<Vec<Dir>> {
        let dir = |host: &Path, guest: String| Dir { host: host.to_owned(), guest, read_only: true };
        let mut dirs = base.dirs();
        dirs.push(dir(&self.directory, "/app".to_owned()));
        dirs.push(dir(&base.compiled(Path::new("python"), &self.directory)?, "/pycache/python".to_owned()));
        for (at, path) in self.paths.iter().enumerate() {
            dirs.push(dir(path, format!("/deps/{at}")));
            // By its place, because all applications see theirs as `/deps/0`. There is none for the application itself:
            // Python compares times in seconds only, and would take an edit within one for the version before.
            dirs.push(dir(&base.compiled(path, &self.directory)?, format!("/pycache/deps/{at}")));
        }
        Ok(dirs)
    }

    /// What Python looks into, in this order.
    fn path(&self) -> Vec<String> {
        let deps = (0..self.paths.len()).map(|at| format!("/deps/{at}"));
        let (own, ours) = (["/app".to_owned()], ["/python".to_owned(), "/bundled".to_owned()]);
        own.into_iter().chain(deps).chain(ours).collect()
    }
}

/// Why an application cannot be served.
#[derive(Debug)]
pub(crate) struct Unprepared {
    /// The reason in one line, which names the application.
    pub(crate) line: anyhow::Error,
    /// Python's traceback; empty if Python is not to blame.
    pub(crate) traceback: String,
}

impl Unprepared {
    /// The failure of an application that the user calls `name`.
    fn of(name: &Path, error: anyhow::Error) -> Self {
        let name = name.display();
        match error.downcast::<Exception>() {
            Ok(Exception(traceback)) => {
                let mut lines = traceback.lines().filter(|line| !line.is_empty());
                match (lines.next_back(), lines.next()) {
                    (Some(last), Some(_)) => Self { line: anyhow!("`{name}` cannot be imported: {last}"), traceback },
                    (only, _) => {
                        let reason = only.unwrap_or("it failed without a reason");
                        Self { line: anyhow!("`{name}` cannot be served: {reason}"), traceback: String::new() }
                    }
                }
            }
            Err(error) => Self { line: anyhow!("`{name}` {error:#}"), traceback: String::new() },
        }
    }
}

/// An exception that Python code did not catch, as a traceback.
#[derive(Debug)]
struct Exception(String);

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Exception {}

/// Imports an application, and makes a handler of it. `name` is used in messages. Blocks meanwhile: for seconds when
/// Python is used for the first time on this machine.
///
/// # Errors
///
/// The application cannot be imported. The error is Python's traceback.
pub(crate) fn handler(
    engine: &Arc<Engine>,
    interpreter: &Interpreter,
    name: &Path,
    app: &App,
    around: Option<Around>,
    limits: &Limits,
    grants: &Grants,
) -> Result<Box<dyn Handler>, Unprepared> {
    let made = || -> anyhow::Result<_> {
        let base = interpreter.base(engine)?;
        let dirs = app.dirs(&base)?;
        let memory = import(engine, name, &base, app, &dirs, limits, grants)?;
        let dirs = Dirs::open(&dirs)?;
        let (frame, runtime) = (Arc::clone(&base.frame), base.runtime);
        let filtered = Filtered { frame, around };
        if filtered.around.is_some() {
            filtered.check(engine, &name.display().to_string(), memory.len())?;
        }
        serve(engine, move |core| base.code(core), filtered, &memory, dirs, runtime, limits, grants)
    };
    made().map_err(|error| Unprepared::of(name, error))
}

/// Makes a handler of a component that [`build`] has made. `None` if it is another one. `name` is used in messages. Blocks
/// while Python is compiled, if it is not in the cache.
///
/// # Errors
///
/// It has been changed since, or does not fit into the limits.
pub(super) fn built(
    engine: &Arc<Engine>,
    name: &Path,
    component: &[u8],
    around: Option<Around>,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Option<Box<dyn Handler>>> {
    let Some(Whole { frame, memory, runtime }) = Frame::of_whole(component, limits.memory)? else { return Ok(None) };
    // Anyone may have made it.
    let name = name.display().to_string();
    engine.check_compiles(Python::ABI, &name, &frame.code)?;
    let filtered = Filtered { frame: Arc::new(frame), around };
    filtered.check(engine, &name, memory.len())?;
    let code = Arc::clone(&filtered.frame);
    let load = move |core: &Core| Ok(Module::from_binary(&core.engine, &code.code)?);
    serve(engine, load, filtered, &memory, Dirs::default(), runtime, limits, grants).map(Some)
}

/// Python's frame, and the filters in front of the application.
struct Filtered {
    frame: Arc<Frame>,
    around: Option<Around>,
}

impl Filtered {
    /// The component with this image, which imports its code.
    ///
    /// # Errors
    ///
    /// The filters do not fit.
    fn component(&self, image: &[u8]) -> anyhow::Result<Vec<u8>> {
        let component = self.frame.with_image(image)?;
        match &self.around {
            Some(around) => {
                let wrapped = around(&component).and_then(|wrapped| passive::component(&wrapped));
                wrapped.context("filters cannot be put in front of it")
            }
            None => Ok(component),
        }
    }
}

impl Filtered {
    /// Checks that the component with an image of this length compiles.
    ///
    /// # Errors
    ///
    /// It does not, or a filter cannot be told from Python by its memory.
    fn check(&self, engine: &Engine, name: &str, length: usize) -> anyhow::Result<()> {
        let component = self.component(&assemble::memory(length))?;
        let info = ComponentInfo::read(&component)?;
        let memories = info.modules.iter().flat_map(|module| &module.memories);
        if memories.filter(|(initial, _)| *initial == length as u64).count() > 1 {
            bail!(
                "a filter in front of it has a memory that begins with {length} bytes, as Python's does; build it with \
                   another size"
            );
        }
        engine.check_compiles(Python::ABI, name, &component)
    }
}

/// Makes a handler whose instances begin with this memory, and whose code is what `code` loads.
#[expect(clippy::too_many_arguments, reason = "it is called in two places, with what both have found out")]
fn serve(
    engine: &Arc<Engine>,
    code: impl Fn(&Core) -> anyhow::Result<Module> + Send + Sync + 'static,
    filtered: Filtered,
    memory: &[u8],
    dirs: Dirs,
    runtime: u32,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Box<dyn Handler>> {
    let (image, dirs) = (Image::new(memory)?, Arc::new(dirs));
    let make = move |core: &Core| {
        let component = Compiled::from_binary(&core.engine, &filtered.component(&image.module())?)?;
        let mut linker = core.linker_of::<Python>()?;
        linker.root().module(assemble::CODE, &code(core)?)?;
        image.trim();
        let application = ApplicationPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Prepared { application, image: Arc::clone(&image), dirs: Arc::clone(&dirs), runtime })
    };
    Ok(Box::new(Component::<Python>::made(engine, Box::new(make), limits, grants)?))
}

/// Imports an application, and makes a component that contains it and Python. Blocks as [`handler()`] does.
///
/// # Errors
///
/// As for [`handler()`].
pub(crate) fn build(
    engine: &Engine,
    interpreter: &Interpreter,
    name: &Path,
    app: &App,
    limits: &Limits,
) -> Result<Vec<u8>, Unprepared> {
    let made = || -> anyhow::Result<_> {
        let base = interpreter.base(engine)?;
        let memory = import(engine, name, &base, app, &app.dirs(&base)?, limits, &Grants::default())?;
        Ok(base.frame.whole(&memory, base.runtime))
    };
    made().map_err(|error| Unprepared::of(name, error))
}

/// A component that [`build`] has made, for hosts that do not look at its memory. Another one is left as it is.
///
/// # Errors
///
/// It has been changed since.
pub(crate) fn unseen(component: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let Some(Whole { frame, mut memory, runtime }) = Frame::of_whole(&component, u64::MAX)? else {
        return Ok(component);
    };
    let seen = link::SEEN as usize;
    memory.get_mut(seen..seen + 4).context("it has no memory")?.fill(0);
    Ok(frame.whole(&memory, runtime))
}

/// How long an application may take to import. Django takes a second, and three before its modules are in the cache.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// Imports an application, which sees these directories, and returns its memory.
fn import(
    engine: &Engine,
    name: &Path,
    base: &Base,
    app: &App,
    dirs: &[Dir],
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Vec<u8>> {
    let core = engine.cores(Python::ABI, Python::MEMORIES)?.current();
    let (code, component) = (base.code(&core)?, base.component(&core)?);
    let mut dirs = dirs.to_vec();
    for dir in &mut dirs {
        dir.read_only = !dir.guest.starts_with("/pycache/");
    }
    let variables = grants.env.iter().map(|variable| (variable.name.clone(), variable.value.clone()));
    let output = engine.events().map(|events| Output::new(events, name));
    let wasi = prepare::wasi(output.as_ref(), &dirs, variables)?;
    let limits = prepare::Limits { timeout: IMPORT_TIMEOUT, memory: limits.memory };
    let (target, path) = (app.target(), app.path());
    prepare::run(&core.engine, &code, &component, &base.image, wasi, &limits, async |python| {
        let setup = Some("wasmserve:python/setup@0.1.0");
        let (prepared,) = python.call::<_, (Result<(), String>,)>(setup, "prepare", (target, path)).await?;
        Ok(prepared.map_err(Exception)?)
    })
}
