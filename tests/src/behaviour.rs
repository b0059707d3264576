//! What handlers do, and what results from it.
//!
//! The same behaviours run with a native handler, with a component in this process and with the real server. A
//! difference between the first two is caused by the sandbox, between the last two by the program.

mod model;
mod native;
mod random;
mod stage;
mod table;

pub use self::{
    random::{play_mangled, play_random},
    stage::Stage,
    table::play_all,
};
