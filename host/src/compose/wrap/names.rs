//! Marks the modules of a filter with its name, which stacks show.

use wasm_encoder::{Component, ComponentSectionId, CustomSection, Encode as _, RawSection};
use wasmparser::{Parser, Payload};

use crate::kind::wasm::layer::MARK;

/// The name of the section with the names of a module.
const NAMES: &str = "name";

/// The component, whose modules have names that begin with [`MARK`].
///
/// # Errors
///
/// The component is malformed.
pub(super) fn mark(component: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let mut marked = Component::new();
    // Sections of nested components are skipped: they are handled as a whole.
    let mut skipped = 0;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { unchecked_range: range, .. } if range.start >= skipped => {
                let module = mark_module(&component[range.clone()], name)?;
                marked.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: &module });
                skipped = range.end;
            }
            Payload::ComponentSection { unchecked_range: range, .. } if range.start >= skipped => {
                let nested = mark(&component[range.clone()], name)?;
                marked.section(&RawSection { id: ComponentSectionId::Component.into(), data: &nested });
                skipped = range.end;
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section()
            && range.start >= skipped
        {
            marked.section(&RawSection { id, data: &component[range] });
        }
    }
    Ok(marked.finish())
}

fn mark_module(module: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let mut marked = wasm_encoder::Module::new();
    // The name of the module comes first in the section (the specification's appendix "Name Section").
    let mut names = Vec::new();
    let mut text = Vec::new();
    format!("{MARK}{name}").encode(&mut text);
    names.push(0);
    text.encode(&mut names);
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::CustomSection(section) if section.name() == NAMES => {
                let others = section.data();
                let own = match others {
                    // A name that the module has already.
                    [0, rest @ ..] => length(rest).unwrap_or(0),
                    _ => 0,
                };
                names.extend_from_slice(&others[own..]);
            }
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    marked.section(&RawSection { id, data: &module[range] });
                }
            }
        }
    }
    marked.section(&CustomSection { name: NAMES.into(), data: names.into() });
    Ok(marked.finish())
}

/// The length of a subsection, with what precedes its content.
fn length(after_id: &[u8]) -> Option<usize> {
    let mut reader = wasmparser::BinaryReader::new(after_id, 0);
    let content = reader.read_var_u32().ok()?;
    let all = 1 + reader.original_position() + usize::try_from(content).ok()?;
    (all <= after_id.len() + 1).then_some(all)
}
