//! What needs no server as a process: tables, the house, and servers in this process. Seconds.
//!
//! A name is a claim, and starts with the rule that it stands for where there is one.

mod behaviour;
mod bindings;
mod cases;
mod docs;
mod invariant;
mod program;
mod rooms;
mod rules;
