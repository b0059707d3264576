//! The base that all applications start from: Python, started once on this machine, with the standard library loaded.
//!
//! Python starts here and not where this program is built, so that its hash seed is one that only this machine knows.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Module,
    component::{Component, Val},
};
use wasmtime_wasi::WasiCtx;

use super::{
    assemble::Frame,
    host::Python,
    link, parts,
    prepare::{self, Limits},
    world::{self, Symbols},
};
use crate::{
    base::{dirs::cache_directory, grants::Dir, hex::hex, lock::lock},
    event::notice::Level,
    kind::wasm::{cores::Core, engine::Engine, image::Image, world::World as _},
};

/// What starting Python may take. It runs only our own code, and once.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(600), memory: 256 << 20 };

/// The variable of the interpreter that stack traces begin with.
const RUNTIME: &str = "_PyRuntime";

/// The base of all applications of a process, opened for the first of them.
#[derive(Default)]
pub(crate) struct Interpreter(OnceLock<Arc<Base>>);

impl Interpreter {
    /// The base. Blocks while it is made, which takes ten seconds the first time on a machine.
    ///
    /// # Errors
    ///
    /// This program contains no Python, or the cache cannot be written.
    pub(super) fn base(&self, engine: &Engine) -> anyhow::Result<Arc<Base>> {
        if let Some(base) = self.0.get() {
            return Ok(Arc::clone(base));
        }
        // Another thread may be faster. Then this one is dropped.
        let base = Arc::new(Base::open(engine)?);
        Ok(Arc::clone(self.0.get_or_init(|| base)))
    }
}

/// What all applications start from.
pub(super) struct Base {
    /// Everything of a component except the image of its memory.
    pub(super) frame: Arc<Frame>,
    /// The memory after Python has started.
    pub(super) image: Arc<Image>,
    /// The address of the interpreter's state.
    pub(super) runtime: u32,
    /// The directory with the standard library and our own code.
    directory: PathBuf,
    /// What was loaded last, because each edit needs it again.
    code: Mutex<Option<Module>>,
    component: Mutex<Option<Component>>,
}

/// The names of the files of a base.
const CODE: &str = "code.wasm";
const BEFORE: &str = "before";
const MIDDLE: &str = "middle";
const AFTER: &str = "after";
const IMAGE: &str = "image";
const ADDRESS: &str = "runtime";

/// The directory for compiled modules of the standard library.
const COMPILED: &str = "compiled";

