//! Merges a handler's core module with the provider's into one, so that an instance has one memory and one table, and
//! costs little more than one that was made for `wasi:http`.
//!
//! The provider's data comes behind the handler's initial memory. That memory must belong to none, which only some
//! compilers' output makes sure of: the C library that Rust links knows its heap when it is linked, and gets what it
//! needs beyond that from `memory.grow`. Other handlers are not merged.

mod adapter;
mod core;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Write as _,
};

use anyhow::{Context as _, bail, ensure};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType,
    Module, NameMap, NameSection, StartSection, TableSection, TableType, TypeSection, ValType,
    reencode::{Reencode as _, RoundtripReencoder},
};
use wasmparser::{Chunk, DataKind, ElementItems, ElementKind, Encoding, Operator, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Handle, Resolve, SizeAlign, Type, TypeDefKind, abi::AbiVariant};

use self::{
    adapter::{Maker, Target},
    core::{Core, Import, Moved, of_encoder, relocate},
};
use super::{
    handler::{Handler, INCOMING_HANDLER, Keep},
    needs::Needs,
    parts::{self, EXCHANGE, PROVIDER},
    stand_in::{self, Does, Random, Signature},
};
use crate::kind::wasm::gateway::HANDLER;

/// The size of a page of memory in bytes.
const PAGE: u32 = 64 << 10;

/// The size of the provider's stack in memory, which `host/build.rs` sets, in bytes.
const STACK: u32 = 64 << 10;

/// A component of `wasi:http` with one core module, which contains the handler and its parts.
///
/// # Errors
///
/// The handler has another shape than those that are known to be safe to merge.
pub(super) fn merge(handler: &Handler<'_>, needs: &Needs, keep: Keep) -> anyhow::Result<Vec<u8>> {
    let main = Core::read(main_module(handler.bytes)?)?;
    ensure!(main.knows_its_heap_when_linked()?, "its heap may be anywhere behind its data");
    let mut resolve = parts::resolve()?;
    resolve.merge(handler.resolve.clone())?;
    let random = stand_in::add_random(&mut resolve)?;

    let memory = u32::try_from(main.memory.initial)?.checked_mul(PAGE).context("its memory is too large")?;
    let table = main.table.map_or(Ok(1), |table| u32::try_from(table.initial))?;
    // The provider's data begins behind its stack, which is not needed, and its first element is at 1.
    let memory = memory.checked_sub(STACK).context("its memory is too small")?;
    let provider = relocate(PROVIDER, memory, table - 1)?;
    let provider = Core::read(&provider)?;
    let plan = Plan::new(&resolve, &main, &provider, handler, needs, keep, &random)?;
    let mut module = plan.write(memory, table)?;

    let mut text = "package wasmserve:exported;\nworld exported {\n".to_owned();
    for interface in plan.imports.iter().map(|import| &import.module).collect::<BTreeSet<_>>() {
        _ = writeln!(text, "  import {interface};");
    }
    _ = writeln!(text, "  export {INCOMING_HANDLER};\n}}");
    let package = resolve.push_source("exported.wit", &text)?;
    let world = resolve.packages[package].worlds["exported"];
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default().module(&module)?.merge_imports_based_on_semver(false);
    encoder.encode()
}

/// The core module of a component that has no other one, apart from those with which tools connect it to its imports.
fn main_module(component: &[u8]) -> anyhow::Result<&[u8]> {
    let mut modules = Vec::new();
    let (mut parser, mut at) = (Parser::new(0), 0);
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(&component[at..], true)? else { bail!("it is cut off") };
        at += consumed;
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                modules.push(component.get(unchecked_range.clone()).context("it is cut off")?);
                at = unchecked_range.end;
            }
            // It only gives an exported interface its shape.
            Payload::ComponentSection { unchecked_range, .. } => {
                let inner = component.get(unchecked_range.clone()).context("it is cut off")?;
                ensure!(!has_code(inner)?, "it is composed of several components");
                at = unchecked_range.end;
            }
            Payload::Version { encoding, .. } => ensure!(encoding == Encoding::Component, "it is not a component"),
            Payload::End(_) => break,
            _ => {}
        }
    }
    let Some((main, others)) = modules.split_first() else { bail!("it has no code") };
    for other in others {
        ensure!(connects(other)?, "it has several modules");
    }
    Ok(main)
}

