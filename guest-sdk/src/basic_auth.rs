//! HTTP basic authentication.

use std::hint::black_box;

use crate::{Application, Environ, Response, Result, StartResponse};

/// Middleware that requires a user name and a password (RFC 7617). The application sees only requests that pass
/// `check`. Other requests get a 401, and browsers then ask the user for both.
///
/// ```
/// use wasmserve_guest::prelude::*;
///
/// handler!(basic_auth("the back room", credentials("alice", "sesame"), app));
///
/// fn app(environ: Environ) -> String {
///     format!("Hello, {}!\n", environ.get("REMOTE_USER").unwrap_or_default())
/// }
///
/// # fn the_right_password_is_accepted() {
/// let app = basic_auth("the back room", credentials("alice", "sesame"), app);
/// let environ = Environ::for_test([("HTTP_AUTHORIZATION", "Basic YWxpY2U6c2VzYW1l")]);
/// assert_eq!(testing::call(app, environ).body, b"Hello, alice!\n");
/// # }
/// # the_right_password_is_accepted();
/// ```
///
/// The application finds the user name in `REMOTE_USER`, and `Basic` in `AUTH_TYPE` (RFC 3875 section 4.1).
///
/// `check` receives the user name and the password. It must compare in constant time: [`credentials`] does, and
/// [`same_secret`] helps you to do the same. To keep the password out of the source, pass it with `--env PASSWORD=...`:
///
/// ```
/// use std::env;
/// use wasmserve_guest::same_secret;
///
/// fn check(user: &str, password: &str) -> bool {
///     let expected = env::var("PASSWORD").unwrap_or_default();
///     !expected.is_empty() && user == "alice" && same_secret(password, expected)
/// }
/// # assert!(!check("alice", ""));
/// ```
///
/// The password is sent in the clear. Without TLS (`https`), everyone on the network path can read it.
///
/// # Panics
///
/// Panics if the realm contains a control character.
pub fn basic_auth<C, A>(realm: &str, check: C, application: A) -> BasicAuth<C, A>
where
    C: FnOnce(&str, &str) -> bool,
{
    BasicAuth { challenge: challenge(realm), check, application }
}

/// Returns a check for one user with one password, in constant time; see [`basic_auth`].
///
/// ```
/// # use wasmserve_guest::credentials;
/// assert!(credentials("alice", "sesame")("alice", "sesame"));
/// assert!(!credentials("alice", "sesame")("bob", "sesame"));
/// ```
pub fn credentials(
    user: impl Into<String>,
    password: impl Into<String>,
) -> impl Fn(&str, &str) -> bool + Clone + 'static {
    let (expected_user, expected_password) = (user.into(), password.into());
    // Not `&&`, whose timing would reveal whether the user exists.
    move |user, password| same_secret(user, &expected_user) & same_secret(password, &expected_password)
}

/// Compares two secrets in constant time: the time depends on the length of `given`, but not on how much of it is
/// right. An empty `expected` secret never matches.
///
/// ```
/// # use wasmserve_guest::same_secret;
/// assert!(same_secret("sesame", "sesame"));
/// assert!(!same_secret("sesam", "sesame"));
/// assert!(!same_secret("", ""));
/// ```
pub fn same_secret(given: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) -> bool {
    let (given, expected) = (given.as_ref(), expected.as_ref());
    let mut is_different = u8::from(given.len() != expected.len() || expected.is_empty());
    // Look at every byte of `given`, whatever the lengths are.
    for (byte, other) in given.iter().zip(expected.iter().cycle()) {
        is_different = black_box(is_different | (byte ^ other));
    }
    black_box(is_different) == 0
}

/// The result of [`basic_auth`].
pub struct BasicAuth<C, A> {
    challenge: String,
    check: C,
    application: A,
}

/// The kind of application that a `BasicAuth` is.
pub enum Guarded {}

impl<C, A, M> Application<(Guarded, M)> for BasicAuth<C, A>
where
    C: FnOnce(&str, &str) -> bool,
    A: Application<M>,
{
    fn run(self, mut environ: Environ, start_response: StartResponse) -> Result<()> {
        let given = environ.get("HTTP_AUTHORIZATION").and_then(|field| parse(field.as_bytes()));
        match given {
            Some((user, password)) if (self.check)(&user, &password) => {
                environ.set("AUTH_TYPE", "Basic");
                environ.set("REMOTE_USER", user);
                self.application.run(environ, start_response)
            }
            _ => {
                let headers = [("WWW-Authenticate", self.challenge), ("Content-Type", "text/plain".to_owned())];
                Response::new(401, headers, "401 Unauthorized\n").run(environ, start_response)
            }
        }
    }
}

