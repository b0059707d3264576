//! A core module, read for merging.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use anyhow::{Context as _, anyhow, bail};
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{
    BinaryReader, DataSectionReader, ElementItems, ElementSectionReader, ExternalKind, FuncType, FunctionBody,
    GlobalSectionReader, KnownCustom, MemoryType, Name, NameSectionReader, Operator, Parser, Payload, TableType,
    TypeRef, TypeSectionReader,
};

/// A core module. Positions of sections are in `bytes`.
pub(super) struct Core<'a> {
    pub(super) types: Option<TypeSectionReader<'a>>,
    pub(super) function_types: Vec<FuncType>,
    pub(super) imports: Vec<Import<'a>>,
    /// The types of the functions that it defines.
    pub(super) functions: Vec<u32>,
    pub(super) bodies: Vec<FunctionBody<'a>>,
    pub(super) table: Option<TableType>,
    pub(super) memory: MemoryType,
    pub(super) globals: Option<GlobalSectionReader<'a>>,
    pub(super) exports: HashMap<&'a str, u32>,
    pub(super) start: Option<u32>,
    pub(super) elements: Option<ElementSectionReader<'a>>,
    pub(super) data: Option<DataSectionReader<'a>>,
    /// The names of functions.
    pub(super) names: HashMap<u32, &'a str>,
    /// The global with the address of the top of the stack in memory.
    pub(super) stack_pointer: Option<u32>,
}

/// A function that a module imports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Import<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) ty: u32,
}

impl<'a> Core<'a> {
    /// Reads a module.
    ///
    /// # Errors
    ///
    /// It has something that merging does not know: several memories or tables, tags, or imports other than functions.
    pub(super) fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let memory = MemoryType { memory64: false, shared: false, initial: 0, maximum: None, page_size_log2: None };
        let mut core = Self {
            types: None,
            function_types: Vec::new(),
            imports: Vec::new(),
            functions: Vec::new(),
            bodies: Vec::new(),
            table: None,
            memory,
            globals: None,
            exports: HashMap::new(),
            start: None,
            elements: None,
            data: None,
            names: HashMap::new(),
            stack_pointer: None,
        };
        let mut memories = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    core.function_types = section.clone().into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
                    core.types = Some(section);
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        let TypeRef::Func(ty) = import.ty else { bail!("it imports something that is not a function") };
                        core.imports.push(Import { module: import.module, name: import.name, ty });
                    }
                }
                Payload::FunctionSection(section) => core.functions = section.into_iter().collect::<Result<_, _>>()?,
                Payload::CodeSectionEntry(body) => core.bodies.push(body),
                Payload::TableSection(section) => {
                    for table in section {
                        let table = table?;
                        if core.table.replace(table.ty).is_some() {
                            bail!("it has several tables");
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        core.memory = memory?;
                        memories += 1;
                    }
                }
                Payload::GlobalSection(section) => core.globals = Some(section),
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            core.exports.insert(export.name, export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => core.start = Some(func),
                Payload::ElementSection(section) => core.elements = Some(section),
                Payload::DataSection(section) => core.data = Some(section),
                Payload::TagSection(_) => bail!("it has tags"),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        core.add_names(names)?;
                    }
                }
                _ => {}
            }
        }
        if memories != 1 || core.memory.memory64 || core.memory.shared || core.memory.page_size_log2.is_some() {
            bail!("it has another kind of memory");
        }
        Ok(core)
    }

    fn add_names(&mut self, names: NameSectionReader<'a>) -> anyhow::Result<()> {
        for subsection in names {
            match subsection? {
                Name::Function(names) => {
                    for name in names {
                        let name = name?;
                        self.names.insert(name.index, name.name);
                    }
                }
                Name::Global(names) => {
                    for name in names {
                        let name = name?;
                        if name.name == "__stack_pointer" {
                            self.stack_pointer = Some(name.index);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The index of the first function that it defines.
    pub(super) fn first(&self) -> u32 {
        u32::try_from(self.imports.len()).expect("indices have 32 bits")
    }

    /// A function that it exports.
    pub(super) fn export(&self, name: &str) -> anyhow::Result<u32> {
        self.exports.get(name).copied().with_context(|| format!("it does not export `{name}`"))
    }

    /// Whether only the C library's `sbrk` asks how large the memory is. Then the end of the initial memory is known
    /// when the module is linked, and what is put behind it belongs to none.
    pub(super) fn knows_its_heap_when_linked(&self) -> anyhow::Result<bool> {
        for (index, body) in (self.first()..).zip(&self.bodies) {
            for operator in body.get_operators_reader()? {
                if matches!(operator?, Operator::MemorySize { .. }) && self.names.get(&index) != Some(&"sbrk") {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Core<'_> {
    /// The functions that these call, directly or not, and those in the table.
    pub(super) fn live(&self, roots: impl IntoIterator<Item = u32>) -> anyhow::Result<HashSet<u32>> {
        let mut left: Vec<u32> = roots.into_iter().collect();
        for element in self.elements.clone().into_iter().flatten() {
            if let ElementItems::Functions(items) = element?.items {
                left.extend(items.into_iter().collect::<Result<Vec<_>, _>>()?);
            }
        }
        let mut live = HashSet::new();
        while let Some(function) = left.pop() {
            if !live.insert(function) {
                continue;
            }
            let Some(body) = function.checked_sub(self.first()).and_then(|at| self.bodies.get(at as usize)) else {
                continue;
            };
            for operator in body.get_operators_reader()? {
                match operator? {
                    Operator::Call { function_index }
                    | Operator::ReturnCall { function_index }
                    | Operator::RefFunc { function_index } => left.push(function_index),
                    _ => {}
                }
            }
        }
        Ok(live)
    }
}

/// Where the parts of a module are in another one.
pub(super) struct Moved {
    /// The new index of each function.
    pub(super) functions: Vec<u32>,
    /// The new index of each global.
    pub(super) globals: Vec<u32>,
    /// What is added to the indices of types and data segments.
    pub(super) types: u32,
    pub(super) data: u32,
}

impl Reencode for Moved {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.functions[index as usize])
    }

    fn type_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.types + index)
    }

    fn global_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.globals[index as usize])
    }

    fn data_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.data + index)
    }
}

/// The encoder's error as one that can be passed on.
pub(super) fn of_encoder(error: reencode::Error) -> anyhow::Error {
    anyhow!("{error}")
}

/// Moves the addresses in a module that was linked with `--emit-relocs`: those in memory by `memory` bytes, and those in
/// the table by `table` elements. Returns the changed module.
///
/// # Errors
///
/// It has kinds of addresses that are not known here.
pub(super) fn relocate(module: &[u8], memory: u32, table: u32) -> anyhow::Result<Vec<u8>> {
    let mut moved = module.to_vec();
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Reloc(relocations) = section.as_known()
        {
            let start: std::ops::Range<usize> =
                sections.get(relocations.section_index() as usize).cloned().context("a section is missing")?;
            for entry in relocations.entries() {
                let entry = entry?;
                use wasmparser::RelocationType as Type;
                let by = match entry.ty {
                    Type::MemoryAddrLeb | Type::MemoryAddrSleb | Type::MemoryAddrI32 => memory,
                    Type::TableIndexSleb | Type::TableIndexI32 => table,
                    // What is re-encoded anyway.
                    Type::FunctionIndexLeb | Type::TypeIndexLeb | Type::GlobalIndexLeb | Type::TableNumberLeb => {
                        continue;
                    }
                    other => bail!("it has relocations of the kind {other:?}"),
                };
                let range = entry.relocation_range()?;
                let place = moved
                    .get_mut(start.start + range.start..start.start + range.end)
                    .context("a relocation is outside of its section")?;
                add(place, entry.ty, by)?;
            }
        }
        // All sections count, in order.
        if let Some((_, range)) = payload.as_section() {
            sections.push(range);
        }
    }
    Ok(moved)
}

