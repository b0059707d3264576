//! Links dynamic libraries of wasm into one core module, once and for all.
//!
//! The libraries follow the [tool convention for dynamic linking]: each asks for the place of its data and of its table
//! elements, and for the addresses of what other libraries have. Here all of that becomes constants. A linker that leaves
//! the libraries apart, as those for components do, gives every instance a dozen modules to connect and a shared table to
//! fill; one module costs a twentieth of that.
//!
//! [tool convention for dynamic linking]: https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md

use std::collections::HashMap;

use anyhow::{Context as _, anyhow, bail, ensure};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, MemArg,
    MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
    reencode::{self, Reencode, RoundtripReencoder},
};
use wasmparser::{
    DataKind, Dylink0Subsection, ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, KnownCustom, MemInfo,
    Operator, Parser, Payload, TypeRef,
};

/// The size of a page of memory in bytes.
const PAGE: u32 = 64 << 10;

/// The size of the stack that compiled code has in memory, as wasm-ld gives by default to libraries that are linked
/// together. It ends at address 0, so that an overflow is a trap.
const STACK: u32 = 1 << 20;

/// A dynamic library.
struct Library<'a> {
    name: &'a str,
    /// What the library needs in memory and in the table.
    needs: MemInfo,
    types: Vec<FuncType>,
    imported_functions: Vec<(&'a str, &'a str, u32)>,
    imported_globals: Vec<(&'a str, &'a str)>,
    /// The types of the functions that it defines.
    functions: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// The values of the globals that it defines, which are constants.
    globals: Vec<wasmparser::ConstExpr<'a>>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    /// What runs first.
    start: Option<u32>,
    elements: Vec<wasmparser::Element<'a>>,
    data: Vec<wasmparser::Data<'a>>,
    /// The worlds of components that it was compiled for.
    worlds: Vec<(&'a str, &'a [u8])>,
    /// Where its parts are in the result.
    memory_base: u32,
    table_base: u32,
    first_function: u32,
}

impl<'a> Library<'a> {
    fn read(name: &'a str, bytes: &'a [u8]) -> anyhow::Result<Self> {
        let mut library = Self {
            name,
            needs: MemInfo { memory_size: 0, memory_alignment: 0, table_size: 0, table_alignment: 0 },
            types: Vec::new(),
            imported_functions: Vec::new(),
            imported_globals: Vec::new(),
            functions: Vec::new(),
            bodies: Vec::new(),
            globals: Vec::new(),
            exports: HashMap::new(),
            start: None,
            elements: Vec::new(),
            data: Vec::new(),
            worlds: Vec::new(),
            memory_base: 0,
            table_base: 0,
            first_function: 0,
        };
        for payload in Parser::new(0).parse_all(bytes) {
            library.add(payload?)?;
        }
        Ok(library)
    }