/// Whether a component has core modules.
fn has_code(component: &[u8]) -> anyhow::Result<bool> {
    for payload in Parser::new(0).parse_all(component) {
        if matches!(payload?, Payload::ModuleSection { .. }) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a module only connects another one to its imports: it has a table of functions, and passes calls on.
fn connects(module: &[u8]) -> anyhow::Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::MemorySection(_) | Payload::GlobalSection(_) | Payload::DataSection(_) => return Ok(false),
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if !matches!(import?.ty, TypeRef::Func(_) | TypeRef::Table(_)) {
                        return Ok(false);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    match operator? {
                        Operator::LocalGet { .. }
                        | Operator::I32Const { .. }
                        | Operator::CallIndirect { .. }
                        | Operator::End => {}
                        _ => return Ok(false),
                    }
                }
            }
            _ => {}
        }
    }
    Ok(true)
}

/// A function of another component that the result imports.
struct Imported {
    /// The interface.
    module: String,
    name: String,
    signature: Signature,
}

/// A function that is in neither module.
struct Made {
    name: String,
    signature: Signature,
    what: What,
}

/// What a function does that is made here.
enum What {
    /// Is what the host calls.
    Driver,
    /// Is the allocator that the host calls.
    Realloc,
    /// Calls the function of the provider with this name.
    Adapter(wit_parser::Function, String),
    /// Stands in for a function that the host may lack.
    StandIn(wit_parser::Function, Does),
    /// Drops a resource of which there are none.
    Nothing,
}

/// The functions that are made for every handler, by their places among those that are made.
const DRIVER: u32 = 0;
const REALLOC: u32 = 1;

/// What a function of a module becomes.
#[derive(Clone, Copy)]
enum Place {
    Import(u32),
    Made(u32),
}

/// The functions of the result.
struct Plan<'a> {
    resolve: &'a Resolve,
    main: &'a Core<'a>,
    provider: &'a Core<'a>,
    imports: Vec<Imported>,
    made: Vec<Made>,
    /// What the imports of the two modules become.
    main_imports: Vec<Place>,
    provider_imports: Vec<Place>,
    /// The functions of the provider that are needed.
    live: HashSet<u32>,
    random: &'a str,
}

impl<'a> Plan<'a> {
    fn new(
        resolve: &'a Resolve,
        main: &'a Core<'a>,
        provider: &'a Core<'a>,
        handler: &Handler<'_>,
        needs: &Needs,
        keep: Keep,
        random: &'a str,
    ) -> anyhow::Result<Self> {
        let i32s = |params, results| (vec![ValType::I32; params], vec![ValType::I32; results]);
        let made = |name: &str, signature, what| Made { name: name.to_owned(), signature, what };
        let mut plan = Self {
            resolve,
            main,
            provider,
            imports: Vec::new(),
            made: vec![made("driver", i32s(2, 0), What::Driver), made("cabi_realloc", i32s(4, 1), What::Realloc)],
            main_imports: Vec::new(),
            provider_imports: Vec::new(),
            live: HashSet::new(),
            random,
        };
        let known = handler.imports();
        for import in &main.imports {
            // The versions of a handler's core imports may differ from those that the component has in the end.
            let base = |name: &str| name.split_once('@').map_or(name, |(base, _)| base).to_owned();
            let interface = known.iter().find(|known| base(known) == base(import.module));
            let interface = interface.with_context(|| format!("it imports `{}`", import.module))?;
            let signature = signature(main, *import)?;
            let place = if needs.provider.contains(interface) {
                let function = plan.function(interface, import.name)?.clone();
                let name = format!("{interface}#{}", import.name);
                plan.make(import.name, signature, What::Adapter(function, name))
            } else if needs.stand_in.contains(interface) {
                plan.stand_in(interface, import.name, signature)?
            } else {
                plan.import(interface, import.name, signature)
            };
            plan.main_imports.push(place);
        }
        plan.live = provider.live(plan.roots()?)?;
        for (index, import) in (0..).zip(&provider.imports) {
            let signature = signature(provider, *import)?;
            let place = match import.module {
                _ if !plan.live.contains(&index) => Place::Import(0),
                "wasi:cli/environment@0.2.0" if !keep.cli => plan.stand_in(import.module, import.name, signature)?,
                _ => plan.import(import.module, import.name, signature),
            };
            plan.provider_imports.push(place);
        }
        Ok(plan)
    }