/// Adds to an address, which has the same number of bytes whatever it is.
fn add(place: &mut [u8], ty: wasmparser::RelocationType, by: u32) -> anyhow::Result<()> {
    use wasmparser::RelocationType as Type;
    let old = match ty {
        Type::MemoryAddrI32 | Type::TableIndexI32 => {
            u32::from_le_bytes(<[u8; 4]>::try_from(&*place).context("an address has four bytes")?)
        }
        Type::MemoryAddrLeb => BinaryReader::new(place, 0).read_var_u32()?,
        _ => BinaryReader::new(place, 0).read_var_i32()?.cast_unsigned(),
    };
    // The address of what is not there.
    if old == 0 {
        return Ok(());
    }
    let new = old.wrapping_add(by);
    match ty {
        Type::MemoryAddrI32 | Type::TableIndexI32 => place.copy_from_slice(&new.to_le_bytes()),
        _ => {
            // Five groups of seven bits. The last one of a signed number repeats its sign.
            let wide = match ty {
                Type::MemoryAddrLeb => u64::from(new),
                _ => i64::from(new.cast_signed()).cast_unsigned(),
            };
            let last = place.len() - 1;
            for (at, byte) in place.iter_mut().enumerate() {
                let group = u8::try_from(wide >> (7 * at) & 0x7f).expect("seven bits");
                *byte = if at == last { group } else { group | 0x80 };
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmparser::RelocationType as Type;

    use super::*;

    /// An address as the linker writes it.
    fn place(ty: Type, address: u32) -> Vec<u8> {
        match ty {
            Type::MemoryAddrI32 | Type::TableIndexI32 => address.to_le_bytes().to_vec(),
            _ => {
                let mut place = vec![0; 5];
                // What was 1 is moved.
                place[..5].copy_from_slice(&[0x81, 0x80, 0x80, 0x80, 0x00]);
                add(&mut place, ty, address.wrapping_sub(1)).expect("it is an address");
                place
            }
        }
    }

    #[test]
    fn an_address_is_moved_and_keeps_its_number_of_bytes() {
        for ty in
            [Type::MemoryAddrLeb, Type::MemoryAddrSleb, Type::MemoryAddrI32, Type::TableIndexSleb, Type::TableIndexI32]
        {
            for (old, by) in [(1, 0), (64, 63), (65_536, 1 << 20), (0x7fff_fff0, 0x20), (1, 0xffff_fff0)] {
                let mut moved = place(ty, old);
                add(&mut moved, ty, by).expect("it is an address");
                let wanted = old.wrapping_add(by);
                let read = match ty {
                    Type::MemoryAddrI32 | Type::TableIndexI32 => {
                        u32::from_le_bytes(moved[..].try_into().expect("four"))
                    }
                    Type::MemoryAddrLeb => BinaryReader::new(&moved, 0).read_var_u32().expect("it is a number"),
                    _ => BinaryReader::new(&moved, 0).read_var_i32().expect("it is a number").cast_unsigned(),
                };
                assert_eq!((read, moved.len()), (wanted, place(ty, old).len()), "{ty:?} {old} {by}");
            }
        }
        let mut nothing = [0x80, 0x80, 0x80, 0x80, 0x00];
        add(&mut nothing, Type::MemoryAddrSleb, 7).expect("it is an address");
        assert_eq!(nothing, [0x80, 0x80, 0x80, 0x80, 0x00], "the address of what is not there");
    }
}