    fn add(&mut self, payload: Payload<'a>) -> anyhow::Result<()> {
        match payload {
            Payload::TypeSection(types) => self.types = types.into_iter_err_on_gc_types().collect::<Result<_, _>>()?,
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(ty) => self.imported_functions.push((import.module, import.name, ty)),
                        TypeRef::Global(_) => self.imported_globals.push((import.module, import.name)),
                        TypeRef::Memory(_) | TypeRef::Table(_) => {}
                        TypeRef::Tag(_) | TypeRef::FuncExact(_) => bail!("imports `{}`", import.name),
                    }
                }
            }
            Payload::FunctionSection(functions) => self.functions = functions.into_iter().collect::<Result<_, _>>()?,
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    ensure!(!global.ty.mutable, "defines a variable that no address leads to");
                    self.globals.push(global.init_expr);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.insert(export.name, (export.kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(elements) => self.elements = elements.into_iter().collect::<Result<_, _>>()?,
            Payload::DataSection(data) => self.data = data.into_iter().collect::<Result<_, _>>()?,
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Dylink0(subsections) => {
                    for subsection in subsections {
                        if let Dylink0Subsection::MemInfo(needs) = subsection? {
                            self.needs = needs;
                        }
                    }
                }
                _ if section.name().starts_with("component-type") => {
                    self.worlds.push((section.name(), section.data()));
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// The value of a constant expression. `global` gives the values of globals.
    fn constant(
        &self,
        expression: &wasmparser::ConstExpr<'_>,
        global: &dyn Fn(u32) -> anyhow::Result<u32>,
    ) -> anyhow::Result<u32> {
        let mut stack: Vec<u32> = Vec::new();
        for operator in expression.get_operators_reader() {
            match operator? {
                Operator::I32Const { value } => stack.push(value.cast_unsigned()),
                Operator::GlobalGet { global_index } => stack.push(global(global_index)?),
                Operator::I32Add => {
                    let (Some(right), Some(left)) = (stack.pop(), stack.pop()) else { bail!("a sum lacks a part") };
                    stack.push(left.wrapping_add(right));
                }
                Operator::End => {}
                other => bail!("a constant of `{}` has {other:?}", self.name),
            }
        }
        stack.pop().context("a constant is empty")
    }

    /// The type of a function, by its index in this library.
    fn function_type(&self, index: u32) -> &FuncType {
        let index = index as usize;
        let imported = self.imported_functions.len();
        let ty = match self.imported_functions.get(index) {
            Some((_, _, ty)) => *ty,
            None => self.functions[index - imported],
        };
        &self.types[ty as usize]
    }

    /// The index in the result of a function that this library defines.
    fn placed(&self, index: u32) -> u32 {
        self.first_function + index - u32::try_from(self.imported_functions.len()).expect("indices have 32 bits")
    }
}

/// A function in the result.
#[derive(Clone, Copy)]
enum Symbol {
    /// A function of a library: the library, and the function's index there.
    Of(usize, u32),
    /// One of those that are made here.
    Made(Made),
}

/// Functions that are in no library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// Does what the loader of a process would do: `initialize: func()`.
    Initialize,
    /// Makes the image of the memory independent of this instance, and shows it: `settle: func()`.
    Settle,
    /// `memory.grow`, and shows the memory.
    Grow,
    /// The allocator that the host calls.
    Realloc,
    /// The function that answers a request: shows the memory first.
    Handle,
    /// The C library has no cache of its own that has to be reset.
    ResetAdapter,
    /// `dlopen`, which opens nothing.
    Open,
    /// `dlsym`, which finds nothing.
    Find,
    /// `dlerror`, which says why.
    Error,
    /// What a program would begin with. No program is linked.
    Main,
}

impl Made {
    const ALL: [Self; 10] = [
        Self::Initialize,
        Self::Settle,
        Self::Grow,
        Self::Realloc,
        Self::Handle,
        Self::ResetAdapter,
        Self::Open,
        Self::Find,
        Self::Error,
        Self::Main,
    ];

    /// The function that a library means by a name.
    fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("env", "dlopen") => Some(Self::Open),
            ("env", "dlsym") => Some(Self::Find),
            ("env", "dlerror") => Some(Self::Error),
            ("env", "__main_argc_argv") => Some(Self::Main),
            ("wasi_snapshot_preview1", "reset_adapter_state") => Some(Self::ResetAdapter),
            _ => None,
        }
    }

    fn function_type(self) -> FuncType {
        use wasmparser::ValType::I32;
        match self {
            Self::Initialize | Self::Settle | Self::ResetAdapter => FuncType::new([], []),
            Self::Grow => FuncType::new([I32], [I32]),
            Self::Realloc => FuncType::new([I32; 4], [I32]),
            Self::Open | Self::Find | Self::Main => FuncType::new([I32, I32], [I32]),
            Self::Error | Self::Handle => FuncType::new([], [I32]),
        }
    }
}

/// The exported functions that are replaced by our own, which call them.
const WRAPPED: [(&str, Made); 2] =
    [("cabi_realloc", Made::Realloc), ("wasmserve:gateway/handler@0.1.0#handle", Made::Handle)];

