//! Makes components from linked code and an image of its memory.
//!
//! The code is in one core module and the image in another, so that the code is compiled once for all applications, and
//! an edit changes only the image.

use std::ops::Range;

use anyhow::{Context as _, anyhow, bail, ensure};
use wasm_encoder::{
    Component, ComponentAliasSection, ComponentImportSection, ComponentSectionId, ComponentTypeRef, CoreTypeSection,
    CustomSection, DataSection, Encode as _, EntityType, ExportKind, ExportSection, ImportSection, InstanceSection,
    MemorySection, Module, ModuleArg, ModuleType, RawSection,
    reencode::{self, Reencode, ReencodeComponent, RoundtripReencoder},
};
use wasmparser::{Chunk, DataKind, ExternalKind, Instance, Operator, Parser, Payload, TypeRef};
use wit_component::ComponentEncoder;

use super::link::{address, memory_type};

/// The name under which a component imports its code.
pub(super) const CODE: &str = "code";

/// The module and the name under which the code imports its memory.
const MEMORY: (&str, &str) = ("image", "memory");

/// How long a run of zero bytes in the image has to be to end a segment, in bytes. Each segment takes ten bytes.
const GAP: usize = 64;

/// A component without its code and without the image of its memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The code, a core module that imports its memory.
    pub(super) code: Vec<u8>,
    /// What follows the code, up to the image.
    pub(super) middle: Vec<u8>,
    /// What precedes the code.
    pub(super) before: Vec<u8>,
    /// What follows the image.
    pub(super) after: Vec<u8>,
}

