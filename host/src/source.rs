//! What the user names, and how a handler comes of it.

pub(crate) mod build;
pub(crate) mod example;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod locate;
pub(crate) mod scope;
pub(crate) mod sdk;
pub(crate) mod watch;
