//! Accepts webhooks only if they are signed with a secret, as GitHub and Stripe sign them: HMAC-SHA256 over the exact
//! bytes of the body.
//!
//! ```cargo
//! [dependencies]
//! sha2 = "0.10"
//! ```
//!
//! Try it: `wasmserve webhook.rs --env WEBHOOK_SECRET=sesame`, and
//!
//! ```sh
//! body='{"action": "opened"}'
//! signature=$(printf %s "$body" | openssl dgst -sha256 -hmac sesame -r | cut -d ' ' -f 1)
//! curl -i -d "$body" -H "X-Hub-Signature-256: sha256=$signature" http://127.0.0.1:8000/github
//! ```

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use wasmserve_guest::prelude::*;

handler!(app());

/// The longest body in bytes. GitHub sends up to 25 MiB.
const BODY_MAX: usize = 25 << 20;

/// How far a timestamp may be from our clock, in seconds: the tolerance of Stripe's own libraries.
const TOLERANCE: u64 = 300;

fn app() -> Router {
    Router::new().post("/github", github).post("/stripe", stripe)
}

fn github(environ: Environ) -> Result<(u16, ())> {
    let body = environ.input().read_all(BODY_MAX)?;
    let signature = environ.header("X-Hub-Signature-256").unwrap_or("");
    if !is_github(&secret()?, &body, signature) {
        return Err(Refusal::new(403, "the signature is missing or wrong").into());
    }
    accept(&environ, &body)
}

fn stripe(environ: Environ) -> Result<(u16, ())> {
    let body = environ.input().read_all(BODY_MAX)?;
    let signature = environ.header("Stripe-Signature").unwrap_or("");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    if !is_stripe(&secret()?, &body, signature, now) {
        return Err(Refusal::new(403, "the signature is missing, wrong or too old").into());
    }
    accept(&environ, &body)
}

fn secret() -> Result<String> {
    let secret = env::var("WEBHOOK_SECRET").unwrap_or_default();
    // Without this, a signature with an empty key would be accepted.
    if secret.is_empty() { Err("no secret; start with --env WEBHOOK_SECRET=…".into()) } else { Ok(secret) }
}

/// What to do with a webhook that is genuine.
fn accept(environ: &Environ, body: &[u8]) -> Result<(u16, ())> {
    environ.errors().log(body);
    Ok((204, ()))
}

/// `sha256=HEX`, over the body.
fn is_github(secret: &str, body: &[u8], signature: &str) -> bool {
    signature.strip_prefix("sha256=").is_some_and(|hex| is_signed(secret, &[body], hex))
}

/// `t=SECONDS,v1=HEX`, over the timestamp, a dot and the body. While a secret is replaced there are several `v1`.
fn is_stripe(secret: &str, body: &[u8], signature: &str, now: u64) -> bool {
    let of = |wanted: &'static str| {
        let parts = signature.split(',').filter_map(|part| part.trim().split_once('='));
        parts.filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let Some(timestamp) = of("t").next() else {
        return false;
    };
    let is_recent = timestamp.parse().is_ok_and(|then: u64| now.abs_diff(then) <= TOLERANCE);
    is_recent && of("v1").any(|hex| is_signed(secret, &[timestamp.as_bytes(), b".", body], hex))
}

/// Whether this is the HMAC-SHA256 of these parts. Takes the same time wherever they differ.
fn is_signed(secret: &str, parts: &[&[u8]], hex: &str) -> bool {
    let signature = decode(hex).unwrap_or_default();
    let expected = hmac(secret.as_bytes(), parts);
    let difference = expected.iter().zip(&signature).fold(0, |all, (one, other)| all | (one ^ other));
    signature.len() == expected.len() && std::hint::black_box(difference) == 0
}

/// HMAC with SHA-256 (RFC 2104), which the crate `hmac` has for all hashes.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = parts.iter().fold(Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)), Sha256::chain_update);
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize()).finalize().into()
}

fn decode(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_signature_is_checked() {
        // The example of GitHub's documentation.
        let secret = "It's a Secret to Everybody";
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_github(secret, b"Hello, World!", signature));
        assert!(is_github(secret, b"Hello, World!", &signature.to_uppercase().replace("SHA", "sha")));
        assert!(!is_github(secret, b"Hello, World", signature) && !is_github("", b"Hello, World!", signature));
        for wrong in
            ["", "sha256=", &signature[..69], &signature[7..], &format!("{signature}00"), "sha256=+1", "sha256=é"]
        {
            assert!(!is_github(secret, b"Hello, World!", wrong), "{wrong}");
        }
    }

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        let hex = |key: &[u8], data: &[u8]| hmac(key, &[data]).map(|byte| format!("{byte:02x}")).concat();
        // Test cases 1, 2 and 6: the last key is longer than a block.
        for (key, data, expected) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(key, data), expected);
        }
    }

    #[test]
    fn stripes_signature_is_checked_with_its_time() {
        let body = br#"{"id":"evt_1"}"#;
        let hex = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        let is = |signature: &str, now| is_stripe("whsec_test", body, signature, now);
        let signature = format!("t=1700000000,v1={hex},v0=00");
        for (now, is_accepted) in
            [(1_700_000_000, true), (1_700_000_300, true), (1_700_000_301, false), (1_699_999_699, false)]
        {
            assert_eq!(is(&signature, now), is_accepted, "{now}");
        }
        assert!(is(&format!("t=1700000000,v1=00,v1={hex}"), 1_700_000_000), "a secret is being replaced");
        for wrong in ["", &format!("v1={hex}"), &format!("t=1700000001,v1={hex}"), &format!("t=1700000000,v0={hex}")] {
            assert!(!is(wrong, 1_700_000_000), "{wrong}");
        }
    }

    #[test]
    fn an_unsigned_webhook_is_refused_and_a_missing_secret_is_a_fault() {
        let environ = Environ::for_test([("REQUEST_METHOD", "POST"), ("PATH_INFO", "/github")]).with_input("{}");
        let answer = testing::call(validator(app()), environ);
        assert_eq!(answer.fault.as_deref(), Some("no secret; start with --env WEBHOOK_SECRET=…"));
    }
}
