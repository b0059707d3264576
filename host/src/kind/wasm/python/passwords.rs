//! Hash functions for passwords, which are made to take long, and would take a hundred times longer in Python.

use std::future::Future;

use pbkdf2::pbkdf2_hmac;
use wasmtime::{StoreContextMut, component::Linker};

use crate::{handler::lanes, kind::wasm::guest::Guest};

/// How many rounds of a hash function one call may take: a few seconds. A handler is not interrupted meanwhile.
const ROUNDS_MAX: u64 = 20_000_000;

/// How many bytes of memory one call of scrypt may take. Those of Werkzeug and Django take 32 MiB.
const MEMORY_MAX: u64 = 64 << 20;

/// How many bytes of memory all lanes of one scrypt may go through.
const WORK_MAX: u64 = 512 << 20;

/// How long a result may be, in bytes.
const LENGTH_MAX: u32 = 1024;

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
                if length > LENGTH_MAX || !store.data_mut().memory.lend(memory) {
                    return Ok((None,));
                }
                let hashed = lanes::compute(|| scrypt(&password, &salt, n, r, p, length)).await;
                store.data_mut().memory.take_back(memory);
                Ok((hashed,))
            })
        },
    )
}

fn pbkdf2(hash: &str, password: &[u8], salt: &[u8], rounds: u32, length: u32) -> Option<Vec<u8>> {
    type Function = fn(&[u8], &[u8], u32, &mut [u8]);
    let (function, size): (Function, u32) = match hash {
        "sha1" => (pbkdf2_hmac::<sha1::Sha1>, 20),
        "sha224" => (pbkdf2_hmac::<sha2::Sha224>, 28),
        "sha256" => (pbkdf2_hmac::<sha2::Sha256>, 32),
        "sha384" => (pbkdf2_hmac::<sha2::Sha384>, 48),
        "sha512" => (pbkdf2_hmac::<sha2::Sha512>, 64),
        _ => return None,
    };
    let is_bounded = u64::from(rounds) * u64::from(length.div_ceil(size)) <= ROUNDS_MAX;
    if !is_bounded || rounds == 0 || length == 0 || length > LENGTH_MAX {
        return None;
    }
    let mut key = vec![0; length as usize];
    function(password, salt, rounds, &mut key);
    Some(key)
}

/// How many bytes scrypt takes, if that is no more than allowed.
fn memory_of_scrypt(n: u64, r: u32, p: u32) -> Option<usize> {
    let block = u64::from(r).checked_mul(128)?;
    let memory = n.checked_mul(block)?;
    let is_bounded = memory <= MEMORY_MAX && memory.checked_mul(p.into())? <= WORK_MAX;
    usize::try_from(memory + block * u64::from(p)).ok().filter(|_| is_bounded)
}

fn scrypt(password: &[u8], salt: &[u8], n: u64, r: u32, p: u32, length: u32) -> Option<Vec<u8>> {
    let log = u8::try_from(n.checked_ilog2()?).ok().filter(|_| n.is_power_of_two())?;
    let params = scrypt::Params::new(log, r, p, 32).ok()?;
    let mut key = vec![0; length as usize];
    scrypt::scrypt(password, salt, &params, &mut key).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex::hex;

    #[test]
    fn pbkdf2_gives_the_published_results() {
        // RFC 6070, and RFC 7914, section 11.
        let of = |hash, password: &str, salt: &str, rounds, length| {
            pbkdf2(hash, password.as_bytes(), salt.as_bytes(), rounds, length).map(|key| hex(&key))
        };
        let wanted = "4b007901b765489abead49d926f721d065a429c1";
        assert_eq!(of("sha1", "password", "salt", 4096, 20).as_deref(), Some(wanted));
        let wanted = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
                      49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783";
        assert_eq!(of("sha256", "passwd", "salt", 1, 64).as_deref(), Some(wanted));
        assert_eq!(of("md5", "passwd", "salt", 1, 64), None);
        assert_eq!(of("sha256", "passwd", "salt", u32::MAX, 64), None);
    }

    #[test]
    fn scrypt_gives_the_published_results() {
        // RFC 7914, section 12.
        let key = scrypt(b"password", b"NaCl", 1024, 8, 16, 64).map(|key| hex(&key));
        let wanted = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
                      2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640";
        assert_eq!(key.as_deref(), Some(wanted));
        assert_eq!(scrypt(b"password", b"NaCl", 1000, 8, 16, 64), None);
        assert!(memory_of_scrypt(1 << 15, 8, 1).is_some() && memory_of_scrypt(1 << 30, 8, 1).is_none());
    }
}