impl Frame {
    /// Makes a component of a linked module, and takes it apart. Also returns what its memory begins
    /// with.
    ///
    /// # Errors
    ///
    /// The module is not one that the linker makes.
    pub(super) fn new(linked: &[u8]) -> anyhow::Result<(Self, Vec<u8>)> {
        let component = ComponentEncoder::default().module(linked)?.encode()?;
        let mut frame = Self { code: Vec::new(), middle: Vec::new(), before: Vec::new(), after: Vec::new() };
        let (mut part, mut memory) = (Component::new(), None);
        let (mut modules, mut instances) = (0, 0);
        let mut shift = None;
        let (mut parser, mut at) = (Parser::new(0), 0);
        loop {
            let Chunk::Parsed { consumed, payload } = parser.parse(&component[at..], true)? else {
                unreachable!("all bytes are there");
            };
            at += consumed;
            match payload {
                Payload::ModuleSection { unchecked_range: range, .. } => {
                    ensure!(shift.is_none(), "a module follows the first instance");
                    at = range.end;
                    if modules == 0 {
                        let (code, first) = split(&component[range])?;
                        (frame.code, memory) = (code, Some(first));
                        frame.before = std::mem::take(&mut part).finish();
                    } else {
                        part.section(&RawSection {
                            id: ComponentSectionId::CoreModule.into(),
                            data: &component[range],
                        });
                    }
                    modules += 1;
                }
                Payload::ComponentSection { unchecked_range: range, .. } => {
                    at = range.end;
                    part.section(&RawSection { id: ComponentSectionId::Component.into(), data: &component[range] });
                }
                Payload::InstanceSection(section) => {
                    let is_codes =
                        |instance: &Instance<'_>| matches!(instance, Instance::Instantiate { module_index: 0, .. });
                    let all: Vec<Instance<'_>> = section.into_iter().collect::<Result<_, _>>()?;
                    if all.iter().any(is_codes) {
                        frame.middle = std::mem::take(&mut part).finish().split_off(Component::HEADER.len());
                        let mut section = InstanceSection::new();
                        section.instantiate(modules, NO_ARGS);
                        part.section(&section);
                        shift = Some(Shift { image: instances });
                    }
                    instances += u32::try_from(all.len())?;
                    let mut section = InstanceSection::new();
                    let mut shift = shift.unwrap_or(Shift { image: u32::MAX });
                    for instance in all {
                        shift.add(&mut section, instance)?;
                    }
                    part.section(&section);
                }
                Payload::ComponentAliasSection(section) => {
                    let mut aliases = ComponentAliasSection::new();
                    let mut shift = shift.unwrap_or(Shift { image: u32::MAX });
                    shift.parse_component_alias_section(&mut aliases, section).map_err(of_encoder)?;
                    part.section(&aliases);
                }
                Payload::End(_) => break,
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        part.section(&RawSection { id, data: &component[range] });
                    }
                }
            }
        }
        frame.after = part.finish().split_off(Component::HEADER.len());
        Ok((frame, memory.context("a component has a module")?))
    }

    /// The component with this image, which imports its code.
    ///
    /// # Errors
    ///
    /// Never for the code of a frame.
    pub(super) fn with_image(&self, image: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (mut types, mut imports) = (CoreTypeSection::new(), ComponentImportSection::new());
        types.ty().module(&module_type(&self.code)?);
        imports.import(CODE, ComponentTypeRef::Module(0));
        let mut head = Component::new();
        head.section(&types).section(&imports);
        Ok(self.assemble(&head.finish()[Component::HEADER.len()..], image))
    }

    /// The component that contains its code and this memory. `runtime` is the address of the interpreter's state.
    pub(super) fn whole(&self, memory: &[u8], runtime: u32) -> Vec<u8> {
        let mut code = Component::new();
        code.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: &self.code });
        let mut component = self.assemble(&code.finish()[Component::HEADER.len()..], &image(memory));
        let mut mark = Component::new();
        mark.section(&CustomSection { name: MARK.into(), data: runtime.to_le_bytes().as_slice().into() });
        component.extend_from_slice(&mark.finish()[Component::HEADER.len()..]);
        component
    }

    /// Takes a component apart that [`whole`](Self::whole) has made. `None` if it is another one. Its memory may have at most
    /// `limit` bytes.
    ///
    /// # Errors
    ///
    /// It has been changed since, or its memory is larger.
    pub(super) fn of_whole(component: &[u8], limit: u64) -> anyhow::Result<Option<Whole>> {
        let (mut modules, mut mark) = (Vec::new(), None);
        let (mut parser, mut at) = (Parser::new(0), 0);
        loop {
            let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(&component[at..], true) else { return Ok(None) };
            let start = at;
            at += consumed;
            match payload {
                Payload::ModuleSection { unchecked_range: range, .. } => {
                    at = range.end;
                    modules.push((start, range));
                }
                Payload::ComponentSection { unchecked_range, .. } => at = unchecked_range.end,
                Payload::CustomSection(section) if section.name() == MARK => {
                    mark = <[u8; 4]>::try_from(section.data()).ok().map(|address| (start, u32::from_le_bytes(address)));
                }
                Payload::End(_) => break,
                _ => {}
            }
            if at > component.len() {
                return Ok(None);
            }
        }
        let (Some((mark, runtime)), [code, .., image]) = (mark, &modules[..]) else { return Ok(None) };
        if image.1.end > mark {
            return Ok(None);
        }
        let frame = Self {
            code: component[code.1.clone()].to_owned(),
            middle: component[code.1.end..image.0].to_owned(),
            before: component[..code.0].to_owned(),
            after: component[image.1.end..mark].to_owned(),
        };
        Ok(Some(Whole { frame, memory: memory_of(&component[image.1.clone()], limit)?, runtime }))
    }

    fn assemble(&self, code: &[u8], image: &[u8]) -> Vec<u8> {
        let mut component = Vec::with_capacity(
            self.before.len() + code.len() + self.middle.len() + image.len() + self.after.len() + 16,
        );
        component.extend_from_slice(&self.before);
        component.extend_from_slice(code);
        component.extend_from_slice(&self.middle);
        component.push(ComponentSectionId::CoreModule.into());
        image.len().encode(&mut component);
        component.extend_from_slice(image);
        component.extend_from_slice(&self.after);
        component
    }
}

/// The name of the section that says where the interpreter's state is.
const MARK: &str = "wasmserve:python";

/// The parts of a component that contains everything.
pub(super) struct Whole {
    pub(super) frame: Frame,
    /// What its memory begins with.
    pub(super) memory: Vec<u8>,
    /// The address of the interpreter's state.
    pub(super) runtime: u32,
}

/// The module that has this memory, with its content, and nothing else.
pub(in crate::kind::wasm) fn image(memory: &[u8]) -> Vec<u8> {
    let mut data = DataSection::new();
    for Range { start, end } in segments(memory) {
        let place = u32::try_from(start).expect("a memory has at most 4 GiB");
        data.active(0, &address(place), memory[start..end].iter().copied());
    }
    with_memory(memory.len(), &data)
}

/// Images beyond this size have to be half full for wasmtime to map them, and not copy them for each instance: the default
/// of its `memory_guaranteed_dense_image_size`, in bytes.
const SPARSE_MAX: usize = 16 << 20;

