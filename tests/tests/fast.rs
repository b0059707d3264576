//! Tests that start no server process: tables, the codebase, and servers in this process.
//!
//! They take seconds. The name of a test is a claim, and starts with the number of the rule that it tests, if any.

mod behaviour;
mod bindings;
mod captured;
mod cases;
mod cgi_cases;
mod docs;
mod invariant;
mod program;
mod rooms;
mod rules;
