//! User names and passwords.

use std::hint::black_box;

use crate::{Application, Environ, Response, Result, StartResponse};

/// Middleware that asks for a user name and a password (RFC 7617), and lets the application see only requests of those
/// that `check` knows. Others get a 401, upon which browsers ask.
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
/// # fn who_knows_the_password_is_let_in() {
/// let app = basic_auth("the back room", credentials("alice", "sesame"), app);
/// let environ = Environ::made([("HTTP_AUTHORIZATION", "Basic YWxpY2U6c2VzYW1l")]);
/// assert_eq!(testing::call(app, environ).body, b"Hello, alice!\n");
/// # }
/// # who_knows_the_password_is_let_in();
/// ```
///
/// The application finds the user's name in `REMOTE_USER`, and `AUTH_TYPE` is `Basic` (RFC 3875 section 4.1).
///
/// `check` is given both as text. It has to compare in constant time, see [`same_secret`]; [`credentials`] does. A
/// password need not be in the source: one that `--env PASSWORD=...` grants is in the handler's environment.
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
/// Both travel in the clear: without TLS in front (`https`), everybody on the way can read them.
///
/// # Panics
///
/// When the realm has a control character in it, which cannot be sent.
pub fn basic_auth<C, A>(realm: &str, check: C, application: A) -> BasicAuth<C, A>
where
    C: FnOnce(&str, &str) -> bool,
{
    BasicAuth { challenge: challenge(realm), check, application }
}

/// The check for one user with one password, in constant time; see [`basic_auth`].
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
    // Not `&&`, which would tell by its time whether there is such a user.
    move |user, password| same_secret(user, &expected_user) & same_secret(password, &expected_password)
}

/// Whether two secrets are the same, found out in a time that depends on the length of what was given, and not on how
/// much of it is right. What is expected must not be empty: nothing is the same as an empty secret.
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
    // Of another length or not, every octet of what was given is looked at.
    for (octet, other) in given.iter().zip(expected.iter().cycle()) {
        is_different = black_box(is_different | (octet ^ other));
    }
    black_box(is_different) == 0
}

/// An application behind a [`basic_auth`].
///
/// ```
/// # use wasmserve_guest::{BasicAuth, Environ, basic_auth, testing::call};
/// let guarded: BasicAuth<_, _> = basic_auth("nowhere", |_, _| false, |_: Environ| "never\n");
/// assert_eq!(call(guarded, Environ::made([])).status, "401 Unauthorized");
/// ```
pub struct BasicAuth<C, A> {
    challenge: String,
    check: C,
    application: A,
}

/// A `BasicAuth` in front of one.
pub enum Guarded {}

impl<C, A, M> Application<(Guarded, M)> for BasicAuth<C, A>
where
    C: FnOnce(&str, &str) -> bool,
    A: Application<M>,
{
    fn run(self, mut environ: Environ, start_response: StartResponse) -> Result<()> {
        let given = environ.get("HTTP_AUTHORIZATION").and_then(|field| parse(&field));
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

/// The realm as a quoted string (RFC 9110 section 5.6.4), and that we read UTF-8 (RFC 7617 section 2.1).
fn challenge(realm: &str) -> String {
    assert!(!realm.contains(char::is_control), "the realm {realm:?} has a control character in it");
    let realm = realm.replace('\\', r"\\").replace('"', r#"\""#);
    format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")
}

/// The user's name and the password (RFC 7617 section 2): neither has control characters, and the name no colon.
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

/// Base64 (RFC 4648 section 4), with its padding or without.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take(2).take_while(|octet| **octet == b'=').count();
    if padding > 0 && text.len() % 4 != 0 {
        return None;
    }
    let digits = &text[..text.len() - padding];
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut octets = Vec::with_capacity(digits.len() * 3 / 4);
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
        // Three octets of 24 bits, the first of them in the second of four.
        let bits = bits << (6 * (4 - group.len()));
        octets.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(octets)
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
    fn base64_is_decoded_as_rfc_4648_has_it() {
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
    fn only_who_is_known_is_let_in() {
        for (field, expected) in [
            ("Basic YWxpY2U6c2VzYW1l", Some("alice")),
            ("bAsIc   YWxpY2U6c2VzYW1l", Some("alice")),
            // `test:123£`, the example of RFC 7617 section 2.1.
            ("Basic dGVzdDoxMjPCow==", Some("test")),
            // `user:a:b`: the password has a colon.
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
            let environ = Environ::made([("HTTP_AUTHORIZATION", field)]);
            let answer = call(validator(basic_auth("r", check, app)), environ);
            match expected {
                Some(user) => assert_eq!(answer.body, format!("Basic {user}").into_bytes(), "{field}"),
                None => assert_eq!((&*answer.status, answer.log.len()), ("401 Unauthorized", 0), "{field}"),
            }
        }
    }

    #[test]
    fn who_is_not_known_is_asked() {
        let check = |_: &str, _: &str| unreachable!();
        let answer = call(basic_auth(r#"the "back\room""#, check, app), Environ::made([]));
        let challenge = r#"Basic realm="the \"back\\room\"", charset="UTF-8""#;
        assert_eq!(answer.header("WWW-Authenticate").unwrap(), &challenge);
        assert_eq!(answer.body, b"401 Unauthorized\n");
    }

    #[test]
    #[should_panic = "control character"]
    fn a_realm_cannot_end_its_field() {
        let _ = basic_auth("a\r\nSet-Cookie: b", credentials("a", "b"), app);
    }

    #[test]
    fn a_secret_is_the_same_or_it_is_not() {
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
    fn it_stands_in_front_of_anything() {
        let guarded = || basic_auth("r", credentials("alice", "sesame"), Router::new().get("/", app));
        let answer = call(validator(log(guarded())), Environ::made([]));
        assert_eq!(answer.log, [r#"GET "/": 401 Unauthorized, 17 octets"#]);
        let environ = Environ::made([("HTTP_AUTHORIZATION", "Basic YWxpY2U6c2VzYW1l")]);
        let answer = call(log(guarded()), environ);
        assert_eq!(answer.body, b"Basic alice");
        assert_eq!(answer.log, [r#"GET "/": 200 OK, 11 octets"#]);
    }
}