/// The parts of a memory that are not zero, or lie between such parts.
fn segments(memory: &[u8]) -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while let Some(skipped) = memory[start..].iter().position(|byte| *byte != 0) {
        let begin = start + skipped;
        let end = end_of_segment(&memory[begin..]) + begin;
        segments.push(begin..end);
        start = end;
    }
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return segments };
    let extent = last.end - first.start;
    let full: usize = segments.iter().map(ExactSizeIterator::len).sum();
    // Some more, because wasmtime counts whole pages.
    let Some(missing) = (extent / 2 + (128 << 10)).checked_sub(full).filter(|_| extent > SPARSE_MAX) else {
        return segments;
    };
    // The smallest gaps are filled, as many as it takes.
    let mut gaps: Vec<usize> = segments.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
    gaps.sort_unstable();
    let mut filled = 0;
    let largest = gaps.into_iter().find(|gap| {
        filled += gap;
        filled >= missing
    });
    let mut joined: Vec<Range<usize>> = Vec::new();
    for segment in segments {
        match joined.last_mut() {
            Some(last) if largest.is_none_or(|largest| segment.start - last.end <= largest) => last.end = segment.end,
            _ => joined.push(segment),
        }
    }
    joined
}

/// The module that has a memory of this many bytes, without its content, and nothing else.
pub(in crate::kind::wasm) fn memory(length: usize) -> Vec<u8> {
    with_memory(length, &DataSection::new())
}

fn with_memory(length: usize, data: &DataSection) -> Vec<u8> {
    let pages = u64::try_from(length.div_ceil(64 << 10)).expect("a memory has at most 4 GiB");
    let (mut memories, mut exports) = (MemorySection::new(), ExportSection::new());
    memories.memory(memory_type(pages));
    exports.export(MEMORY.1, ExportKind::Memory, 0);
    let mut module = Module::new();
    module.section(&memories).section(&exports).section(data);
    module.finish()
}

/// The length of the segment that these bytes begin with: up to a long run of zero bytes.
fn end_of_segment(bytes: &[u8]) -> usize {
    let mut end = 0;
    while end < bytes.len() {
        let chunk = &bytes[end..bytes.len().min(end + GAP)];
        match chunk.iter().rposition(|byte| *byte != 0) {
            Some(last) => end += last + 1,
            None => return end,
        }
    }
    end
}

/// Splits a linked module into its code, which imports the memory, and what its memory begins with.
fn split(linked: &[u8]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut code = Module::new();
    for payload in Parser::new(0).parse_all(linked) {
        let payload = payload?;
        match &payload {
            Payload::ImportSection(section) => {
                let mut imports = ImportSection::new();
                RoundtripReencoder.parse_import_section(&mut imports, section.clone()).map_err(of_encoder)?;
                imports.import(MEMORY.0, MEMORY.1, memory_type(0));
                code.section(&imports);
            }
            Payload::MemorySection(_)
            | Payload::DataSection(_)
            | Payload::DataCountSection { .. }
            | Payload::CustomSection(_)
            | Payload::CodeSectionEntry(_) => {}
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    code.section(&RawSection { id, data: &linked[range] });
                }
            }
        }
    }
    Ok((code.finish(), memory_of(linked, u64::MAX)?))
}

/// What the memory of a module begins with. It may have at most `limit` bytes.
fn memory_of(module: &[u8], limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut memory = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::MemorySection(section) => {
                let memories: Vec<_> = section.into_iter().collect::<Result<_, _>>()?;
                let [only] = &memories[..] else { bail!("there are several memories") };
                let length = only.initial.saturating_mul(64 << 10);
                ensure!(length <= limit, "its memory starts with {length} bytes, and --max-memory is {limit}");
                memory.resize(usize::try_from(length)?, 0);
            }
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment?;
                    let DataKind::Active { offset_expr, .. } = &segment.kind else { bail!("a segment has no place") };
                    let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
                        bail!("a segment has no constant place");
                    };
                    let start = usize::try_from(value.cast_unsigned())?;
                    let place = start.checked_add(segment.data.len()).and_then(|end| memory.get_mut(start..end));
                    place.context("data is out of memory")?.copy_from_slice(segment.data);
                }
            }
            _ => {}
        }
    }
    Ok(memory)
}

