//! What stands in for interfaces that a host may lack: there are no variables, no files and no network.

use std::fmt::Write as _;

use anyhow::Context as _;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{
    Function as WitFunction, FunctionKind, LiftLowerAbi, ManglingAndAbi, Resolve, SizeAlign, Type, TypeDefKind, TypeId,
    WasmExport, WasmExportKind, WorldItem,
    abi::{WasmSignature, WasmType},
};

use crate::compose::allocator::bump;

/// The functions of `wasi:random/random` that stand-ins call.
const RANDOM: &str =
    "interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }";

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Fails if its type lets it, or returns nothing.
    Nothing,
    /// Ends the instance.
    Trap,
    /// Returns, and has nothing to return.
    Return,
    /// Returns a random number.
    Number,
    /// Returns two random numbers.
    Numbers,
    /// Returns random bytes.
    Bytes,
}

impl Does {
    /// What the function `name` of an interface does.
    pub(super) fn of(resolve: &Resolve, interface: &str, function: &WitFunction) -> Self {
        let interface = interface.split_once('@').map_or(interface, |(name, _)| name);
        match (interface, &*function.name) {
            ("wasi:random/insecure-seed", _) => Self::Numbers,
            ("wasi:random/insecure", "get-insecure-random-u64") => Self::Number,
            ("wasi:random/insecure", "get-insecure-random-bytes") => Self::Bytes,
            ("wasmserve:python/memory", _) => Self::Return,
            // There is nothing to call a method of.
            _ if matches!(function.kind, FunctionKind::Method(_)) => Self::Trap,
            _ => match function.result {
                Some(Type::Id(result)) if is_empty_or_error(resolve, result) => Self::Nothing,
                _ => Self::Trap,
            },
        }
    }
}

/// Whether a type has a value that means that there is nothing.
fn is_empty_or_error(resolve: &Resolve, result: TypeId) -> bool {
    match &resolve.types[result].kind {
        TypeDefKind::List(_) | TypeDefKind::Option(_) | TypeDefKind::Result(_) => true,
        TypeDefKind::Type(Type::Id(other)) => is_empty_or_error(resolve, *other),
        _ => false,
    }
}

/// The indices of the functions of `wasi:random/random`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random {
    pub(super) bytes: u32,
    pub(super) number: u32,
}

