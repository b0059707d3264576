//! What handlers do, and what comes of it: the same behaviours with a native handler, with a component in this process and
//! with the real server. What differs between the first two is the sandbox's fault, between the last two the program's.

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
