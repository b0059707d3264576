//! Cookies: a lenient parser and a strict builder.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use crate::{Value, grammar};

/// The most that browsers store, name and value together (RFC 6265 section 6.1).
const LONGEST: usize = 4096;

/// The cookies of a request, parsed from the `Cookie` field (RFC 6265 section 5.4). See
/// [`Environ::cookies`](crate::Environ::cookies).
///
/// The parser is lenient, because other applications on the same host may have set anything (section 4.2.2). It skips
/// what is not `name=value`, and removes white space around names and values and one pair of quotes around a value. It
/// decodes nothing, and has `�` for what is not UTF-8. A name may occur more than once; the first one has the longest
/// path.
///
/// Do not trust cookies: a client can send any value.
///
/// ```
/// use wasmserve_guest::Cookies;
///
/// let cookies = Cookies::parse("id=7; theme=\"dark\"; ; odd; id=8");
/// assert_eq!(cookies.get("id"), Some("7"));
/// assert_eq!(cookies.get("theme"), Some("dark"));
/// assert_eq!(cookies.get("odd"), None);
/// assert_eq!(cookies.iter().count(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies(Value);

impl Cookies {
    /// Parses the value of a `Cookie` field.
    ///
    /// ```
    /// # use wasmserve_guest::Cookies;
    /// assert_eq!(Cookies::parse("a=b=c").get("a"), Some("b=c"));
    /// ```
    pub fn parse(field: impl Into<Value>) -> Self {
        Self(field.into())
    }

    /// Returns the first cookie of a name. Names are case-sensitive.
    ///
    /// ```
    /// # use wasmserve_guest::Cookies;
    /// assert_eq!(Cookies::parse("a=1; a=2").get("a"), Some("1"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut cookies = self.iter();
        cookies.find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Iterates over all names and values in the order of arrival.
    ///
    /// ```
    /// # use wasmserve_guest::Cookies;
    /// let cookies = Cookies::parse("a=1; b=");
    /// let all: Vec<(&str, &str)> = cookies.iter().collect();
    /// assert_eq!(all, [("a", "1"), ("b", "")]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        const SPACE: [char; 2] = [' ', '\t'];
        self.0.split(';').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim_matches(SPACE), value.trim_matches(SPACE));
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            (!name.is_empty()).then_some((name, value))
        })
    }
}

/// A cookie to set: the builder of a `Set-Cookie` field (RFC 6265 section 4.1).
///
/// The builder is strict. It rejects everything that could end the value or start another attribute or field, and
/// everything that browsers would ignore. Encode values that contain anything but visible ASCII.
///
/// ```
/// use wasmserve_guest::{Cookie, Environ, IntoResponse, Result, SameSite, testing::call};
///
/// fn app(environ: Environ) -> Result {
///     let visits = environ.cookies().get("visits").and_then(|visits| visits.parse().ok()).unwrap_or(0_u32) + 1;
///     let cookie = Cookie::new("visits", visits.to_string()).path("/").http_only().same_site(SameSite::Lax);
///     let response = format!("visit {visits}\n").into_response()?;
///     Ok(response.with_header("Set-Cookie", cookie.to_value()?))
/// }
///
/// let answer = call(app, Environ::for_test([("HTTP_COOKIE", "visits=2")]));
/// assert_eq!(answer.header("Set-Cookie").unwrap(), &"visits=3; Path=/; HttpOnly; SameSite=Lax");
/// ```
///
/// To delete a cookie, set it with the same path and domain, an empty value and a [`max_age`](Self::max_age) of zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    is_secure: bool,
    is_http_only: bool,
    same_site: Option<SameSite>,
}

