//! The driver: a component that calls the filters and the handler, and contains the filters' options.

use std::fmt::Write as _;

use anyhow::Context as _;
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::filter::Filter;
use crate::{base::contract, compose::allocator::bump, kind::wasm::gateway::HANDLER};

/// Where the driver has the outcome of the last call, a `result` whose error is a text: whether it is an error, in the first
/// byte; behind that the address of the text and its length. What a filter decides is in the place of the address.
const OUTCOME: i32 = 16;

/// Where the driver's data begins.
const DATA: i32 = 32;

/// The size of a page of memory, in bytes.
const PAGE: usize = 64 << 10;

/// The name under which the driver imports a filter, counted from the outermost one.
pub(super) fn import(at: usize) -> String {
    format!("filter{at}")
}

/// The driver as a component.
///
/// # Errors
///
/// There are more options than fit into a memory.
pub(super) fn component(filters: &[Filter]) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_source("gateway.wit", &contract::text())?;
    let package = resolve.push_source("driver.wit", &world(filters.len()))?;
    let world = resolve.select_world(&[package], Some("driver"))?;
    let mut module = module(filters)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode().context("the driver")
}

/// The driver's world, which imports the interface of filters once for each of them.
fn world(filters: usize) -> String {
    let mut text = String::from("package wasmserve:driver;\n\nworld driver {\n");
    for at in 0..filters {
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "  import {}: interface {{\n    \
             enum decision {{ forward, answered }}\n    \
             configure: func(options: list<tuple<string, string>>) -> result<_, string>;\n    \
             before: func() -> result<decision, string>;\n    \
             after: func(outcome: result<_, string>) -> result<_, string>;\n  }}",
            import(at)
        );
    }
    text + &format!("  import {HANDLER};\n  export {HANDLER};\n}}\n")
}

/// Data of the driver: options, as lists of pairs of texts.
#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    /// Adds bytes. Returns their address and their length.
    fn add(&mut self, bytes: &[u8]) -> anyhow::Result<[i32; 2]> {
        let place = [i32::try_from(self.0.len())? + DATA, i32::try_from(bytes.len())?];
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        Ok(place)
    }

    /// Adds a filter's options. Returns the address of the list and its length.
    fn add_settings(&mut self, filter: &Filter) -> anyhow::Result<[i32; 2]> {
        let mut list = Vec::new();
        for (name, value) in &filter.settings {
            for text in [name, value] {
                for number in self.add(text.as_bytes())? {
                    list.extend(number.to_le_bytes());
                }
            }
        }
        let [address, _] = self.add(&list)?;
        Ok([address, i32::try_from(filter.settings.len())?])
    }
}

/// The driver as a core module.
fn module(filters: &[Filter]) -> anyhow::Result<Vec<u8>> {
    use ValType::I32;
    let mut types = TypeSection::new();
    let (settings, returns, outcome, handles, allocates, names) = (0, 1, 2, 3, 4, 5);
    types.ty().function([I32; 3], []);
    types.ty().function([I32], []);
    types.ty().function([I32; 4], []);
    types.ty().function([], [I32]);
    types.ty().function([I32; 4], [I32]);
    types.ty().function([I32; 2], []);
    let mut imports = ImportSection::new();
    for at in 0..filters.len() {
        imports.import(&import(at), "configure", EntityType::Function(settings));
        imports.import(&import(at), "before", EntityType::Function(returns));
        imports.import(&import(at), "after", EntityType::Function(outcome));
    }
    imports.import(HANDLER, "handle", EntityType::Function(returns));
    let handle = u32::try_from(filters.len())? * 3;

    let mut data = Data::default();
    let place = |filter: &Filter| {
        let name = data.add(format!("the filter `{}`: ", filter.title()).as_bytes())?;
        Ok(Place { settings: data.add_settings(filter)?, name })
    };
    let places: Vec<_> = filters.iter().map(place).collect::<anyhow::Result<_>>()?;
    let [free, _] = data.add(&[0; 8])?;
    let pages = usize::try_from(free)?.div_ceil(PAGE) as u64;

    let mut functions = FunctionSection::new();
    functions.function(handles).function(allocates).function(names);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut globals = GlobalSection::new();
    let mutable = GlobalType { val_type: I32, mutable: true, shared: false };
    globals.global(mutable, &ConstExpr::i32_const(free));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export(&format!("{HANDLER}#handle"), ExportKind::Func, handle + 1);
    exports.export("cabi_realloc", ExportKind::Func, handle + 2);
    let mut code = CodeSection::new();
    code.function(&calls(&places, handle)).function(&bump(0)).function(&name(handle + 2));
    let mut segments = DataSection::new();
    segments.active(0, &ConstExpr::i32_const(DATA), data.0);

    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
    module.section(&exports).section(&code).section(&segments);
    Ok(module.finish())
}

