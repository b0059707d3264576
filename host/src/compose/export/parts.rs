//! The parts that do not depend on the handler: the provider and the driver.

use anyhow::Context as _;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::handler::INCOMING_HANDLER;
use crate::{base::contract, compose::allocator::bump, kind::wasm::gateway::HANDLER};

/// The provider, a core module for which a component can be made.
pub(super) const PROVIDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/provider.wasm"));

/// What the driver calls.
pub(super) const EXCHANGE: &str = "wasmserve:provider/exchange@0.1.0";

/// The packages of the provider's world, each after those that it uses.
const PACKAGES: [(&str, &str); 5] = [
    ("wasi-io.wit", include_str!("../../../provider/wit/wasi-io.wit")),
    ("wasi-cli.wit", include_str!("../../../provider/wit/wasi-cli.wit")),
    ("wasi-http.wit", include_str!("../../../provider/wit/wasi-http.wit")),
    ("python.wit", include_str!("../../../provider/wit/python.wit")),
    ("provider.wit", include_str!("../../../provider/wit/provider.wit")),
];

/// The provider as a component.
pub(super) fn provider() -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default().module(PROVIDER)?.encode().context("the provider")
}

/// The types of the parts.
pub(super) fn resolve() -> anyhow::Result<Resolve> {
    let mut resolve = Resolve::default();
    resolve.push_source("gateway.wit", &contract::text())?;
    for (name, text) in PACKAGES {
        resolve.push_source(name, text)?;
    }
    Ok(resolve)
}

/// The driver as a component.
pub(super) fn driver() -> anyhow::Result<Vec<u8>> {
    let resolve = resolve()?;
    let package = resolve.packages.iter().find(|(_, package)| package.name.name == "provider");
    let world = package.and_then(|(_, package)| package.worlds.get("driver")).context("there is no driver")?;
    let mut module = driver_module();
    embed_component_metadata(&mut module, &resolve, *world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode().context("the driver")
}

/// Where the driver has what the handler returned.
const OUTCOME: i32 = 16;

/// Where the driver's free memory begins.
const FREE: i32 = 64;

/// The driver as a core module. It has a memory for one thing only, the text of an error.
fn driver_module() -> Vec<u8> {
    use ValType::I32;
    let mut types = TypeSection::new();
    types.ty().function([I32, I32], []);
    types.ty().function([I32, I32, I32], []);
    types.ty().function([I32], []);
    types.ty().function([I32; 4], [I32]);
    let mut imports = ImportSection::new();
    imports.import(EXCHANGE, "begin", EntityType::Function(0));
    imports.import(EXCHANGE, "end", EntityType::Function(1));
    imports.import(HANDLER, "handle", EntityType::Function(2));
    let mut functions = FunctionSection::new();
    functions.function(0).function(3);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut globals = GlobalSection::new();
    globals.global(GlobalType { val_type: I32, mutable: true, shared: false }, &ConstExpr::i32_const(FREE));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export(&format!("{INCOMING_HANDLER}#handle"), ExportKind::Func, 3);
    exports.export("cabi_realloc", ExportKind::Func, 4);

    let at = |offset| wasm_encoder::MemArg { offset, align: 0, memory_index: 0 };
    let mut handle = Function::new([]);
    handle.instructions().local_get(0).local_get(1).call(0);
    handle.instructions().i32_const(OUTCOME).call(2);
    handle.instructions().i32_const(OUTCOME).i32_load8_u(at(0)).i32_const(OUTCOME).i32_load(at(4));
    handle.instructions().i32_const(OUTCOME).i32_load(at(8)).call(1).end();

    let mut code = CodeSection::new();
    code.function(&handle).function(&bump(0));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}
