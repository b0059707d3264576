//! The other side of the contract: on wasm the host, natively a stand-in with a made-up request. Nothing else in this
//! crate knows which.

#[cfg(target_family = "wasm")]
mod host;
#[cfg(not(target_family = "wasm"))]
mod stand_in;

#[cfg(target_family = "wasm")]
pub(crate) use host::Gateway;
#[cfg(not(target_family = "wasm"))]
pub(crate) use stand_in::Gateway;
