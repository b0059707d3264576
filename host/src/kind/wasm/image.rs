//! Memories that begin as a copy of an image, and are made into one again when their instance has ended.
//!
//! An instance of Python writes to a thousand pages of its memory. Giving them back and having them mapped again costs
//! several milliseconds for each request, which is most of what a request costs. So a memory stays mapped, and only what an
//! instance has written is overwritten with the image. The kernel knows which pages these are.
//!
//! That is possible only on Linux. Elsewhere, the image is a part of the component, and wasmtime does what it can.

#[cfg(target_os = "linux")]
mod copies;
#[cfg(not(target_os = "linux"))]
mod data;

#[cfg(target_os = "linux")]
pub(super) use self::copies::{Image, allocate};
#[cfg(not(target_os = "linux"))]
pub(super) use self::data::{Image, allocate};
