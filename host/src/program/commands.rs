//! What the program can do: one file for each command.

pub(crate) mod build;
pub(crate) mod dump;
pub(crate) mod inspect;
pub(crate) mod new;
pub(crate) mod serve;
