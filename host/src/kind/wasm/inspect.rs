//! Reads what a component contains, and checks whether it can be served.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, anyhow};
use wasmparser::{
    BinaryReaderError, CustomSectionReader, Encoding, KnownCustom, MemoryType, Parser, Payload, ProducersSectionReader,
};

#[cfg(feature = "wasip3")]
use super::wasi_http_3::Service;
use super::{
    check::{self, MissingImport},
    command::Command,
    component,
    engine::Engine,
    gateway::Gateway,
    interface::{self, Interface},
    preview1,
    wasi_http::Proxy,
    world::World,
};
use crate::base::limits::Limits;

/// How many items of a kind are kept. The file is untrusted, and a longer list is of no use to a reader.
const MAX: usize = 100;

/// What a component contains. All names are taken from the file, so they are untrusted.
#[derive(Debug, Default)]
pub(crate) struct ComponentInfo {
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Its core modules, including those of nested components.
    pub modules: Vec<Module>,
    /// How many nested components it has.
    pub components: usize,
    /// The tools that made it: `language`, `sdk` and `processed-by`, each with names and versions.
    pub producers: BTreeMap<String, Vec<String>>,
}

/// A core module, which contains code.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Its size in bytes.
    pub size: usize,
    /// How many functions it has.
    pub functions: u32,
    /// Its memories: the initial size and the maximum, if it declares one, in bytes.
    pub memories: Vec<(u64, Option<u64>)>,
    /// Whether its functions have names, so that stacks show them.
    pub has_names: bool,
    /// Whether it has line tables, so that stacks can show files and lines.
    pub has_lines: bool,
}