/// The globals of the result.
const STACK_POINTER: u32 = 0;
/// Whether the host is allocating memory for what it passes. No function of the host may be called meanwhile.
const IS_PASSING: u32 = 1;

/// Where the number is that the length of what is shown is masked with: all bits if the host looks at the memory, or none.
/// Copying all of it would be in vain elsewhere.
pub(super) const SEEN: u32 = STACK;

/// What `dlerror` says.
const CANNOT_OPEN: &[u8] = b"compiled extensions cannot be loaded, only Python code\0";

/// The host function that is shown the memory.
pub(super) const SHOW: (&str, &str) = ("wasmserve:python/memory@0.1.0", "show");

/// The result of linking.
pub(super) struct Linked {
    /// A core module that exports its memory, and for which a component can be made.
    pub(super) module: Vec<u8>,
    /// The addresses of variables, by name.
    pub(super) addresses: HashMap<String, u32>,
}

/// Links libraries, given as name and bytes. The first one that has a symbol provides it. `worlds` are the encoded types
/// of components that the result is for, in addition to those of the libraries; `variables` names those whose addresses
/// are wanted.
///
/// # Errors
///
/// The libraries are not those that this linker was written for: something is missing, or of an unknown shape.
pub(super) fn link(libraries: &[(&str, &[u8])], worlds: &[Vec<u8>], variables: &[&str]) -> anyhow::Result<Linked> {
    let mut read = Vec::new();
    for (name, bytes) in libraries {
        read.push(Library::read(name, bytes).with_context(|| format!("`{name}`"))?);
    }
    Layout::of(read)?.write(worlds, variables)
}

/// All libraries, with places for everything in them.
struct Layout<'a> {
    libraries: Vec<Library<'a>>,
    /// The types of the result.
    types: Vec<FuncType>,
    /// What is left to import, with its type.
    imports: Vec<(&'a str, &'a str, u32)>,
    import_at: HashMap<(&'a str, &'a str), u32>,
    /// Where `dlerror`'s text is.
    error: u32,
    heap: u32,
    /// The functions in the table whose addresses are asked for, in order.
    addressed: Vec<Symbol>,
    address_of: HashMap<&'a str, u32>,
    table_end: u32,
    first_made: u32,
}

fn aligned(address: u32, power: u32) -> u32 {
    address.next_multiple_of(1 << power)
}

impl<'a> Layout<'a> {
    fn of(libraries: Vec<Library<'a>>) -> anyhow::Result<Self> {
        let mut layout = Self {
            libraries,
            types: Vec::new(),
            imports: Vec::new(),
            import_at: HashMap::new(),
            error: SEEN + 4,
            heap: 0,
            addressed: Vec::new(),
            address_of: HashMap::new(),
            table_end: 0,
            first_made: 0,
        };
        layout.place_imports()?;
        let mut function = u32::try_from(layout.imports.len())?;
        let mut memory = layout.error + u32::try_from(CANNOT_OPEN.len())?;
        // The first element is the null pointer.
        let mut table = 1;
        for library in &mut layout.libraries {
            library.first_function = function;
            function += u32::try_from(library.functions.len())?;
            library.memory_base = aligned(memory, library.needs.memory_alignment);
            memory = library.memory_base + library.needs.memory_size;
            library.table_base = aligned(table, library.needs.table_alignment);
            table = library.table_base + library.needs.table_size;
        }
        layout.first_made = function;
        // The C library's allocator starts here, and expects what malloc promises.
        layout.heap = aligned(memory, 4);
        for at in 0..layout.libraries.len() {
            let wanted: Vec<&str> = layout.libraries[at]
                .imported_globals
                .iter()
                .filter(|(module, _)| *module == "GOT.func")
                .map(|(_, name)| *name)
                .collect();
            for name in wanted {
                if layout.address_of.contains_key(name) {
                    continue;
                }
                // A weak symbol that is nowhere has no address.
                let address = match layout.find(name) {
                    Some(symbol) => {
                        layout.addressed.push(symbol);
                        table + u32::try_from(layout.addressed.len() - 1)?
                    }
                    None => 0,
                };
                layout.address_of.insert(name, address);
            }
        }
        layout.table_end = table + u32::try_from(layout.addressed.len())?;
        Ok(layout)
    }