/// Where the driver has what it knows of a filter: addresses and lengths.
struct Place {
    settings: [i32; 2],
    /// What precedes an error of the filter's own.
    name: [i32; 2],
}

/// `handle`. `handler` is the function of the handler; it is followed by this one, the allocator and that of [`name`].
fn calls(places: &[Place], handler: u32) -> Function {
    // How many filters have to be called again.
    let depth = 0;
    let byte = |offset| MemArg { offset, align: 0, memory_index: 0 };
    let word = |offset| MemArg { offset, align: 2, memory_index: 0 };
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    code.block(wasm_encoder::BlockType::Empty);
    for (first, Place { settings: [settings, count], name: [text, length] }) in (0..).step_by(3).zip(places) {
        code.i32_const(*settings).i32_const(*count).i32_const(OUTCOME).call(first);
        code.i32_const(OUTCOME).i32_load8_u(byte(0)).i32_eqz().if_(wasm_encoder::BlockType::Empty);
        code.i32_const(OUTCOME).call(first + 1).end();
        code.i32_const(OUTCOME).i32_load8_u(byte(0)).if_(wasm_encoder::BlockType::Empty);
        code.i32_const(*text).i32_const(*length).call(handler + 3).br(1).end();
        code.local_get(depth).i32_const(1).i32_add().local_set(depth);
        // `answered` is 1, and its result is a success.
        code.i32_const(OUTCOME).i32_load8_u(byte(4)).br_if(0);
    }
    code.i32_const(OUTCOME).call(handler).end();
    for (at, after) in (0..).zip((2..).step_by(3).take(places.len())).collect::<Vec<_>>().into_iter().rev() {
        code.local_get(depth).i32_const(at).i32_gt_s().if_(wasm_encoder::BlockType::Empty);
        code.i32_const(OUTCOME).i32_load8_u(byte(0)).i32_const(OUTCOME).i32_load(word(4));
        code.i32_const(OUTCOME).i32_load(word(8)).i32_const(OUTCOME).call(after).end();
    }
    code.i32_const(OUTCOME).end();
    function
}

/// Puts a text, by its address and length, in front of that of the error. `allocate` is the allocator.
fn name(allocate: u32) -> Function {
    let (text, length, joined) = (0, 1, 2);
    let word = |offset| MemArg { offset, align: 2, memory_index: 0 };
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    code.i32_const(0).i32_const(0).i32_const(1);
    code.local_get(length).i32_const(OUTCOME).i32_load(word(8)).i32_add().call(allocate).local_set(joined);
    code.local_get(joined).local_get(text).local_get(length).memory_copy(0, 0);
    code.local_get(joined).local_get(length).i32_add();
    code.i32_const(OUTCOME).i32_load(word(4)).i32_const(OUTCOME).i32_load(word(8)).memory_copy(0, 0);
    code.i32_const(OUTCOME).local_get(joined).i32_store(word(4));
    code.i32_const(OUTCOME).i32_const(OUTCOME).i32_load(word(8)).local_get(length).i32_add().i32_store(word(8)).end();
    function
}
