//! Has the host compute hash functions for passwords, which would take a hundred times longer in Python.

use std::future::Future;

use wasmserve_passwords::{memory_of_scrypt, pbkdf2, scrypt};
use wasmtime::{StoreContextMut, component::Linker};

use crate::{handler::lanes, kind::wasm::guest::Guest};

type Hashed<'a> = Box<dyn Future<Output = wasmtime::Result<(Option<Vec<u8>>,)>> + Send + 'a>;
type Caller<'a> = StoreContextMut<'a, Guest>;

/// Links the interface.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut passwords = linker.instance("wasmserve:python/passwords@0.1.0")?;
    passwords.func_wrap_async(
        "pbkdf2",
        |_: Caller<'_>, (hash, password, salt, rounds, length): (String, Vec<u8>, Vec<u8>, u32, u32)| -> Hashed<'_> {
            Box::new(async move { Ok((lanes::compute(|| pbkdf2(&hash, &password, &salt, rounds, length)).await,)) })
        },
    )?;
    passwords.func_wrap_async(
        "scrypt",
        |mut store: Caller<'_>,
         (password, salt, n, r, p, length): (Vec<u8>, Vec<u8>, u64, u32, u32, u32)|
         -> Hashed<'_> {
            Box::new(async move {
                let Some(memory) = memory_of_scrypt(n, r, p) else { return Ok((None,)) };
                // It counts as the instance's own.
                if !store.data_mut().memory.lend(memory) {
                    return Ok((None,));
                }
                let hashed = lanes::compute(|| scrypt(&password, &salt, n, r, p, length)).await;
                store.data_mut().memory.take_back(memory);
                Ok((hashed,))
            })
        },
    )
}