/// The challenge: the realm as a quoted string (RFC 9110 section 5.6.4), and UTF-8 as the charset (RFC 7617 section
/// 2.1).
fn challenge(realm: &str) -> String {
    assert!(!realm.contains(char::is_control), "the realm {realm:?} contains a control character");
    let realm = realm.replace('\\', r"\\").replace('"', r#"\""#);
    format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")
}

/// Parses the user name and the password (RFC 7617 section 2). Neither may contain control characters, nor the name a
/// colon.
fn parse(field: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = field.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let pair = String::from_utf8(decode(token.trim_ascii_start())?).ok()?;
    if pair.contains(char::is_control) {
        return None;
    }
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Decodes base64 (RFC 4648 section 4), with or without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    if padding > 0 && text.len() % 4 != 0 {
        return None;
    }
    let digits = &text[..text.len() - padding];
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        // Three bytes of 24 bits. The first of them is the second byte of the `u32`.
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Router, log, testing::call, validator};

    fn app(environ: Environ) -> String {
        let get = |name| environ.get(name).unwrap_or_default();
        format!("{} {}", get("AUTH_TYPE"), get("REMOTE_USER"))
    }

    #[test]
    fn base64_is_decoded_as_in_rfc_4648() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm8", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmFy", Some("foobar")),
            ("Pz8/Pj4+", Some("???>>>")),
            ("Z", None),
            ("Zg=", None),
            ("Z===", None),
            ("====", None),
            ("=Zm9", None),
            ("Zm9v=", None),
            ("Zm9v Zm9v", None),
            ("Zm9-", None),
            ("Zm9\u{e9}", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text:?}");
        }
    }

    #[test]
    fn only_known_users_pass() {
        for (field, expected) in [
            ("Basic YWxpY2U6c2VzYW1l", Some("alice")),
            ("bAsIc   YWxpY2U6c2VzYW1l", Some("alice")),
            // `test:123£`, the example of RFC 7617 section 2.1.
            ("Basic dGVzdDoxMjPCow==", Some("test")),
            // `user:a:b`: the password contains a colon.
            ("Basic dXNlcjphOmI=", Some("user")),
            ("", None),
            ("Basic", None),
            ("Basic ", None),
            ("Bearer YWxpY2U6c2VzYW1l", None),
            ("BasicYWxpY2U6c2VzYW1l", None),
            ("Basic YWxpY2U6c2VzYW1l x", None),
            // `alice`, without a colon.
            ("Basic YWxpY2U=", None),
            // `alice:wrong`.
            ("Basic YWxpY2U6d3Jvbmc=", None),
            // `alice:sesame\n`.
            ("Basic YWxpY2U6c2VzYW1lCg==", None),
            // `test:123\xa3`, in Latin-1.
            ("Basic dGVzdDoxMjOj", None),
        ] {
            let known = [("alice", "sesame"), ("test", "123£"), ("user", "a:b")];
            let check = move |user: &str, password: &str| known.contains(&(user, password));
            let environ = Environ::for_test([("HTTP_AUTHORIZATION", field)]);
            let answer = call(validator(basic_auth("r", check, app)), environ);
            match expected {
                Some(user) => assert_eq!(answer.body, format!("Basic {user}").into_bytes(), "{field}"),
                None => assert_eq!((&*answer.status, answer.log.len()), ("401 Unauthorized", 0), "{field}"),
            }
        }
    }

    #[test]
    fn unknown_users_get_a_challenge() {
        let check = |_: &str, _: &str| unreachable!();
        let answer = call(basic_auth(r#"the "back\room""#, check, app), Environ::for_test([]));
        let challenge = r#"Basic realm="the \"back\\room\"", charset="UTF-8""#;
        assert_eq!(answer.header("WWW-Authenticate").unwrap(), &challenge);
        assert_eq!(answer.body, b"401 Unauthorized\n");
    }

    #[test]
    #[should_panic = "control character"]
    fn a_realm_cannot_inject_a_field() {
        let _ = basic_auth("a\r\nSet-Cookie: b", credentials("a", "b"), app);
    }

    #[test]
    fn equal_secrets_match_and_others_do_not() {
        for (given, expected, same) in [
            ("abc", "abc", true),
            ("abd", "abc", false),
            ("Abc", "abc", false),
            ("ab", "abc", false),
            ("abcabc", "abc", false),
            ("", "abc", false),
            ("abc", "", false),
            ("", "", false),
        ] {
            assert_eq!(same_secret(given, expected), same, "{given:?} {expected:?}");
        }
    }

    #[test]
    fn it_wraps_any_application() {
        let guarded = || basic_auth("r", credentials("alice", "sesame"), Router::new().get("/", app));
        let answer = call(validator(log(guarded())), Environ::for_test([]));
        assert_eq!(answer.log, [r#"GET "/": 401 Unauthorized, 17 bytes"#]);
        let environ = Environ::for_test([("HTTP_AUTHORIZATION", "Basic YWxpY2U6c2VzYW1l")]);
        let answer = call(log(guarded()), environ);
        assert_eq!(answer.body, b"Basic alice");
        assert_eq!(answer.log, [r#"GET "/": 200 OK, 11 bytes"#]);
    }
}
