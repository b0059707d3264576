//! Basic types and helpers that every module may use and that depend on none of them.

pub(crate) mod address;
pub(crate) mod contract;
pub(crate) mod dirs;
pub(crate) mod exit;
pub(crate) mod grants;
pub(crate) mod hex;
pub(crate) mod limits;
pub(crate) mod lock;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod size;
pub(crate) mod stack;
