//! Captures in files: WARC 1.1 (ISO 28500), which other programs read too.
//!
//! A file begins with a `warcinfo` record. Then, for each exchange, come a `request`, a `response` if something was sent, and
//! a `metadata` record with everything else as JSON, in this order: an exchange is complete when its last record is. Files
//! can be joined with `cat`, and what is behind the last complete exchange of a file is ignored.

mod files;
mod layout;
mod read;
mod write;

pub use self::{
    files::{Files, paths, read_path},
    read::{Piece, Reader},
    write::Writer,
};