    /// The functions of the provider that are called from outside of it.
    fn roots(&self) -> anyhow::Result<Vec<u32>> {
        let adapted = self.made.iter().filter_map(|made| match &made.what {
            What::Adapter(_, name) => Some(name.clone()),
            _ => None,
        });
        let exchange = ["begin", "end"].map(|name| format!("{EXCHANGE}#{name}"));
        let mut roots = vec![self.provider.export("cabi_realloc")?];
        for name in adapted.chain(exchange) {
            roots.push(self.provider.export(&name)?);
            roots.extend(self.provider.export(&format!("cabi_post_{name}")));
        }
        Ok(roots)
    }

    fn import(&mut self, module: &str, name: &str, signature: Signature) -> Place {
        let known = self.imports.iter().position(|import| import.module == module && import.name == name);
        let index = known.unwrap_or_else(|| {
            self.imports.push(Imported { module: module.to_owned(), name: name.to_owned(), signature });
            self.imports.len() - 1
        });
        Place::Import(index_of(index))
    }

    fn make(&mut self, name: &str, signature: Signature, what: What) -> Place {
        self.made.push(Made { name: name.to_owned(), signature, what });
        Place::Made(index_of(self.made.len() - 1))
    }

    fn stand_in(&mut self, interface: &str, name: &str, signature: Signature) -> anyhow::Result<Place> {
        if name.starts_with("[resource-drop]") {
            return Ok(self.make(name, signature, What::Nothing));
        }
        let function = self.function(interface, name)?.clone();
        let does = Does::of(self.resolve, interface, &function);
        if matches!(does, Does::Number | Does::Numbers | Does::Bytes) {
            self.random();
        }
        Ok(self.make(name, signature, What::StandIn(function, does)))
    }

    /// Imports the functions for random numbers.
    fn random(&mut self) -> Random {
        let random = self.random;
        let bytes = self.import(random, "get-random-bytes", (vec![ValType::I64, ValType::I32], vec![]));
        let number = self.import(random, "get-random-u64", (vec![], vec![ValType::I64]));
        let (Place::Import(bytes), Place::Import(number)) = (bytes, number) else { unreachable!("both are imported") };
        Random { bytes, number }
    }

    /// The type of a function of an interface.
    fn function(&self, interface: &str, name: &str) -> anyhow::Result<&wit_parser::Function> {
        let found =
            self.resolve.interfaces.iter().find(|(id, _)| self.resolve.id_of(*id).as_deref() == Some(interface));
        let function = found.and_then(|(_, interface)| interface.functions.get(name));
        function.with_context(|| format!("`{interface}` has no function `{name}`"))
    }

    /// The index in the result of the first function of the handler's module, of the provider's, and of those that are
    /// made.
    fn firsts(&self) -> [u32; 3] {
        let main = index_of(self.imports.len());
        let provider = main + index_of(self.main.functions.len());
        [main, provider, provider + index_of(self.provider.functions.len())]
    }

    fn place(&self, place: Place) -> u32 {
        match place {
            Place::Import(index) => index,
            Place::Made(index) => self.firsts()[2] + index,
        }
    }

    /// The new indices of a module's functions.
    fn functions(&self, imports: &[Place], core: &Core<'_>, first: u32) -> Vec<u32> {
        let defined = (first..).take(core.functions.len());
        imports.iter().map(|place| self.place(*place)).chain(defined).collect()
    }

    /// The function of the provider with this name, as the handler calls it.
    fn target(&self, functions: &[u32], core: &Core<'_>, name: &str) -> anyhow::Result<Target> {
        let function = functions[core.export(name)? as usize];
        let post = core.export(&format!("cabi_post_{name}")).ok().map(|post| functions[post as usize]);
        Ok(Target { function, post })
    }

