//! Programs for WASI 0.1, which are core modules: recognized by what they import, and made into components.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anyhow::{anyhow, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

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
    let Outline { imports, has_start } = Outline::of(bytes);
    let imports_of = |module: &str| imports.iter().any(|(other, _)| other.starts_with(module));
    let why = match imports.iter().find(|(module, _)| *module != WASI) {
        _ if imports_of("__wbindgen") || imports_of("wbg") || imports_of("./") => {
            "it was built for browsers with wasm-bindgen; build a handler for wasm32-wasip2: `wasmserve new hello`"
        }
        _ if imports_of("gojs") || imports_of("go") => {
            "it was built by Go for browsers; build a program with `GOOS=wasip1 GOARCH=wasm`, or a component with TinyGo"
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
        None if has_start => return Ok(()),
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
    // The module is untrusted, and the encoder runs in this process.
    let encoded = catch_unwind(AssertUnwindSafe(wrap)).unwrap_or_else(|_| Err(anyhow!("the encoder fails")));
    let cannot = |error: anyhow::Error| anyhow!("cannot be made a component: {}", error.root_cause());
    encoded.map(Cow::Owned).map_err(cannot)
}

/// What a core module imports and exports, as far as it can be read.
struct Outline<'a> {
    /// The modules and names of its imports.
    imports: Vec<(&'a str, &'a str)>,
    /// Whether it exports the function that runs a program.
    has_start: bool,
}

impl<'a> Outline<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut outline = Self { imports: Vec::new(), has_start: false };
        // What cannot be read is reported when it is wrapped.
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map_while(Result::ok);
                    outline.imports.extend(imports.map(|import| (import.module, import.name)));
                }
                Payload::ExportSection(exports) => {
                    outline.has_start |=
                        exports.into_iter().map_while(Result::ok).any(|export| export.name == "_start");
                }
                _ => {}
            }
        }
        outline
    }
}