impl ComponentInfo {
    /// Parses a component.
    ///
    /// # Errors
    ///
    /// The component is truncated or malformed.
    pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut info = Self::default();
        info.parse(bytes).context("is not a valid component")?;
        Ok(info)
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        // One entry for each open level of nesting: whether it is a module.
        let mut inside: Vec<bool> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    let is_module = encoding == Encoding::Module;
                    self.components += usize::from(!is_module && !inside.is_empty());
                    inside.push(is_module);
                }
                Payload::ModuleSection { unchecked_range, .. } => {
                    self.modules.push(Module { size: unchecked_range.len(), ..Module::default() });
                }
                Payload::End(_) => _ = inside.pop(),
                Payload::ComponentImportSection(imports) if inside.len() == 1 => {
                    for import in imports {
                        add(&mut self.imports, import?.name.name);
                    }
                }
                Payload::ComponentExportSection(exports) if inside.len() == 1 => {
                    for export in exports {
                        add(&mut self.exports, export?.name.name);
                    }
                }
                Payload::CustomSection(section) => self.take_custom(&section, inside.last() == Some(&true)),
                payload if inside.last() == Some(&true) => {
                    if let Some(module) = self.modules.last_mut() {
                        module.take(payload)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a custom section. No runtime validates it, so it may be malformed in a valid component.
    fn take_custom(&mut self, section: &CustomSectionReader<'_>, is_module: bool) {
        let module = self.modules.last_mut().filter(|_| is_module);
        match (section.as_known(), module) {
            (KnownCustom::Producers(producers), _) => _ = self.take_producers(producers),
            (KnownCustom::Name(_), Some(module)) => module.has_names = true,
            (_, Some(module)) if section.name() == ".debug_line" => module.has_lines = true,
            _ => {}
        }
    }

    fn take_producers(&mut self, producers: ProducersSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for field in producers {
            let field = field?;
            for value in field.values {
                let value = value?;
                let text = format!("{} {}", value.name, value.version);
                add(self.producers.entry(field.name.to_owned()).or_default(), text.trim_end());
            }
        }
        Ok(())
    }
}

impl Module {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::FunctionSection(functions) => self.functions = functions.count(),
            Payload::MemorySection(memories) => {
                for memory in memories.into_iter().take(MAX) {
                    let MemoryType { initial, maximum, page_size_log2, .. } = memory?;
                    let bytes = |pages: u64| pages.saturating_mul(1 << page_size_log2.unwrap_or(16).min(16));
                    self.memories.push((bytes(initial), maximum.map(bytes)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Adds a text unless it is already in the list or the list is full.
fn add(texts: &mut Vec<String>, text: &str) {
    if texts.len() < MAX && !texts.iter().any(|known| known == text) {
        texts.push(text.to_owned());
    }
}

/// Whether a component exports a handler of some version, or something else that is served or refused by its own name. A
/// library that was built without `handler!` does not; a program is a CGI program then.
pub(crate) fn has_handler(bytes: &[u8]) -> bool {
    let is_handler = |name: &String| {
        ["wasmserve:gateway/", "wasi:http/", "wasi:cli/run@"].iter().any(|interface| name.starts_with(interface))
    };
    // What cannot be read is explained later.
    ComponentInfo::read(bytes).map_or(true, |info| info.exports.iter().any(is_handler))
}

/// What `wasmserve inspect` reports about a component.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// The size of its file in bytes.
    pub size: usize,
    /// Whether the file is a program for WASI 0.1, which was made into the component.
    pub is_wrapped: bool,
    /// What it contains.
    pub info: ComponentInfo,
    /// The imports that the host does not provide.
    pub missing: Vec<MissingImport>,
    /// How it is called, if that is known.
    pub interface: Option<Interface>,
    /// Whether it is a filter, which is served in front of a handler.
    pub is_filter: bool,
    /// Why it cannot be served, if it cannot.
    pub verdict: Result<(), String>,
}

/// Inspects the component in a file. It is compiled and linked, but not run. Blocks while compiling.
///
/// # Errors
///
/// The file cannot be read, is larger than `size` bytes, or is not a component.
pub(crate) fn inspect(engine: &Engine, path: &Path, size: u64) -> anyhow::Result<Inspected> {
    let (bytes, name) = (component::read(path, size)?, path.display());
    let named = |error: anyhow::Error| anyhow!("`{name}` {error:#}");
    check::check_format(&bytes).map_err(named)?;
    let (size, is_wrapped) = (bytes.len(), preview1::is_core_module(&bytes));
    let bytes = preview1::wrapped(bytes.into(), Limits::DEFAULT.memory).map_err(named)?;
    let info = ComponentInfo::read(&bytes).map_err(named)?;
    let is_filter = interface::is_filter(&info.exports);
    let interface = Interface::of(&info.exports).filter(|_| !is_filter);
    let served = interface.map_or(Ok(()), |interface| interface.check(&info.exports));
    let mut inspected =
        Inspected { size, is_wrapped, info, missing: Vec::new(), interface, is_filter, verdict: Ok(()) };
    let verdict = served.and_then(|()| match interface {
        Some(Interface::Command) => inspected.check::<Command>(engine, path, &bytes),
        #[cfg(feature = "wasip3")]
        Some(Interface::Service) => inspected.check::<Service>(engine, path, &bytes),
        #[cfg(not(feature = "wasip3"))]
        Some(Interface::Service) => unreachable!("`check` refuses it"),
        Some(Interface::WasiHttp) => inspected.check::<Proxy>(engine, path, &bytes),
        Some(Interface::Gateway) | None => inspected.check::<Gateway>(engine, path, &bytes),
    });
    inspected.verdict = verdict.map_err(|error| format!("{error:#}"));
    Ok(inspected)
}

impl Inspected {
    fn check<W: World>(&mut self, engine: &Engine, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let core = engine.cores(W::ABI, W::MEMORIES)?.current();
        let component = component::compile::<W>(engine, &core, &path.display().to_string(), bytes)?;
        let linker = core.linker_of::<W>()?;
        self.missing = check::missing_imports(&component, &linker);
        match self.is_filter {
            true => check::check_imports(&self.missing),
            false => check::check::<W>(&component, &linker, &Limits::DEFAULT),
        }
    }
}