    /// Writes the module. `memory` is where the provider's data is, and `table` how many elements the handler has.
    fn write(&self, memory: u32, table: u32) -> anyhow::Result<Vec<u8>> {
        let Self { main, provider, .. } = self;
        let [first_main, first_provider, first_made] = self.firsts();
        let main_globals = main.globals.as_ref().map_or(0, |globals| globals.count());
        let all_globals = main_globals + provider.globals.as_ref().map_or(0, |globals| globals.count());
        let is_provider = all_globals;
        // Calls are nested, so both can use one stack.
        let (Some(stack), Some(own)) = (main.stack_pointer, provider.stack_pointer) else { bail!("it has no stack") };
        let mut provider_globals: Vec<u32> = (main_globals..all_globals).collect();
        provider_globals[own as usize] = stack;
        let mut main_moved = Moved {
            functions: self.functions(&self.main_imports, main, first_main),
            globals: (0..main_globals).collect(),
            types: 0,
            data: 0,
        };
        let main_data = main.data.as_ref().map_or(0, |data| data.count());
        let mut provider_moved = Moved {
            functions: self.functions(&self.provider_imports, provider, first_provider),
            globals: provider_globals,
            types: index_of(main.function_types.len()),
            data: main_data,
        };

        let mut types = TypeSection::new();
        for (core, moved) in [(main, &mut main_moved), (provider, &mut provider_moved)] {
            if let Some(section) = &core.types {
                moved.parse_type_section(&mut types, section.clone()).map_err(of_encoder)?;
            }
        }
        let mut known: HashMap<Signature, u32> = HashMap::new();
        let mut type_of = |(params, results): &Signature| {
            *known.entry((params.clone(), results.clone())).or_insert_with(|| {
                types.ty().function(params.iter().copied(), results.iter().copied());
                types.len() - 1
            })
        };
        let mut imports = ImportSection::new();
        for Imported { module, name, signature } in &self.imports {
            imports.import(module, name, EntityType::Function(type_of(signature)));
        }
        let mut functions = FunctionSection::new();
        for (core, moved) in [(main, &main_moved), (provider, &provider_moved)] {
            core.functions.iter().for_each(|ty| _ = functions.function(moved.types + ty));
        }
        for made in &self.made {
            functions.function(type_of(&made.signature));
        }

        let mut tables = TableSection::new();
        let own = provider.table.map_or(1, |table| table.initial);
        let size = u64::from(table) + own - 1;
        let table_type = TableType {
            element_type: wasm_encoder::RefType::FUNCREF,
            table64: false,
            minimum: size,
            maximum: Some(size),
            shared: false,
        };
        tables.table(table_type);

        let behind = provider.memory.initial - u64::from(STACK / PAGE);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: main.memory.initial + behind,
            maximum: main.memory.maximum.map(|maximum| maximum + behind),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });

        let mut globals = GlobalSection::new();
        if let Some(section) = &main.globals {
            main_moved.parse_global_section(&mut globals, section.clone()).map_err(of_encoder)?;
        }
        for global in provider.globals.clone().into_iter().flatten() {
            let global = global?;
            let ty = provider_moved.global_type(global.ty).map_err(of_encoder)?;
            globals.global(ty, &ConstExpr::i32_const(constant(&global.init_expr)?));
        }
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i32_const(0));

        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export(&format!("{INCOMING_HANDLER}#handle"), ExportKind::Func, first_made + DRIVER);
        exports.export("cabi_realloc", ExportKind::Func, first_made + REALLOC);
        if let Ok(initialize) = main.export("_initialize") {
            exports.export("_initialize", ExportKind::Func, main_moved.functions[initialize as usize]);
        }

        let mut elements = ElementSection::new();
        if let Some(section) = &main.elements {
            main_moved.parse_element_section(&mut elements, section.clone()).map_err(of_encoder)?;
        }
        for element in provider.elements.clone().into_iter().flatten() {
            let element = element?;
            let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(items)) =
                (element.kind, element.items)
            else {
                bail!("the provider has elements of another kind");
            };
            let offset = constant(&offset_expr)? + i32::try_from(table)? - 1;
            let items: Vec<u32> = items.into_iter().collect::<Result<_, _>>()?;
            let items = items.into_iter().map(|index| provider_moved.functions[index as usize]).collect::<Vec<_>>();
            elements.active(None, &ConstExpr::i32_const(offset), Elements::Functions(items.into()));
        }

        let mut code = CodeSection::new();
        for body in &main.bodies {
            main_moved.parse_function_body(&mut code, body.clone()).map_err(of_encoder)?;
        }
        for (index, body) in (provider.first()..).zip(&provider.bodies) {
            match self.live.contains(&index) {
                true => provider_moved.parse_function_body(&mut code, body.clone()).map_err(of_encoder)?,
                false => {
                    let mut never = Function::new([]);
                    never.instructions().unreachable().end();
                    code.function(&never);
                }
            }
        }
        let mut sizes = SizeAlign::default();
        sizes.fill(self.resolve);
        let maker = Maker {
            resolve: self.resolve,
            sizes: &sizes,
            caller: main_moved.functions[main.export("cabi_realloc")? as usize],
            callee: provider_moved.functions[provider.export("cabi_realloc")? as usize],
            is_provider,
        };
        for made in &self.made {
            code.function(&match &made.what {
                What::Driver => {
                    let of = |name| self.target(&provider_moved.functions, provider, &format!("{EXCHANGE}#{name}"));
                    let handle = self.target(&main_moved.functions, main, &format!("{HANDLER}#handle"))?;
                    maker.driver(of("begin")?.function, handle, of("end")?.function)
                }
                What::Realloc => maker.realloc(),
                What::Adapter(function, name) => {
                    maker.adapter(function, self.target(&provider_moved.functions, provider, name)?)?
                }
                What::StandIn(function, does) => self.body(function, *does, &made.signature),
                What::Nothing => {
                    let mut nothing = Function::new([]);
                    nothing.instructions().end();
                    nothing
                }
            });
        }

        let mut data = DataSection::new();
        if let Some(section) = &main.data {
            main_moved.parse_data_section(&mut data, section.clone()).map_err(of_encoder)?;
        }
        for segment in provider.data.clone().into_iter().flatten() {
            let segment = segment?;
            let DataKind::Active { offset_expr, .. } = &segment.kind else { bail!("the provider has passive data") };
            let offset = constant(offset_expr)? + memory.cast_signed();
            data.active(0, &ConstExpr::i32_const(offset), segment.data.iter().copied());
        }

        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories);
        module.section(&globals).section(&exports);
        if let Some(start) = main.start {
            module.section(&StartSection { function_index: main_moved.functions[start as usize] });
        }
        module.section(&elements).section(&DataCountSection { count: data.len() }).section(&code).section(&data);
        module.section(&self.names(&main_moved, &provider_moved));
        Ok(module.finish())
    }

    /// A function that stands in for one of the host. The address of its result is the last parameter.
    fn body(&self, function: &wit_parser::Function, does: Does, signature: &Signature) -> Function {
        let has_address = self.resolve.wasm_signature(AbiVariant::GuestImport, function).retptr;
        let address = index_of(signature.0.len()).saturating_sub(1);
        let random =
            Random { bytes: self.index_of_import("get-random-bytes"), number: self.index_of_import("get-random-u64") };
        let mut body = Function::new([]);
        let mut code = body.instructions();
        match does {
            Does::Nothing if !has_address => {
                // A `result` without values: an error.
                code.i32_const(1);
            }
            // There is no such thing, and what is made of it fails.
            Does::Trap if is_handle(self.resolve, function) => _ = code.i32_const(0),
            does => {
                stand_in::instructions(&mut code, self.resolve, function, does, random, |code| {
                    code.local_get(address);
                });
            }
        }
        code.end();
        body
    }

    /// The index of an import for random numbers, which is there if it is needed.
    fn index_of_import(&self, name: &str) -> u32 {
        let found = self.imports.iter().position(|import| import.module == self.random && import.name == name);
        index_of(found.unwrap_or_default())
    }

    /// The names of all functions, for stacks.
    fn names(&self, main: &Moved, provider: &Moved) -> NameSection {
        let mut all: Vec<(u32, &str)> = Vec::new();
        for (core, moved) in [(self.main, main), (self.provider, provider)] {
            let is_kept = |index: &u32| std::ptr::eq(core, self.main) || self.live.contains(index);
            let defined = core.names.iter().filter(|(index, _)| **index >= core.first() && is_kept(index));
            all.extend(defined.filter_map(|(index, name)| Some((*moved.functions.get(*index as usize)?, *name))));
        }
        all.extend((self.firsts()[2]..).zip(self.made.iter().map(|made| &*made.name)));
        all.sort_unstable();
        let mut functions = NameMap::new();
        all.iter().for_each(|(index, name)| functions.append(*index, name));
        let mut names = NameSection::new();
        names.module("handler");
        names.functions(&functions);
        names
    }
}

/// Whether a function returns a handle, and needs none.
fn is_handle(resolve: &Resolve, function: &wit_parser::Function) -> bool {
    let Some(Type::Id(id)) = function.result else { return false };
    matches!(resolve.types[id].kind, TypeDefKind::Handle(Handle::Own(_))) && function.params.is_empty()
}

/// The types of an imported function.
fn signature(core: &Core<'_>, import: Import<'_>) -> anyhow::Result<Signature> {
    let ty = core.function_types.get(import.ty as usize).context("a type is missing")?;
    let of = |types: &[wasmparser::ValType]| {
        types.iter().map(|ty| RoundtripReencoder.val_type(*ty).map_err(of_encoder)).collect::<anyhow::Result<Vec<_>>>()
    };
    Ok((of(ty.params())?, of(ty.results())?))
}

/// The value of a constant expression with one number.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> anyhow::Result<i32> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(value),
        other => bail!("a constant is {other:?}"),
    }
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect("indices have 32 bits")
}
