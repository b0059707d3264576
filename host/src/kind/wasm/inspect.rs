//! What is in a component, without running or compiling it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, anyhow};
use wasmparser::{
    BinaryReaderError, CustomSectionReader, Encoding, KnownCustom, MemoryType, Parser, Payload, ProducersSectionReader,
};

use super::{check, component, engine::Engine, gateway::Gateway};
use crate::base::limits::Limits;

/// How many of a kind are remembered. Files are made by strangers, and nobody reads more.
const MAX: usize = 100;

/// What a component is made of. All names are the file's own.
#[derive(Debug, Default)]
pub(crate) struct ComponentInfo {
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Its core modules, those of components inside of it as well.
    pub modules: Vec<Module>,
    /// How many components are inside of it.
    pub components: usize,
    /// What was it made with: `language`, `sdk` and `processed-by`, each with names and versions.
    pub producers: BTreeMap<String, Vec<String>>,
}

/// A core module: where the code is.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// How many octets it has.
    pub size: usize,
    /// How many functions it has.
    pub functions: u32,
    /// Its memories: octets at first, and at most if it says so.
    pub memories: Vec<(u64, Option<u64>)>,
    /// Whether its functions have names, so that stacks tell something.
    pub has_names: bool,
    /// Whether it knows its source's files and lines.
    pub has_lines: bool,
}

impl ComponentInfo {
    /// Reads a component.
    ///
    /// # Errors
    ///
    /// It is cut off, or malformed.
    pub(super) fn read(octets: &[u8]) -> anyhow::Result<Self> {
        let mut info = Self::default();
        info.take_apart(octets).context("is not a valid component")?;
        Ok(info)
    }

    fn take_apart(&mut self, octets: &[u8]) -> Result<(), BinaryReaderError> {
        // Whether each of those that the reader is inside of is a module.
        let mut inside: Vec<bool> = Vec::new();
        for payload in Parser::new(0).parse_all(octets) {
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

    /// Takes what is not code. No runtime looks at it, so it may be malformed in a valid component.
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
                    let octets = |pages: u64| pages.saturating_mul(1 << page_size_log2.unwrap_or(16).min(16));
                    self.memories.push((octets(initial), maximum.map(octets)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Adds what is not there yet, as long as there is room.
fn add(texts: &mut Vec<String>, text: &str) {
    if texts.len() < MAX && !texts.iter().any(|known| known == text) {
        texts.push(text.to_owned());
    }
}

/// What can be told of a component before it serves.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// How many octets its file has.
    pub size: usize,
    /// What it is made of.
    pub info: ComponentInfo,
    /// Those of its imports that it will not get.
    pub missing: Vec<String>,
    /// Why it cannot be served, if it cannot.
    pub verdict: Result<(), String>,
}

/// Tells what a component is. It is compiled for that, and linked, but not run.
///
/// # Errors
///
/// It cannot be read, has more than `size` octets, or is no component.
pub(crate) fn inspect(engine: &Engine, path: &Path, size: u64) -> anyhow::Result<Inspected> {
    let (octets, name) = (component::read(path, size)?, path.display());
    let named = |error: anyhow::Error| anyhow!("`{name}` {error:#}");
    check::check_format(&octets).map_err(named)?;
    let info = ComponentInfo::read(&octets).map_err(named)?;
    let mut inspected = Inspected { size: octets.len(), info, missing: Vec::new(), verdict: Ok(()) };
    let core = engine.core();
    let linker = core.linker_of::<Gateway>()?;
    let verdict = component::compile(engine, &core, &name.to_string(), &octets).and_then(|component| {
        inspected.missing = check::missing_imports(&component, &linker)?;
        check::check::<Gateway>(&component, &linker, &Limits::DEFAULT)
    });
    inspected.verdict = verdict.map_err(|error| format!("{error:#}"));
    Ok(inspected)
}
