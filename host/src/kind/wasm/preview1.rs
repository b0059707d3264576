//! Programs for WASI 0.1, which are core modules: recognized by what they import, and made into components.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anyhow::{anyhow, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasm_encoder::{MemorySection, MemoryType, Module, RawSection};
use wasmparser::{BinaryReaderError, KnownCustom, Parser, Payload, ProducersSectionReader};
use wit_component::ComponentEncoder;

use super::phrases;

/// Whether a file's first bytes are those of a core module.
pub(crate) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Checks that a core module is a program for WASI 0.1.
///
/// # Errors
///
/// It is not. The error says what it is instead, and how to get a handler; it is to be read after the module's name.
pub(super) fn check(bytes: &[u8]) -> anyhow::Result<()> {
    examined(bytes).map(drop)
}

fn examined(bytes: &[u8]) -> anyhow::Result<Outline<'_>> {
    let outline = Outline::of(bytes).map_err(|error| match error.to_string() {
        text if phrases::is_cut_off(&text) => {
            anyhow!("is not a valid module: it is cut off; build or copy it again")
        }
        text => anyhow!("is not a valid module: {text}"),
    })?;
    let Outline { imports, has_start, has_memory, .. } = &outline;
    let imports_of = |module: &str| imports.iter().any(|(other, _)| other.starts_with(module));
    let why = match imports.iter().find(|(module, _)| *module != WASI) {
        _ if imports_of("__wbindgen") || imports_of("wbg") || imports_of("./") => {
            "it was built for browsers with wasm-bindgen; build a handler for wasm32-wasip2: `wasmserve new hello`"
        }
        _ if imports_of("gojs") || imports_of("go") => {
            "it was built by Go for browsers; build it with `GOOS=wasip1 GOARCH=wasm go build`"
        }
        _ if imports.iter().any(|(_, name)| name.starts_with("emscripten_")) => {
            "it was built by Emscripten for JavaScript; build it with the WASI SDK, for wasm32-wasip1 or wasm32-wasip2"
        }
        _ if imports_of("wasi_unstable") => {
            "it was built for a draft of WASI 0.1; build it with newer tools, for wasm32-wasip1 or wasm32-wasip2"
        }
        Some((module, _)) if module.contains(':') => {
            "it is a part of a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
        }
        Some((module, name)) => bail!(
            "is a core module, not a component; it imports `{}` from `{}`, which only the program that it was built for \
             has; build it for wasm32-wasip1 or wasm32-wasip2",
            name.escape_default(),
            module.escape_default()
        ),
        None if *has_start && *has_memory => return Ok(outline),
        None if *has_start => {
            "it does not export its `memory`, as programs for WASI 0.1 do; build it with a linker for WASI"
        }
        None if imports.is_empty() => "build it for wasm32-wasip2, or wrap it with `wasm-tools component new`",
        None => "it is a library: it has no `_start`, as programs for WASI 0.1 have; build a program with a `main`",
    };
    bail!("is a core module, not a component; {why}")
}

/// Makes a component from a program for WASI 0.1, and returns any other file as it is. `memory` is how many bytes an
/// instance may use.
///
/// # Errors
///
/// The module is malformed, or not a program for WASI 0.1. The text is to be read after the file's name.
pub(super) fn wrapped(bytes: Cow<'static, [u8]>, memory: u64) -> anyhow::Result<Cow<'static, [u8]>> {
    if !is_core_module(&bytes) {
        return Ok(bytes);
    }
    let is_go = examined(&bytes)?.is_go;
    let wrap = || {
        let bytes = if is_go { with_whole_memory(&bytes, memory)?.into() } else { bytes };
        ComponentEncoder::default().module(&bytes)?.adapter(WASI, ADAPTER)?.encode()
    };
    // The module is untrusted, and the encoder panics where it expects a valid one.
    let encoded = catch_unwind(AssertUnwindSafe(wrap)).unwrap_or_else(|_| Err(anyhow!("it is malformed")));
    let cannot = |error: anyhow::Error| anyhow!("cannot be made a component: {}", error.root_cause());
    encoded.map(Cow::Owned).map_err(cannot)
}

/// Gives a program its whole memory from the start: a quarter of what an instance may use, because all of it counts.
///
/// Go's runtime takes each page from the end of its data on for its own, no matter what has grown the memory (`sbrk` in
/// `runtime/mem_wasm.go`), and the adapter keeps its stack and its state in two pages that it grows. So the program gets
/// a memory that can grow for the adapter only.
fn with_whole_memory(module: &[u8], memory: u64) -> Result<Vec<u8>, BinaryReaderError> {
    let mut whole = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::MemorySection(memories) = payload {
            let least = memories.into_iter().next().transpose()?.map_or(0, |memory| memory.initial);
            let minimum = (memory / 4 / PAGE).min(PAGES_MAX).max(least);
            let maximum = Some(minimum + PAGES_OF_ADAPTER);
            let mut memories = MemorySection::new();
            memories.memory(MemoryType { minimum, maximum, memory64: false, shared: false, page_size_log2: None });
            whole.section(&memories);
        } else if let Some((id, range)) = payload.as_section() {
            whole.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok(whole.finish())
}

/// The size of a page in bytes.
const PAGE: u64 = 64 << 10;

/// How many pages the adapter grows.
const PAGES_OF_ADAPTER: u64 = 2;

/// How many pages a program may have beside the adapter.
const PAGES_MAX: u64 = (1 << 16) - PAGES_OF_ADAPTER;

/// What a core module imports and exports.
struct Outline<'a> {
    /// The modules and names of its imports.
    imports: Vec<(&'a str, &'a str)>,
    /// Whether it exports the function that runs a program.
    has_start: bool,
    /// Whether it exports the memory, in which WASI 0.1 passes data.
    has_memory: bool,
    /// Whether it contains Go's runtime.
    is_go: bool,
}

impl<'a> Outline<'a> {
    /// Reads the sections of a module, but not what is in its functions.
    fn of(bytes: &'a [u8]) -> Result<Self, BinaryReaderError> {
        let mut outline = Self { imports: Vec::new(), has_start: false, has_memory: false, is_go: false };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        outline.imports.push((import.module, import.name));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let name = export?.name;
                        outline.has_start |= name == "_start";
                        outline.has_memory |= name == "memory";
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Producers(producers) = section.as_known() {
                        outline.is_go |= has_language(producers, "Go");
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

/// Whether one of the languages that a module was made from is this one. No runtime validates this section, so it may be
/// malformed.
fn has_language(producers: ProducersSectionReader<'_>, language: &str) -> bool {
    let languages = producers.into_iter().map_while(Result::ok).filter(|field| field.name == "language");
    languages.flat_map(|field| field.values.into_iter().map_while(Result::ok)).any(|value| value.name == language)
}