    /// Collects what no library has, which the component imports.
    fn place_imports(&mut self) -> anyhow::Result<()> {
        self.add_import(SHOW.0, SHOW.1, &FuncType::new([wasmparser::ValType::I32; 2], []));
        let mut missing = Vec::new();
        for at in 0..self.libraries.len() {
            for index in 0..self.libraries[at].imported_functions.len() {
                let (module, name, _) = self.libraries[at].imported_functions[index];
                if Made::named(module, name).is_some() {
                    continue;
                }
                let ty = self.libraries[at].function_type(u32::try_from(index)?).clone();
                if module != "env" {
                    self.add_import(module, name, &ty);
                } else if self.find(name).is_none() {
                    missing.push(name);
                }
            }
        }
        ensure!(missing.is_empty(), "no library has {}", missing.join(", "));
        Ok(())
    }

    fn add_import(&mut self, module: &'a str, name: &'a str, ty: &FuncType) {
        let ty = self.type_index(ty);
        let at = u32::try_from(self.imports.len()).expect("indices have 32 bits");
        if *self.import_at.entry((module, name)).or_insert(at) == at {
            self.imports.push((module, name, ty));
        }
    }

    fn type_index(&mut self, ty: &FuncType) -> u32 {
        let at = self.types.iter().position(|known| known == ty).unwrap_or_else(|| {
            self.types.push(ty.clone());
            self.types.len() - 1
        });
        u32::try_from(at).expect("indices have 32 bits")
    }

    /// The function of the first library that has one of this name.
    fn find(&self, name: &str) -> Option<Symbol> {
        if let Some(made) = Made::named("env", name) {
            return Some(Symbol::Made(made));
        }
        self.libraries.iter().enumerate().find_map(|(at, library)| match library.exports.get(name) {
            Some((ExternalKind::Func, index)) => Some(Symbol::Of(at, *index)),
            _ => None,
        })
    }

    /// The address of a variable in memory.
    fn variable(&self, name: &str) -> Option<u32> {
        match name {
            "__stack_low" => Some(0),
            "__stack_high" => Some(STACK),
            "__heap_base" => Some(self.heap),
            "__heap_end" => Some(self.heap.next_multiple_of(PAGE)),
            _ => self.libraries.iter().find_map(|library| match library.exports.get(name) {
                Some((ExternalKind::Global, index)) => {
                    let own = *index as usize - library.imported_globals.len();
                    let offset = library.constant(&library.globals[own], &|_| bail!("an address depends on others"));
                    Some(library.memory_base + offset.ok()?)
                }
                _ => None,
            }),
        }
    }

    /// The index of a function in the result.
    fn index(&self, symbol: Symbol) -> anyhow::Result<u32> {
        match symbol {
            Symbol::Made(made) => Ok(self.made(made)),
            Symbol::Of(at, index) => {
                let library = &self.libraries[at];
                let Some((module, name, _)) = library.imported_functions.get(index as usize) else {
                    return Ok(library.placed(index));
                };
                if let Some(made) = Made::named(module, name) {
                    return Ok(self.made(made));
                }
                if *module != "env" {
                    return Ok(self.import_at[&(*module, *name)]);
                }
                let found = self.find(name).with_context(|| format!("no library has `{name}`"))?;
                if let Symbol::Of(other, index_there) = found {
                    ensure!(
                        self.libraries[other].function_type(index_there) == library.function_type(index),
                        "`{name}` has another type in `{}`",
                        library.name
                    );
                }
                self.index(found)
            }
        }
    }