impl Cookie {
    /// Creates a cookie without attributes. The browser sends it to this host, for the directory of the current path,
    /// until the browser is closed.
    ///
    /// ```
    /// # use wasmserve_guest::Cookie;
    /// assert!(Cookie::new("id", "7").to_value()? == "id=7");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            path: None,
            domain: None,
            max_age: None,
            is_secure: false,
            is_http_only: false,
            same_site: None,
        }
    }

    /// `Path`: limits the cookie to this path and all paths below it. Must start with `/`.
    ///
    /// ```
    /// # use wasmserve_guest::Cookie;
    /// assert!(Cookie::new("id", "7").path("/shop").to_value()? == "id=7; Path=/shop");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// `Domain`: sends the cookie to this host and all hosts below it, not only to the one that set it.
    ///
    /// ```
    /// # use wasmserve_guest::Cookie;
    /// assert!(Cookie::new("id", "7").domain("example.com").to_value()? == "id=7; Domain=example.com");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// `Max-Age`: how long the browser keeps the cookie, in whole seconds. Zero deletes it.
    ///
    /// ```
    /// # use {std::time::Duration, wasmserve_guest::Cookie};
    /// assert!(Cookie::new("id", "").max_age(Duration::ZERO).to_value()? == "id=; Max-Age=0");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// `Secure`: sends the cookie over TLS only.
    ///
    /// ```
    /// # use wasmserve_guest::Cookie;
    /// assert!(Cookie::new("id", "7").secure().to_value()? == "id=7; Secure");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn secure(mut self) -> Self {
        self.is_secure = true;
        self
    }

    /// `HttpOnly`: hides the cookie from scripts.
    ///
    /// ```
    /// # use wasmserve_guest::Cookie;
    /// assert!(Cookie::new("id", "7").http_only().to_value()? == "id=7; HttpOnly");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn http_only(mut self) -> Self {
        self.is_http_only = true;
        self
    }

    /// `SameSite`: whether the browser sends the cookie with requests from other sites.
    ///
    /// ```
    /// # use wasmserve_guest::{Cookie, SameSite};
    /// assert!(Cookie::new("id", "7").same_site(SameSite::Strict).to_value()? == "id=7; SameSite=Strict");
    /// # Ok::<_, wasmserve_guest::CookieError>(())
    /// ```
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = Some(same_site);
        self
    }

    /// Returns the value for a `Set-Cookie` field. Every cookie needs its own field.
    ///
    /// ```
    /// # use wasmserve_guest::{Cookie, CookieError};
    /// let forged = Cookie::new("id", "7; Domain=evil.example");
    /// assert_eq!(forged.to_value(), Err(CookieError::Value("id".to_owned())));
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the name, the value or an attribute is invalid, or if browsers would ignore the cookie.
    pub fn to_value(&self) -> Result<Value, CookieError> {
        self.check()?;
        let mut line = format!("{}={}", self.name, self.value);
        if let Some(path) = &self.path {
            line += &format!("; Path={path}");
        }
        if let Some(domain) = &self.domain {
            line += &format!("; Domain={domain}");
        }
        if let Some(age) = self.max_age {
            line += &format!("; Max-Age={}", age.as_secs());
        }
        if self.is_secure {
            line += "; Secure";
        }
        if self.is_http_only {
            line += "; HttpOnly";
        }
        if let Some(same_site) = self.same_site {
            line += &format!("; SameSite={same_site:?}");
        }
        Ok(line.into())
    }

    fn check(&self) -> Result<(), CookieError> {
        let name = || self.name.clone();
        if !grammar::is_token(self.name.as_bytes()) {
            return Err(CookieError::Name(name()));
        }
        // `cookie-octet` of RFC 6265 section 4.1.1.
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        if !self.value.bytes().all(is_allowed) {
            return Err(CookieError::Value(name()));
        }
        if self.name.len() + self.value.len() > LONGEST {
            return Err(CookieError::TooLong(name()));
        }
        // Browsers ignore a path that does not start with `/` (section 5.2.4).
        let is_path = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && byte != b';';
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/') || !path.bytes().all(is_path)) {
            return Err(CookieError::Path(name()));
        }
        let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if self.domain.as_ref().is_some_and(|domain| domain.is_empty() || !domain.bytes().all(is_domain)) {
            return Err(CookieError::Domain(name()));
        }
        // The rest is from RFC 6265bis, sections 4.1.3 and 5.6. Browsers silently ignore cookies that break these
        // rules.
        let begins = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
        let must_be_secure = self.same_site == Some(SameSite::None) || begins("__Secure-") || begins("__Host-");
        if must_be_secure && !self.is_secure {
            return Err(CookieError::NotSecure(name()));
        }
        if begins("__Host-") && (self.path.as_deref() != Some("/") || self.domain.is_some()) {
            return Err(CookieError::NotOfHost(name()));
        }
        Ok(())
    }
}

/// Whether a browser sends a cookie with requests from other sites; see [`Cookie::same_site`].
///
/// ```
/// # use wasmserve_guest::{Cookie, SameSite};
/// let cookie = Cookie::new("id", "7").same_site(SameSite::None).secure();
/// assert!(cookie.to_value()? == "id=7; Secure; SameSite=None");
/// # Ok::<_, wasmserve_guest::CookieError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link to this site.
    Lax,
    /// Always. Browsers require [`secure`](Cookie::secure) for this.
    None,
}

/// Why a [`Cookie`] is invalid. Every variant contains the name of the cookie.
///
/// ```
/// # use wasmserve_guest::Cookie;
/// let error = Cookie::new("id", "caf\u{e9}").to_value().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the value of the cookie `id` contains characters that are not allowed (RFC 6265 section 4.1.1); encode it"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CookieError {
    /// The name is not a token.
    Name(String),
    /// The value contains a control character, white space, a quote, a comma, a semicolon, a backslash, or non-ASCII.
    Value(String),
    /// The path does not start with `/`, or contains a control character, a semicolon or non-ASCII.
    Path(String),
    /// The domain is empty, or contains something other than letters, digits, hyphens and dots.
    Domain(String),
    /// Name and value together are longer than the 4096 bytes that browsers store.
    TooLong(String),
    /// `SameSite=None`, `__Secure-` and `__Host-` require `Secure`.
    NotSecure(String),
    /// `__Host-` requires the path `/` and no domain.
    NotOfHost(String),
}

