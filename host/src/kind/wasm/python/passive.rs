//! Has the modules of filters write their data when they start, instead of wasmtime when it creates their memories.
//!
//! wasmtime maps the data of a memory from a file of its own. It cannot do that with memories that others create, as those of
//! Python's instances are, and it cannot be asked to leave it for single modules. Data that a module writes itself it knows
//! nothing of.

use anyhow::{Context as _, bail};
use wasm_encoder::{Component, ComponentSectionId, Encode as _, Function, Module, RawSection, SectionId, StartSection};
use wasmparser::{DataKind, Parser, Payload, TypeRef};

/// The component, all of whose modules write their data themselves.
///
/// # Errors
///
/// The component is malformed.
pub(super) fn component(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut component = Component::new();
    // What is inside of modules and nested components is handled with them.
    let mut end = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        let inner = match &payload {
            Payload::ModuleSection { unchecked_range: range, .. } if range.start >= end => {
                Some((ComponentSectionId::CoreModule, range.clone(), module(&bytes[range.clone()])?))
            }
            Payload::ComponentSection { unchecked_range: range, .. } if range.start >= end => {
                Some((ComponentSectionId::Component, range.clone(), self::component(&bytes[range.clone()])?))
            }
            _ => None,
        };
        if let Some((id, range, data)) = inner {
            component.section(&RawSection { id: id.into(), data: &data });
            end = range.end;
        } else if let Some((id, range)) = payload.as_section()
            && range.start >= end
        {
            component.section(&RawSection { id, data: &bytes[range] });
        }
    }
    Ok(component.finish())
}

/// What a start function needs to know of its module.
#[derive(Default)]
struct Known {
    types: u32,
    functions: u32,
    start: Option<u32>,
    /// The code that writes the data.
    code: Vec<u8>,
    segments: u32,
}

fn module(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut known = Known::default();
    let mut data = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::TypeSection(types) => known.types = types.count(),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    known.functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(functions) => known.functions += functions.count(),
            Payload::StartSection { func, .. } => known.start = Some(func),
            Payload::DataSection(segments) => {
                segments.count().encode(&mut data);
                for segment in segments {
                    let segment = segment?;
                    if let DataKind::Active { memory_index, offset_expr } = &segment.kind {
                        let mut offset = offset_expr.get_binary_reader();
                        let offset = offset.read_bytes(offset.bytes_remaining())?;
                        known.write(offset, segment.data.len(), *memory_index)?;
                    }
                    known.segments += 1;
                    data.push(1);
                    segment.data.encode(&mut data);
                }
            }
            _ => {}
        }
    }
    if known.code.is_empty() {
        return Ok(bytes.to_vec());
    }
    let mut module = Module::new();
    let mut has_start = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let Some((id, range)) = payload?.as_section() else { continue };
        let section = &bytes[range];
        // Custom sections may be anywhere.
        let is_late = [SectionId::Element, SectionId::DataCount, SectionId::Code].iter().any(|late| *late as u8 == id);
        if is_late && !has_start {
            has_start = true;
            module.section(&StartSection { function_index: known.functions });
        }
        let replaced = match id {
            id if id == SectionId::Start as u8 || id == SectionId::DataCount as u8 => continue,
            id if id == SectionId::Type as u8 => append(section, &[0x60, 0, 0])?,
            id if id == SectionId::Function as u8 => {
                let mut of_type = Vec::new();
                known.types.encode(&mut of_type);
                append(section, &of_type)?
            }
            id if id == SectionId::Code as u8 => {
                let mut count = Vec::new();
                known.segments.encode(&mut count);
                module.section(&RawSection { id: SectionId::DataCount.into(), data: &count });
                append(section, &known.function())?
            }
            id if id == SectionId::Data as u8 => std::mem::take(&mut data),
            _ => section.to_vec(),
        };
        module.section(&RawSection { id, data: &replaced });
    }
    Ok(module.finish())
}

impl Known {
    /// Adds code that writes the next segment to a memory. `offset` is an expression, with its end.
    fn write(&mut self, offset: &[u8], length: usize, memory: u32) -> anyhow::Result<()> {
        let [offset @ .., 0x0b] = offset else { bail!("an offset has no end") };
        self.code.extend_from_slice(offset);
        let mut rest = Function::new([]);
        let length = i32::try_from(length).context("a segment is too large")?;
        rest.instructions().i32_const(0).i32_const(length).memory_init(memory, self.segments).data_drop(self.segments);
        // Without the number of its locals.
        self.code.extend_from_slice(&rest.into_raw_body()[1..]);
        Ok(())
    }

    /// The start function, with its length.
    fn function(&self) -> Vec<u8> {
        let mut function = Function::new([]);
        function.raw(self.code.iter().copied());
        if let Some(start) = self.start {
            function.instructions().call(start);
        }
        function.instructions().end();
        let mut encoded = Vec::new();
        function.encode(&mut encoded);
        encoded
    }
}

/// A section that is a list, with another item.
fn append(section: &[u8], item: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut reader = wasmparser::BinaryReader::new(section, 0);
    let count = reader.read_var_u32()?;
    let mut list = Vec::new();
    (count + 1).encode(&mut list);
    list.extend_from_slice(&section[reader.original_position()..]);
    list.extend_from_slice(item);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_begins_with_the_same_memory() {
        let text = r#"(component
            (core module $m
                (import "" "base" (global $base i32))
                (memory (export "memory") 1)
                (global $started (mut i32) (i32.const 0))
                (func $begin (global.set $started (i32.load8_u (i32.const 8))))
                (func (export "read") (param i32) (result i32)
                    (i32.add (i32.load8_u (local.get 0)) (global.get $started)))
                (start $begin)
                (data (i32.const 8) "\05")
                (data "kept")
                (data (global.get $base) "\07"))
            (core instance $import (export "base" (global $g)))
            (core instance $i (instantiate $m (with "" (instance $import))))
            (func (export "read") (param "at" u32) (result u32) (canon lift (core func $i "read"))))"#;
        // A global can only come from a module.
        let text = text.replace(
            "(core instance $import (export \"base\" (global $g)))",
            "(core module $b (global (export \"base\") i32 (i32.const 100))) (core instance $import (instantiate $b))",
        );
        let bytes = component(&wat::parse_str(text).expect("it is a component")).expect("it is well formed");
        let engine = wasmtime::Engine::default();
        let component = wasmtime::component::Component::from_binary(&engine, &bytes).expect("it is valid");
        let mut store = wasmtime::Store::new(&engine, ());
        let linker = wasmtime::component::Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component).expect("it starts");
        let read = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "read").expect("it is exported");
        let read = |at| read.call(&mut store, (at,)).expect("it does not trap").0;
        // Each with what the start function has seen.
        assert_eq!([8, 100, 101].map(read), [10, 12, 5]);
    }
}
