//! A filter to put in front of a handler.

use crate::kind::wasm::layer::Setting;

/// A filter to put in front of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// What the user calls it, for stacks and messages.
    pub(crate) name: String,
    /// The component's bytes.
    pub(crate) component: Vec<u8>,
    /// Its options, in the order of the command line.
    pub(crate) settings: Vec<Setting>,
}

impl Filter {
    /// The last part of its name, for lines in which a path would be too long.
    pub(super) fn title(&self) -> &str {
        self.name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(&self.name)
    }
}