impl Display for CookieError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (what, name, why) = match self {
            Self::Name(name) => {
                let name = name.escape_debug();
                return write!(f, "`{name}` cannot be the name of a cookie (RFC 6265 section 4.1.1)");
            }
            Self::Value(name) => {
                ("the value of ", name, " contains characters that are not allowed (RFC 6265 section 4.1.1); encode it")
            }
            Self::Path(name) => ("the path of ", name, " must start with `/` and be plain ASCII without `;`"),
            Self::Domain(name) => ("the domain of ", name, " is not a host name"),
            Self::TooLong(name) => ("", name, " is longer than the 4096 bytes that browsers store"),
            Self::NotSecure(name) => ("", name, " must be `Secure`, or browsers ignore it"),
            Self::NotOfHost(name) => ("", name, " must have the path `/` and no domain, or browsers ignore it"),
        };
        write!(f, "{what}the cookie `{name}`{why}")
    }
}

impl Error for CookieError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_lenient() {
        for (field, expected) in [
            ("", &[][..]),
            ("a=1", &[("a", "1")]),
            ("a=1;b=2", &[("a", "1"), ("b", "2")]),
            (" a = 1 ;\t; b=2;", &[("a", "1"), ("b", "2")]),
            ("a", &[]),
            ("=1; a=", &[("a", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=\"b c\"; d=\"; e=\"\"", &[("a", "b c"), ("d", "\""), ("e", "")]),
            ("a=%3B; b={\"x\":1,2}", &[("a", "%3B"), ("b", "{\"x\":1,2}")]),
            ("$Version=1; A=1; a=2", &[("$Version", "1"), ("A", "1"), ("a", "2")]),
        ] {
            let cookies = Cookies::parse(field);
            assert_eq!(cookies.iter().collect::<Vec<_>>(), expected, "{field}");
        }
        assert_eq!(Cookies::parse(b"a=caf\xe9; b=1").get("a"), Some("caf�"));
    }

    #[test]
    fn every_attribute_is_in_the_field() {
        let cookie = Cookie::new("__Secure-id", "a/b+c==").path("/a b").domain(".example.com").secure();
        let cookie = cookie.max_age(Duration::from_millis(1_999)).http_only().same_site(SameSite::None);
        let field = "__Secure-id=a/b+c==; Path=/a b; Domain=.example.com; Max-Age=1; Secure; HttpOnly; SameSite=None";
        assert_eq!(cookie.to_value().unwrap(), Value::from(field));
    }

    #[test]
    fn nothing_can_be_injected_into_a_field() {
        for byte in (0..=0x20).chain([b'"', b',', b';', b'\\', 0x7f]).map(char::from).chain(['\u{80}', 'é', '\u{2028}'])
        {
            let bent = format!("a{byte}b");
            let cookie = Cookie::new("id", bent.clone());
            assert_eq!(cookie.to_value(), Err(CookieError::Value("id".to_owned())), "{byte:?}");
            let cookie = Cookie::new(bent.clone(), "");
            assert_eq!(cookie.to_value(), Err(CookieError::Name(bent.clone())), "{byte:?}");
            let cookie = Cookie::new("id", "").domain(bent.clone());
            assert_eq!(cookie.to_value(), Err(CookieError::Domain("id".to_owned())), "{byte:?}");
            if !" \",\\".contains(byte) {
                let cookie = Cookie::new("id", "").path(format!("/{bent}"));
                assert_eq!(cookie.to_value(), Err(CookieError::Path("id".to_owned())), "{byte:?}");
            }
        }
        assert!(Cookie::new("", "").to_value().is_err());
        assert!(Cookie::new("a=b", "").to_value().is_err());
        assert!(!Cookie::new("a\x1b[1m", "").to_value().unwrap_err().to_string().contains('\x1b'));
    }

    #[test]
    fn cookies_that_browsers_ignore_are_rejected() {
        let id = || "id".to_owned();
        for (cookie, error) in [
            (Cookie::new("id", "").path("shop"), CookieError::Path(id())),
            (Cookie::new("id", "").domain(""), CookieError::Domain(id())),
            (Cookie::new("id", "x".repeat(4095)), CookieError::TooLong(id())),
            (Cookie::new("id", "").same_site(SameSite::None), CookieError::NotSecure(id())),
            (Cookie::new("__secure-", ""), CookieError::NotSecure("__secure-".to_owned())),
            (Cookie::new("__Host-a", "").path("/"), CookieError::NotSecure("__Host-a".to_owned())),
            (Cookie::new("__Host-a", "").secure(), CookieError::NotOfHost("__Host-a".to_owned())),
            (
                Cookie::new("__Host-a", "").secure().path("/").domain("a.example"),
                CookieError::NotOfHost("__Host-a".to_owned()),
            ),
        ] {
            assert_eq!(cookie.to_value(), Err(error), "{cookie:?}");
        }
        assert!(Cookie::new("__Host-a", "").secure().path("/").to_value().is_ok());
        assert!(Cookie::new("id", "x".repeat(4094)).to_value().is_ok());
    }
}
