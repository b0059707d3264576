//! Hash functions for passwords, for Python code: in the server, and in exported handlers.
//!
//! They are made to take long, and would take a hundred times longer in Python. How long one call takes, and how much memory,
//! is bounded.

use pbkdf2::pbkdf2_hmac;

/// How many rounds of a hash function one call may take: a few seconds. A handler is not interrupted meanwhile.
const ROUNDS_MAX: u64 = 20_000_000;

/// How many bytes of memory one call of scrypt may take. Those of Werkzeug and Django take 32 MiB.
const MEMORY_MAX: u64 = 64 << 20;

/// How many bytes of memory all lanes of one scrypt may go through.
const WORK_MAX: u64 = 512 << 20;

/// How long a result may be, in bytes.
const LENGTH_MAX: u32 = 1024;

/// PBKDF2 with HMAC (RFC 8018 section 5.2), with a result of `length` bytes, from 1 to 1024. `None` if there is no hash function
/// of this name (`sha1`, or one of SHA-2 such as `sha256`), or it would take too long.
#[must_use]
pub fn pbkdf2(hash: &str, password: &[u8], salt: &[u8], rounds: u32, length: u32) -> Option<Vec<u8>> {
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

/// How many bytes of memory [`scrypt()`] takes with these parameters, if that is no more than one call may take.
#[must_use]
pub fn memory_of_scrypt(n: u64, r: u32, p: u32) -> Option<usize> {
    let block = u64::from(r).checked_mul(128)?;
    let memory = n.checked_mul(block)?;
    let is_bounded = memory <= MEMORY_MAX && memory.checked_mul(p.into())? <= WORK_MAX;
    usize::try_from(memory + block * u64::from(p)).ok().filter(|_| is_bounded)
}

/// scrypt (RFC 7914), with a result of `length` bytes, from 1 to 1024. `None` if the parameters are invalid, or it would take too
/// much memory.
#[must_use]
pub fn scrypt(password: &[u8], salt: &[u8], n: u64, r: u32, p: u32, length: u32) -> Option<Vec<u8>> {
    if length > LENGTH_MAX || memory_of_scrypt(n, r, p).is_none() {
        return None;
    }
    let log = u8::try_from(n.checked_ilog2()?).ok().filter(|_| n.is_power_of_two())?;
    let params = scrypt::Params::new(log, r, p, 32).ok()?;
    let mut key = vec![0; length as usize];
    scrypt::scrypt(password, salt, &params, &mut key).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

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