/// The type of a core module.
fn module_type(module: &[u8]) -> anyhow::Result<ModuleType> {
    let mut of = ModuleType::new();
    let (mut types, mut functions, mut count) = (Vec::new(), Vec::new(), 0);
    let mut function = |of: &mut ModuleType, ty: &wasmparser::FuncType| -> anyhow::Result<EntityType> {
        let convert = |types: &[wasmparser::ValType]| -> anyhow::Result<Vec<_>> {
            types.iter().map(|ty| RoundtripReencoder.val_type(*ty).map_err(of_encoder)).collect()
        };
        of.ty().function(convert(ty.params())?, convert(ty.results())?);
        count += 1;
        Ok(EntityType::Function(count - 1))
    };
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<Vec<_>, _>>()?
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let ty = match import.ty {
                        TypeRef::Func(ty) => {
                            functions.push(ty);
                            function(&mut of, &types[ty as usize])?
                        }
                        _ => EntityType::Memory(memory_type(0)),
                    };
                    of.import(import.module, import.name, ty);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ty = match export.kind {
                        ExternalKind::Func => function(&mut of, &types[functions[export.index as usize] as usize])?,
                        _ => EntityType::Memory(memory_type(0)),
                    };
                    of.export(export.name, ty);
                }
            }
            _ => {}
        }
    }
    Ok(of)
}

const NO_ARGS: [(&str, ModuleArg); 0] = [];

fn of_encoder(error: reencode::Error) -> anyhow::Error {
    anyhow!("{error}")
}

/// Makes room for the instance of the image among the core instances.
#[derive(Clone, Copy)]
struct Shift {
    /// The index of that instance.
    image: u32,
}

impl Shift {
    /// Adds an instance. That of the code gets its memory.
    fn add(&mut self, section: &mut InstanceSection, instance: Instance<'_>) -> anyhow::Result<()> {
        let Instance::Instantiate { module_index: 0, args } = instance else {
            return self.parse_instance(section, instance).map_err(of_encoder);
        };
        let image = self.image;
        let own = args.iter().map(|arg| (arg.name, ModuleArg::Instance(self.instance_index(arg.index))));
        let args: Vec<_> = own.chain([(MEMORY.0, ModuleArg::Instance(image))]).collect();
        section.instantiate(0, args);
        Ok(())
    }
}

impl Reencode for Shift {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Shift {
    fn instance_index(&mut self, index: u32) -> u32 {
        if index < self.image { index } else { index + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory of two pages of 64 KiB, with data in places and nothing between them.
    fn sparse() -> Vec<u8> {
        let mut memory = vec![0; 128 << 10];
        for (start, length) in [(1, 3), (GAP, 1), (2 * GAP - 1, 2), (70_000, 5000), ((128 << 10) - 1, 1)] {
            memory[start..start + length].fill(0x5a);
        }
        memory
    }

    #[test]
    fn an_image_has_the_memory_that_it_was_made_of() {
        for memory in [sparse(), vec![0; 64 << 10], vec![1; 64 << 10]] {
            let made = memory_of(&image(&memory), u64::MAX).expect("it is an image");
            assert!(made == memory);
        }
        let empty = super::memory(64 << 10);
        assert_eq!(memory_of(&empty, u64::MAX).expect("it is an image"), vec![0; 64 << 10]);
        let error = memory_of(&empty, (64 << 10) - 1).expect_err("it is too large");
        assert!(error.to_string().contains("--max-memory"), "{error}");
    }

    #[test]
    fn a_large_image_is_at_least_half_full_so_that_it_is_mapped() {
        let mut memory = vec![0; 64 << 20];
        // Every fourth page, and one far behind them.
        for page in (0..2048).step_by(4) {
            memory[page << 12] = 1;
        }
        memory[40 << 20] = 1;
        let parts = segments(&memory);
        let full: usize = parts.iter().map(ExactSizeIterator::len).sum();
        let extent = parts.last().expect("there is data").end - parts[0].start;
        assert!(2 * full >= extent, "{full} of {extent}");
        assert_eq!(memory_of(&image(&memory), u64::MAX).expect("it is an image"), memory);
        assert_eq!(segments(&sparse()).len(), 3, "a small image has no zeros without need");
    }

    #[test]
    fn a_component_with_everything_is_taken_apart_into_what_it_was_made_of() {
        let frame = Frame {
            code: Module::new().finish(),
            middle: Vec::new(),
            before: Component::HEADER.to_vec(),
            after: Vec::new(),
        };
        let component = frame.whole(&sparse(), 7);
        let whole = Frame::of_whole(&component, u64::MAX).expect("it is valid").expect("it is one of ours");
        assert!(whole.frame == frame && whole.memory == sparse() && whole.runtime == 7);
        assert!(Frame::of_whole(&component, 64 << 10).is_err(), "its memory is too large");
        for other in [&component[..component.len() - 1], &component[..20], &frame.code, b"", b"\0asm"] {
            assert!(Frame::of_whole(other, u64::MAX).expect("it is none of ours").is_none());
        }
    }
}