    fn made(&self, made: Made) -> u32 {
        let at = Made::ALL.iter().position(|one| *one == made).expect("all are listed");
        self.first_made + u32::try_from(at).expect("indices have 32 bits")
    }

    /// The value of a global of a library, which is a constant in the result; `None` for the stack pointer.
    fn global(&self, library: &Library<'_>, index: u32) -> anyhow::Result<Option<u32>> {
        let Some((module, name)) = library.imported_globals.get(index as usize) else {
            let own = index as usize - library.imported_globals.len();
            let value = |index| self.global(library, index)?.context("a constant depends on the stack");
            return library.constant(&library.globals[own], &value).map(Some);
        };
        let value = match (*module, *name) {
            ("env", "__stack_pointer") => return Ok(None),
            ("env", "__memory_base") => Some(library.memory_base),
            ("env", "__table_base") => Some(library.table_base),
            ("GOT.func", name) => self.address_of.get(name).copied(),
            ("GOT.mem", name) => self.variable(name),
            _ => None,
        };
        value.map(Some).with_context(|| format!("`{}` needs {module} `{name}`, which no library has", library.name))
    }

    fn write(mut self, worlds: &[Vec<u8>], variables: &[&str]) -> anyhow::Result<Linked> {
        let made_types: Vec<u32> = Made::ALL.iter().map(|made| self.type_index(&made.function_type())).collect();
        let mut type_maps: Vec<Vec<u32>> = Vec::new();
        for at in 0..self.libraries.len() {
            let types = self.libraries[at].types.clone();
            type_maps.push(types.iter().map(|ty| self.type_index(ty)).collect());
        }

        let mut types = TypeSection::new();
        for ty in &self.types {
            let of = |types: &[wasmparser::ValType]| -> anyhow::Result<Vec<ValType>> {
                types.iter().map(|ty| RoundtripReencoder.val_type(*ty).map_err(|error| anyhow!("{error}"))).collect()
            };
            types.ty().function(of(ty.params())?, of(ty.results())?);
        }
        let mut imports = ImportSection::new();
        for (module, name, ty) in &self.imports {
            imports.import(module, name, EntityType::Function(*ty));
        }
        let (mut functions, mut code, mut elements, mut data) =
            (FunctionSection::new(), CodeSection::new(), ElementSection::new(), DataSection::new());
        data.active(0, &address(SEEN), u32::MAX.to_le_bytes());
        data.active(0, &address(self.error), CANNOT_OPEN.iter().copied());
        for (at, library) in self.libraries.iter().enumerate() {
            for ty in &library.functions {
                functions.function(type_maps[at][*ty as usize]);
            }
            let count = library.imported_functions.len() + library.functions.len();
            let count = u32::try_from(count)?;
            let globals = u32::try_from(library.imported_globals.len() + library.globals.len())?;
            let mut place = Place {
                types: &type_maps[at],
                functions: (0..count).map(|index| self.index(Symbol::Of(at, index))).collect::<Result<_, _>>()?,
                globals: (0..globals).map(|index| self.global(library, index)).collect::<Result<_, _>>()?,
                grow: self.made(Made::Grow),
            };
            let of_library = || format!("`{}`", library.name);
            for body in &library.bodies {
                place.parse_function_body(&mut code, body.clone()).map_err(unplaced).with_context(of_library)?;
            }
            let value = |index: u32| self.global(library, index)?.context("an offset depends on the stack");
            for element in &library.elements {
                let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(items)) =
                    (&element.kind, &element.items)
                else {
                    bail!("`{}` has another kind of elements", library.name);
                };
                let offset = library.constant(offset_expr, &value)?;
                let items = items.clone().into_iter().map(|item| Ok(place.functions[item? as usize]));
                let items: Vec<u32> = items.collect::<anyhow::Result<_>>()?;
                elements.active(None, &address(offset), Elements::Functions(items.into()));
            }
            for segment in &library.data {
                let DataKind::Active { offset_expr, .. } = &segment.kind else {
                    bail!("`{}` has another kind of data", library.name);
                };
                let offset = library.constant(offset_expr, &value)?;
                data.active(0, &address(offset), segment.data.iter().copied());
            }
        }
        let addressed: Vec<u32> = self.addressed.iter().map(|symbol| self.index(*symbol)).collect::<Result<_, _>>()?;
        let first = self.table_end - u32::try_from(addressed.len())?;
        elements.active(None, &address(first), Elements::Functions(addressed.into()));
        for (made, ty) in Made::ALL.iter().zip(made_types) {
            functions.function(ty);
            code.function(&self.body(*made)?);
        }

        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions);
        let size = u64::from(self.table_end);
        let table = TableType {
            element_type: RefType::FUNCREF,
            minimum: size,
            maximum: Some(size),
            table64: false,
            shared: false,
        };
        module.section(TableSection::new().table(table));
        let minimum = u64::from(self.heap.div_ceil(PAGE));
        module.section(MemorySection::new().memory(memory_type(minimum)));
        let variable = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        module.section(GlobalSection::new().global(variable, &address(STACK)).global(variable, &address(0)));
        module.section(&self.exports()?).section(&elements).section(&code).section(&data);
        let own = self.libraries.iter().flat_map(|library| library.worlds.iter().copied());
        for (name, data) in own {
            module.section(&CustomSection { name: name.into(), data: data.into() });
        }
        for (at, world) in worlds.iter().enumerate() {
            module
                .section(&CustomSection { name: format!("component-type:wasmserve-{at}").into(), data: world.into() });
        }
        let addresses = variables.iter().map(|name| {
            Ok(((*name).to_owned(), self.variable(name).with_context(|| format!("no library has `{name}`"))?))
        });
        Ok(Linked { addresses: addresses.collect::<anyhow::Result<_>>()?, module: module.finish() })
    }

    /// The memory, and what a component's encoder asks for: the functions that components export, and the allocator.
    fn exports(&self) -> anyhow::Result<ExportSection> {
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("initialize", ExportKind::Func, self.made(Made::Initialize));
        exports.export("settle", ExportKind::Func, self.made(Made::Settle));
        let mut names: Vec<&str> = self.libraries.iter().flat_map(|library| library.exports.keys().copied()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if (name.contains('#') || name == "cabi_realloc" || name.starts_with("cabi_post_"))
                && let Some(symbol) = self.find(name)
            {
                let wrapper = WRAPPED.iter().find(|(wrapped, _)| *wrapped == name);
                let index = wrapper.map_or_else(|| self.index(symbol), |(_, made)| Ok(self.made(*made)))?;
                exports.export(name, ExportKind::Func, index);
            }
        }
        Ok(exports)
    }

    /// The index of the function that one of ours wraps.
    fn wrapped(&self, made: Made) -> anyhow::Result<u32> {
        let (name, _) = WRAPPED.iter().find(|(_, wrapper)| *wrapper == made).context("it wraps none")?;
        self.index(self.find(name).with_context(|| format!("no library has `{name}`"))?)
    }

    fn body(&self, made: Made) -> anyhow::Result<Function> {
        let mut body = Vec::new();
        let show = self.import_at[&SHOW];
        match made {
            Made::Initialize => {
                for name in ["__wasm_apply_data_relocs", "_initialize", "__wasm_call_ctors"] {
                    for (at, library) in self.libraries.iter().enumerate() {
                        if name == "__wasm_apply_data_relocs"
                            && let Some(start) = library.start
                        {
                            body.push(Instruction::Call(self.index(Symbol::Of(at, start))?));
                        }
                        if let Some((ExternalKind::Func, index)) = library.exports.get(name) {
                            body.push(Instruction::Call(self.index(Symbol::Of(at, *index))?));
                        }
                    }
                }
            }
            Made::Settle => {
                let reset = self.find("__wasilibc_reset_preopens").context("the C library cannot be reset")?;
                body.push(Instruction::Call(self.index(reset)?));
                body.extend(show_memory(show));
            }
            Made::Grow => {
                body.extend([Instruction::LocalGet(0), Instruction::MemoryGrow(0)]);
                body.extend([Instruction::GlobalGet(IS_PASSING), Instruction::I32Eqz]);
                body.push(Instruction::If(BlockType::Empty));
                body.extend(show_memory(show));
                body.push(Instruction::End);
            }
            Made::Realloc => {
                body.extend([Instruction::I32Const(1), Instruction::GlobalSet(IS_PASSING)]);
                body.extend((0..4).map(Instruction::LocalGet));
                body.push(Instruction::Call(self.wrapped(made)?));
                body.extend([Instruction::I32Const(0), Instruction::GlobalSet(IS_PASSING)]);
            }
            Made::Handle => {
                body.extend(show_memory(show));
                body.push(Instruction::Call(self.wrapped(made)?));
            }
            Made::ResetAdapter => {}
            Made::Main => body.push(Instruction::Unreachable),
            Made::Open | Made::Find => body.push(Instruction::I32Const(0)),
            Made::Error => body.push(Instruction::I32Const(self.error.cast_signed())),
        }
        let mut function = Function::new([]);
        for instruction in body {
            function.instruction(&instruction);
        }
        function.instruction(&Instruction::End);
        Ok(function)
    }
}