/// The instructions of a function. `result` puts the address of its result on the stack, which is in memory 0; the
/// parameters are the first locals.
pub(super) fn instructions(
    code: &mut InstructionSink<'_>,
    resolve: &Resolve,
    function: &WitFunction,
    does: Does,
    random: Random,
    result: impl Fn(&mut InstructionSink<'_>),
) {
    let at = |offset| MemArg { offset, align: 0, memory_index: 0 };
    match does {
        Does::Trap => _ = code.unreachable(),
        Does::Return => {}
        Does::Number => _ = code.call(random.number),
        Does::Numbers => {
            result(code);
            code.call(random.number).i64_store(at(0));
            result(code);
            code.call(random.number).i64_store(at(8));
        }
        Does::Bytes => {
            code.local_get(0);
            result(code);
            code.call(random.bytes);
        }
        Does::Nothing => {
            let ty = function.result.expect("it returns something");
            let mut sizes = SizeAlign::default();
            sizes.fill(resolve);
            let size = i32::try_from(sizes.size(&ty).size_wasm32()).expect("types are small");
            result(code);
            code.i32_const(0).i32_const(size).memory_fill(0);
            if is_result(resolve, &ty) {
                // An error, and of the errors the first: `access` for files, `unknown` for sockets.
                result(code);
                code.i32_const(1).i32_store8(at(0));
            }
        }
    }
}

fn is_result(resolve: &Resolve, ty: &Type) -> bool {
    let Type::Id(id) = ty else { return false };
    match &resolve.types[*id].kind {
        TypeDefKind::Result(_) => true,
        TypeDefKind::Type(other) => is_result(resolve, other),
        _ => false,
    }
}

/// Adds a package with `wasi:random/random` to the types, in a version that they do not have. Returns the name of the
/// interface.
pub(super) fn add_random(resolve: &mut Resolve) -> anyhow::Result<String> {
    let is_taken = |patch: &u32| {
        let version = format!("0.2.{patch}");
        resolve.packages.iter().any(|(_, package)| {
            let name = &package.name;
            name.namespace == "wasi"
                && name.name == "random"
                && name.version.as_ref().is_some_and(|taken| taken.to_string() == version)
        })
    };
    let patch = (0..).find(|patch| !is_taken(patch)).expect("there are many versions");
    resolve.push_source("random.wit", &format!("package wasi:random@0.2.{patch};\n{RANDOM}"))?;
    Ok(format!("wasi:random/random@0.2.{patch}"))
}

/// The component that exports these interfaces, whose types are in `resolve`.
pub(super) fn component(mut resolve: Resolve, interfaces: &[String]) -> anyhow::Result<Vec<u8>> {
    let random = add_random(&mut resolve)?;
    let mut text = format!("package wasmserve:stand-in;\nworld stand-in {{\n  import {random};\n");
    for interface in interfaces {
        _ = writeln!(text, "  export {interface};");
    }
    text.push_str("}\n");
    let package = resolve.push_source("stand-in.wit", &text)?;
    let world = resolve.packages[package].worlds["stand-in"];

    // Results are here: nothing is larger than what the memory has.
    const RESULT: i32 = 16;
    const FREE: i32 = 1024;
    let mut module = Parts::default();
    let signature = |params: &[ValType], results: &[ValType]| (params.to_vec(), results.to_vec());
    let bytes = module.import(&random, "get-random-bytes", signature(&[ValType::I64, ValType::I32], &[]));
    let number = module.import(&random, "get-random-u64", signature(&[], &[ValType::I64]));
    let random = Random { bytes, number };
    let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = resolve.name_world_key(key);
        for function in resolve.interfaces[*id].functions.values() {
            let signature = resolve.wasm_signature(mangling.export_variant(), function);
            let export = WasmExport::Func { interface: Some(key), func: function, kind: WasmExportKind::Normal };
            let name = resolve.wasm_export_name(mangling, export);
            let does = match Does::of(&resolve, &interface, function) {
                // A handle of a resource, for example.
                Does::Nothing if !signature.retptr => Does::Trap,
                does => does,
            };
            let mut body = Function::new([]);
            let mut code = body.instructions();
            instructions(&mut code, &resolve, function, does, random, |code| _ = code.i32_const(RESULT));
            if signature.retptr && does != Does::Trap {
                code.i32_const(RESULT);
            }
            code.end();
            module.function(&name, core(&signature), &body);
        }
    }
    let realloc = bump(0);
    module.function("cabi_realloc", (vec![ValType::I32; 4], vec![ValType::I32]), &realloc);
    let mut module = module.finish(FREE);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode().context("the stand-in")
}

/// The types of a core function.
pub(super) type Signature = (Vec<ValType>, Vec<ValType>);

/// A signature as the encoder knows it.
pub(super) fn core(signature: &WasmSignature) -> Signature {
    let of = |types: &[WasmType]| {
        let of = |ty: &WasmType| match ty {
            WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
            WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
            WasmType::F32 => ValType::F32,
            WasmType::F64 => ValType::F64,
        };
        types.iter().map(of).collect()
    };
    (of(&signature.params), of(&signature.results))
}

/// A core module that is being made.
#[derive(Default)]
struct Parts {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
}

impl Parts {
    fn import(&mut self, module: &str, name: &str, (params, results): Signature) -> u32 {
        self.types.ty().function(params, results);
        self.imports.import(module, name, EntityType::Function(self.types.len() - 1));
        self.imports.len() - 1
    }

    fn function(&mut self, name: &str, (params, results): Signature, body: &Function) {
        self.types.ty().function(params, results);
        self.exports.export(name, ExportKind::Func, self.imports.len() + self.functions.len());
        self.functions.function(self.types.len() - 1);
        self.code.function(body);
    }

    /// The module, with a memory that is free from this address on, which is global 0.
    fn finish(mut self, free: i32) -> Vec<u8> {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut globals = GlobalSection::new();
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i32_const(free));
        self.exports.export("memory", ExportKind::Memory, 0);
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions).section(&memories);
        module.section(&globals).section(&self.exports).section(&self.code);
        module.finish()
    }
}
