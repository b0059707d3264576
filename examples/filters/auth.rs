//! A filter that lets only known users in: `--wrap auth`.
//!
//! ```sh
//! wasmserve hello.rs --wrap auth,user=alice:sesame,token=ci:c2VzYW1l
//! wasmserve hello.rs --wrap auth,user=file:users.txt,realm='The back room'
//! ```

use wasmserve_guest::{filter::*, prelude::*, same_secret};

filter!(Auth);

/// Users log in by Basic authentication (RFC 7617), programs by a bearer token (RFC 6750).
struct Auth {
    realm: String,
    users: Vec<(String, String)>,
    tokens: Vec<(String, String)>,
}

impl Filter for Auth {
    fn new(options: &Options) -> Result<Self> {
        let users: Vec<_> = options.all("user").flat_map(entries).map(user).collect::<Result<_>>()?;
        let tokens: Vec<_> = options.all("token").flat_map(entries).map(token).collect::<Result<_>>()?;
        if users.is_empty() && tokens.is_empty() {
            return Err("it needs whom to let in; write auth,user=NAME:PASSWORD or auth,token=TOKEN".into());
        }
        let realm = options.get("realm").unwrap_or("wasmserve").to_owned();
        if realm.contains(char::is_control) {
            return Err("the realm has a control character; remove it".into());
        }
        Ok(Self { realm, users, tokens })
    }

    fn before(&mut self, request: &mut Request) -> Result<Next> {
        let field = request.get("HTTP_AUTHORIZATION").map(Value::into_bytes).unwrap_or_default();
        let (scheme, credentials) = split(&field);
        let known = match &*scheme {
            "basic" => self.user(credentials).map(|user| ("Basic", user)),
            "bearer" => self.bearer(credentials).map(|user| ("Bearer", user)),
            _ => None,
        };
        let Some((scheme, user)) = known else { return Ok(Next::Answer(self.challenge(&scheme))) };
        request.set("AUTH_TYPE", scheme);
        request.set("REMOTE_USER", user);
        // RFC 3875 section 4.1.18: a server that has checked credentials keeps them from the handler.
        request.remove("HTTP_AUTHORIZATION");
        Ok(Next::Forward)
    }
}

impl Auth {
    fn user(&self, credentials: &[u8]) -> Option<String> {
        let pair = String::from_utf8(decode(credentials)?).ok()?;
        let (name, password) = pair.split_once(':').filter(|_| !pair.contains(char::is_control))?;
        // All are compared, always to the end, so that the time reveals neither names nor passwords.
        let is_known = self.users.iter().fold(false, |is_known, (other, secret)| {
            is_known | (same_secret(name, other) & same_secret(password, secret))
        });
        is_known.then(|| name.to_owned())
    }

    fn bearer(&self, token: &[u8]) -> Option<String> {
        let mut user = None;
        for (name, secret) in &self.tokens {
            if same_secret(token, secret) {
                user = Some(name.clone());
            }
        }
        user
    }

    /// The answer to a request without valid credentials of this scheme.
    fn challenge(&self, scheme: &str) -> Response {
        let realm = self.realm.replace('\\', r"\\").replace('"', r#"\""#);
        let mut response = Response::text("401 Unauthorized\n").with_status(401);
        if !self.users.is_empty() {
            let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
            response = response.with_header("WWW-Authenticate", challenge);
        }
        if !self.tokens.is_empty() {
            // RFC 6750 section 3.1: only a client that has sent a token learns that it is wrong.
            let error = if scheme == "bearer" { ", error=\"invalid_token\"" } else { "" };
            response = response.with_header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"{error}"));
        }
        response.with_header("Cache-Control", "no-store")
    }
}

/// The lines of a value: it may come from a file, which may have comments.
fn entries(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn user(entry: &str) -> Result<(String, String)> {
    match entry.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => {
            Ok((name.to_owned(), password.to_owned()))
        }
        // Not with the entry, which may be a password.
        _ => Err("a user has a name and a password; write user=NAME:PASSWORD".into()),
    }
}

/// A token, with the name of the user that it stands for, if it has one: a token has no colon (RFC 6750 section 2.1).
fn token(entry: &str) -> Result<(String, String)> {
    let (name, token) = entry.split_once(':').unwrap_or(("bearer", entry));
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if name.is_empty() || token.is_empty() || !token.bytes().all(is_of_token) {
        return Err("a token has letters, digits and -._~+/= only; write token=TOKEN or token=NAME:TOKEN".into());
    }
    Ok((name.to_owned(), token.to_owned()))
}

/// The scheme of an `Authorization` field, in lower case, and the credentials.
fn split(field: &[u8]) -> (String, &[u8]) {
    let at = field.iter().position(|byte| *byte == b' ').unwrap_or(field.len());
    let (scheme, credentials) = field.split_at(at);
    (String::from_utf8_lossy(scheme).to_ascii_lowercase(), credentials.trim_ascii())
}

/// Decodes base64 (RFC 4648 section 4), with or without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
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
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [(&str, &str); 3] =
        [("user", "alice:sesame\n# others\nbob:a:b\n"), ("token", "ci:c2VzYW1l"), ("realm", r#"the "back""#)];

    fn app(environ: Environ) -> String {
        let get = |name| environ.get(name).unwrap_or_default();
        format!("{} {} {}", get("AUTH_TYPE"), get("REMOTE_USER"), environ.header("Authorization").unwrap_or("-"))
    }

    fn call(field: &str) -> testing::Answer {
        let environ = Environ::for_test([("HTTP_AUTHORIZATION", field)]);
        testing::call_behind::<Auth, _>(&OPTIONS, app, environ)
    }

    #[test]
    fn known_users_and_tokens_pass_and_their_secrets_do_not() {
        for (field, expected) in [
            ("Basic YWxpY2U6c2VzYW1l", "Basic alice -"),
            ("bAsIc  YWxpY2U6c2VzYW1l", "Basic alice -"),
            ("Basic Ym9iOmE6Yg==", "Basic bob -"),
            ("Basic Ym9iOmE6Yg", "Basic bob -"),
            ("Bearer c2VzYW1l", "Bearer ci -"),
            ("bearer c2VzYW1l", "Bearer ci -"),
        ] {
            assert_eq!(call(field).body, expected.as_bytes(), "{field}");
        }
    }

    #[test]
    fn others_get_challenges() {
        for (field, error) in [
            ("", ""),
            ("Basic", ""),
            ("Basic !!!!", ""),
            ("Basic YWxpY2U6d3Jvbmc=", ""),
            ("Basic c2VzYW1l", ""),
            ("Digest c2VzYW1l", ""),
            ("Bearer", ", error=\"invalid_token\""),
            ("Bearer c2VzYW1", ", error=\"invalid_token\""),
            ("BearerX c2VzYW1l", ""),
        ] {
            let answer = call(field);
            assert_eq!(answer.status, "401 Unauthorized", "{field}");
            let challenges = answer.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
            let challenges: Vec<_> = challenges.map(|(_, value)| value.as_str().to_owned()).collect();
            let expected = [
                r#"Basic realm="the \"back\"", charset="UTF-8""#.to_owned(),
                format!(r#"Bearer realm="the \"back\""{error}"#),
            ];
            assert_eq!(challenges, expected, "{field}");
        }
    }
}
