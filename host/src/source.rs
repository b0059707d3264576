//! From the handler that the user names to one that serves: locating, building, loading and watching.

pub(crate) mod build;
pub(crate) mod example;
pub(crate) mod filter;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod locate;
pub(crate) mod mistake;
pub(crate) mod python;
mod route;
pub(crate) mod scope;
pub(crate) mod sdk;
pub(crate) mod watch;