/// Calls `show` with all of the memory.
fn show_memory(show: u32) -> [Instruction<'static>; 8] {
    // A memory of 4 GiB would be shown as empty; the host allows none.
    [
        Instruction::I32Const(0),
        Instruction::MemorySize(0),
        Instruction::I32Const(16),
        Instruction::I32Shl,
        Instruction::I32Const(0),
        Instruction::I32Load(MemArg { offset: SEEN.into(), align: 2, memory_index: 0 }),
        Instruction::I32And,
        Instruction::Call(show),
    ]
}

/// A memory without a maximum: the host limits it.
pub(super) fn memory_type(minimum: u64) -> MemoryType {
    MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

/// An address as a constant expression.
pub(super) fn address(address: u32) -> ConstExpr {
    ConstExpr::i32_const(address.cast_signed())
}

type Unplaced = reencode::Error<anyhow::Error>;

fn unplaced(error: Unplaced) -> anyhow::Error {
    match error {
        reencode::Error::UserError(error) => error,
        error => anyhow!("{error}"),
    }
}

/// Copies code to its place: with the result's indices, and with constants instead of globals.
struct Place<'a> {
    types: &'a [u32],
    functions: Vec<u32>,
    /// The values of the globals; `None` is the stack pointer.
    globals: Vec<Option<u32>>,
    grow: u32,
}

