//! Programs for WASI 0.1, which are core modules: recognized by what they import, and made into components.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anyhow::{anyhow, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
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
    let Outline { imports, has_start, has_memory, is_go } =
        Outline::of(bytes).map_err(|error| match error.to_string() {
            text if phrases::is_cut_off(&text) => {
                anyhow!("is not a valid module: it is cut off; build or copy it again")
            }
            text => anyhow!("is not a valid module: {text}"),
        })?;
    let imports_of = |module: &str| imports.iter().any(|(other, _)| other.starts_with(module));
    let why = match imports.iter().find(|(module, _)| *module != WASI) {
        _ if imports_of("__wbindgen") || imports_of("wbg") || imports_of("./") => {
            "it was built for browsers with wasm-bindgen; build a handler for wasm32-wasip2: `wasmserve new hello`"
        }
        _ if imports_of("gojs") || imports_of("go") => {
            "it was built by Go for browsers; build it with TinyGo for wasip2"
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
        None if is_go => {
            "it was built by Go, whose runtime overwrites the memory of the adapter to WASI 0.2; build it with TinyGo for \
             wasip2"
        }
        None if has_start && has_memory => return Ok(()),
        None if has_start => {
            "it does not export its `memory`, as programs for WASI 0.1 do; build it with a linker for WASI"
        }
        None if imports.is_empty() => "build it for wasm32-wasip2, or wrap it with `wasm-tools component new`",
        None => "it is a library: it has no `_start`, as programs for WASI 0.1 have; build a program with a `main`",
    };
    bail!("is a core module, not a component; {why}")
}

/// Makes a component from a program for WASI 0.1, and returns any other file as it is.
///
/// # Errors
///
/// The module is malformed, or not a program for WASI 0.1. The text is to be read after the file's name.
pub(super) fn wrapped(bytes: Cow<'static, [u8]>) -> anyhow::Result<Cow<'static, [u8]>> {
    if !is_core_module(&bytes) {
        return Ok(bytes);
    }
    check(&bytes)?;
    let wrap = || ComponentEncoder::default().module(&bytes)?.adapter(WASI, ADAPTER)?.encode();
    // The module is untrusted, and the encoder panics where it expects a valid one.
    let encoded = catch_unwind(AssertUnwindSafe(wrap)).unwrap_or_else(|_| Err(anyhow!("it is malformed")));
    let cannot = |error: anyhow::Error| anyhow!("cannot be made a component: {}", error.root_cause());
    encoded.map(Cow::Owned).map_err(cannot)
}

/// What a core module imports and exports.
struct Outline<'a> {
    /// The modules and names of its imports.
    imports: Vec<(&'a str, &'a str)>,
    /// Whether it exports the function that runs a program.
    has_start: bool,
    /// Whether it exports the memory, in which WASI 0.1 passes data.
    has_memory: bool,
    /// Whether it contains Go's runtime. It takes all memory from the end of its data on, no matter what has grown it (`sbrk` in
    /// `mem_wasm.go`), and the adapter keeps its state in pages that it has grown.
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