impl Base {
    /// Opens the user's base, or makes it, which takes about ten seconds. Blocks until it is there.
    ///
    /// # Errors
    ///
    /// This program contains no Python, or the cache cannot be written.
    fn open(engine: &Engine) -> anyhow::Result<Self> {
        parts::check()?;
        let bindings = world::bindings()?;
        let mut own: Vec<(&str, &str)> = parts::SOURCES.to_vec();
        let host = format!("{}.py", world::MODULE);
        own.push((&host, &bindings.module));
        let key = hex(&parts::digest(&own).finalize());
        let all = cache_directory("python")?;
        let directory = all.join(&key[..32]);
        if let Ok(base) = Self::read(&directory) {
            // The cache of components may have been emptied since, and this server may have other settings.
            engine.check_own_code("Python", &base.frame.code)?;
            return Ok(base);
        }
        // One process makes it, others wait.
        let lock = File::create(all.join("lock"))?;
        lock.lock().context("the cache cannot be locked")?;
        if let Ok(base) = Self::read(&directory) {
            return Ok(base);
        }
        let begun = Instant::now();
        engine.notice(Level::Info, "preparing Python for the first time on this machine…");
        let unfinished = all.join(format!("{}.new", &key[..32]));
        _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).with_context(|| format!("`{}`", unfinished.display()))?;
        parts::unpack(&unfinished, &own)?;
        fs::create_dir_all(unfinished.join(COMPILED))?;
        Self::make(engine, &unfinished, &bindings)?;
        _ = fs::remove_dir_all(&directory);
        fs::rename(&unfinished, &directory).with_context(|| format!("`{}`", directory.display()))?;
        engine.notice(Level::Info, format!("prepared Python in {:.1} s", begun.elapsed().as_secs_f32()));
        Self::read(&directory)
    }

    fn read(directory: &Path) -> anyhow::Result<Self> {
        let read = |name| fs::read(directory.join(name));
        let address: [u8; 4] = read(ADDRESS)?.as_slice().try_into()?;
        let frame = Frame { code: read(CODE)?, middle: read(MIDDLE)?, before: read(BEFORE)?, after: read(AFTER)? };
        let image = Image::new(&read(IMAGE)?)?;
        Ok(Self {
            frame: Arc::new(frame),
            image,
            runtime: u32::from_le_bytes(address),
            directory: directory.to_owned(),
            code: Mutex::default(),
            component: Mutex::default(),
        })
    }

    /// Links Python, starts it, and writes what is left of that.
    fn make(engine: &Engine, directory: &Path, bindings: &world::Bindings) -> anyhow::Result<()> {
        let mut libraries = parts::libraries()?;
        libraries.push(("bindings", bindings.library.clone()));
        let libraries: Vec<(&str, &[u8])> = libraries.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        let linked = link::link(&libraries, &bindings.worlds, &[RUNTIME])?;
        let (frame, first) = Frame::new(&linked.module)?;
        let core = engine.cores(Python::ABI, Python::MEMORIES)?.current();
        engine.check_own_code("Python", &frame.code)?;
        let code = Module::from_binary(&core.engine, &frame.code)?;
        let image = Image::new(&first)?;
        let component = Component::from_binary(&core.engine, &frame.with_image(&image.module())?)?;
        let symbols = symbols(&bindings.symbols);
        let memory =
            prepare::run(&core.engine, &code, &component, &image, starting(directory)?, &LIMITS, async |python| {
                python.call::<(), ()>(None, "initialize", ()).await?;
                python
                    .call_with("exports", "init", &[Val::String(parts::ENTRY.into()), symbols, Val::Bool(false)])
                    .await
            })?;
        let write = |name: &str, bytes: &[u8]| {
            fs::write(directory.join(name), bytes).with_context(|| format!("`{}`", directory.join(name).display()))
        };
        write(CODE, &frame.code)?;
        write(BEFORE, &frame.before)?;
        write(MIDDLE, &frame.middle)?;
        write(AFTER, &frame.after)?;
        write(IMAGE, &memory)?;
        write(ADDRESS, &linked.addresses[RUNTIME].to_le_bytes())
    }

    /// Python's own code, for a core. Blocks while it is loaded, or compiled if it is not in the cache.
    ///
    /// # Errors
    ///
    /// There is no memory left for it.
    pub(super) fn code(&self, core: &Core) -> anyhow::Result<Module> {
        let mut code = lock(&self.code);
        match &*code {
            Some(code) if wasmtime::Engine::same(code.engine(), &core.engine) => Ok(code.clone()),
            _ => Ok(code.insert(Module::from_binary(&core.engine, &self.frame.code)?).clone()),
        }
    }

    /// The component that begins with the base's image, for a core.
    ///
    /// # Errors
    ///
    /// As for [`code`](Self::code).
    pub(super) fn component(&self, core: &Core) -> anyhow::Result<Component> {
        let mut component = lock(&self.component);
        match &*component {
            Some(component) if wasmtime::Engine::same(component.engine(), &core.engine) => Ok(component.clone()),
            _ => {
                let bytes = self.frame.with_image(&self.image.module())?;
                Ok(component.insert(Component::from_binary(&core.engine, &bytes)?).clone())
            }
        }
    }

    /// The directories that every instance sees, and can only read.
    pub(super) fn dirs(&self) -> Vec<Dir> {
        dirs(&self.directory).to_vec()
    }

    /// The directory for what the modules of another directory are compiled to. Each application has its own, because
    /// the writer of compiled code decides what its readers do.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub(super) fn compiled(&self, of: &Path, app: &Path) -> anyhow::Result<PathBuf> {
        let mut digest = Sha256::new();
        for path in [of, app] {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update([0]);
        }
        let digest = digest.finalize();
        let compiled = self.directory.join(COMPILED).join(hex(&digest));
        fs::create_dir_all(&compiled).with_context(|| format!("`{}`", compiled.display()))?;
        Ok(compiled)
    }
}

fn dirs(directory: &Path) -> [Dir; 2] {
    let read_only = |name| Dir { host: directory.join(name), guest: format!("/{name}"), read_only: true };
    [read_only("python"), read_only("bundled")]
}

/// What Python sees when it starts.
fn starting(directory: &Path) -> anyhow::Result<WasiCtx> {
    let variables = [("PYTHONHOME", "/python"), ("PYTHONPATH", "/python:/bundled"), ("PYTHONUNBUFFERED", "1")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    prepare::wasi(None, &dirs(directory), variables)
}

/// The symbols as the runtime's `init` takes them.
fn symbols(symbols: &Symbols) -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    let record = |fields: Vec<(&str, Val)>| {
        Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let exports = symbols.exports.iter().map(|(class, method, is_result)| {
        let function = record(vec![("protocol", text(class)), ("name", text(method))]);
        let kind = Val::Variant("freestanding".into(), Some(Box::new(function)));
        let style = if *is_result { "result" } else { "normal" };
        record(vec![("kind", kind), ("return-style", Val::Variant(style.into(), None))])
    });
    let variants = symbols.variants.iter().map(|cases| {
        let cases = cases
            .iter()
            .map(|(name, has_payload)| record(vec![("name", text(name)), ("has-payload", Val::Bool(*has_payload))]));
        record(vec![("package", text(world::MODULE)), ("name", text("")), ("cases", Val::List(cases.collect()))])
    });
    let tuples = symbols.tuples.iter().map(|count| record(vec![("count", Val::U32(*count))]));
    let results = symbols
        .results
        .iter()
        .map(|(has_ok, has_err)| record(vec![("has-ok", Val::Bool(*has_ok)), ("has-err", Val::Bool(*has_err))]));
    let options = (0..symbols.options).map(|_| Val::Enum("non-nesting".into()));
    let none = || Val::List(Vec::new());
    record(vec![
        ("exports", Val::List(exports.collect())),
        ("resources", none()),
        ("records", none()),
        ("flags", none()),
        ("tuples", Val::List(tuples.collect())),
        ("variants", Val::List(variants.collect())),
        ("enums", none()),
        ("options", Val::List(options.collect())),
        ("results", Val::List(results.collect())),
    ])
}