impl Reencode for Place<'_> {
    type Error = anyhow::Error;

    fn type_index(&mut self, index: u32) -> Result<u32, Unplaced> {
        Ok(self.types[index as usize])
    }

    fn function_index(&mut self, index: u32) -> Result<u32, Unplaced> {
        Ok(self.functions[index as usize])
    }

    fn global_index(&mut self, _: u32) -> Result<u32, Unplaced> {
        // All others are constants.
        Ok(STACK_POINTER)
    }

    fn instruction<'b>(&mut self, operator: Operator<'b>) -> Result<Instruction<'b>, Unplaced> {
        match operator {
            Operator::GlobalGet { global_index } => Ok(match self.globals[global_index as usize] {
                Some(value) => Instruction::I32Const(value.cast_signed()),
                None => Instruction::GlobalGet(STACK_POINTER),
            }),
            Operator::GlobalSet { global_index } if self.globals[global_index as usize].is_some() => {
                Err(reencode::Error::UserError(anyhow!("sets a constant")))
            }
            // The memory can be seen only where it is shown.
            Operator::MemoryGrow { .. } => Ok(Instruction::Call(self.grow)),
            // Segments have other indices in the result.
            Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. } => Err(reencode::Error::UserError(anyhow!("has segments of its own"))),
            other => reencode::utils::instruction(self, other),
        }
    }
}
