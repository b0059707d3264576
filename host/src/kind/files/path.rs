//! What a request's path names in a directory.
//!
//! Each segment is decoded by itself and becomes one name. So nothing that is decoded, such as `%2f` or `%2e%2e`, can
//! become a separator or another step. A name that begins with a dot is hidden, and `.` and `..` begin with one.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// The only name with a dot in front that is served (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// All bytes but those that URLs never encode (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What must not be in a URL, except `%`: the text is encoded already.
const UNSAFE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// What a request's path names in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The path from the directory; empty for the directory itself.
    pub(super) path: PathBuf,
    /// Whether the request's path ends with a slash, as those of directories do.
    pub(super) is_dir: bool,
}

impl Wanted {
    /// Decodes the part of a request's path behind the mount. Returns `None` if it names what is never served.
    ///
    /// Empty segments are ignored, as by other servers.
    #[must_use]
    pub(super) fn parse(path: &[u8]) -> Option<Self> {
        let segments = path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
        let names = segments.map(|segment| name(&percent_decode(segment).collect::<Vec<u8>>()));
        Some(Self { path: names.collect::<Option<_>>()?, is_dir: path.ends_with(b"/") })
    }
}

/// The name that a decoded segment is, if it can be one and may be served.
fn name(segment: &[u8]) -> Option<OsString> {
    let is_name = !segment.iter().any(|byte| matches!(byte, b'/' | b'\0'));
    let name = os_string(segment).filter(|name| is_name && !is_hidden(name))?;
    (!cfg!(windows) || is_plain_on_windows(&name.to_string_lossy())).then_some(name)
}

/// Whether a name is hidden: it begins with a dot, and is not `.well-known`.
#[must_use]
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") && name != WELL_KNOWN
}

/// Whether any name on a path is hidden.
#[must_use]
pub(super) fn has_hidden(path: &Path) -> bool {
    path.iter().any(is_hidden)
}

/// Whether Windows takes a name for just this name: not for a device, a stream, a path, a pattern, a short form such as
/// `GIT~1`, or for the same without the dots and spaces at its end.
fn is_plain_on_windows(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let is_numbered = stem
        .strip_prefix("com")
        .or_else(|| stem.strip_prefix("lpt"))
        .is_some_and(|number| number.chars().count() == 1 && "0123456789¹²³".contains(number));
    let is_short = name.split('~').skip(1).any(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
    let has_special = name.contains(|char: char| char.is_control() || "\\/:*?\"<>|".contains(char));
    let is_special = DEVICES.contains(&&*stem) || is_numbered || is_short || has_special || name.ends_with(['.', ' ']);
    !is_special
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> Option<OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(OsStr::from_bytes(bytes).to_owned())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> Option<OsString> {
    str::from_utf8(bytes).ok().map(OsString::from)
}

/// A name as a segment of a URL.
#[must_use]
pub(super) fn encode(name: &OsStr) -> String {
    percent_encode(name.as_encoded_bytes(), RESERVED).to_string()
}

/// The reference that leads from a request's path to the same path with a slash at its end, with the same query.
///
/// It is relative, so it cannot lead to another host, and stays right behind a proxy that changes the path.
#[must_use]
pub(super) fn with_slash(path: &[u8], query: &[u8]) -> String {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let query = if query.is_empty() { String::new() } else { format!("?{}", percent_encode(query, UNSAFE)) };
    // With `./`, a colon in the name does not make a scheme of what is before it.
    format!("./{}/{query}", percent_encode(last, UNSAFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_is_below_the_directory_and_nothing_else() {
        let named = |path: &str| Wanted::parse(path.as_bytes()).map(|wanted| (wanted.path, wanted.is_dir));
        for (path, name, is_dir) in [
            ("", "", false),
            ("/", "", true),
            ("/a", "a", false),
            ("/a/b.txt", "a/b.txt", false),
            ("/a/b/", "a/b", true),
            ("//etc//passwd", "etc/passwd", false),
            ("/a%20b%25%23%3f%0a", "a b%#?\n", false),
            ("/100%", "100%", false),
            ("/a%zz", "a%zz", false),
            ("/%252e%252e/a", "%2e%2e/a", false),
            ("/.well-known/x", ".well-known/x", false),
            ("/a..b", "a..b", false),
        ] {
            assert_eq!(named(path), Some((name.into(), is_dir)), "{path}");
        }
        for path in [
            "/..",
            "/../a",
            "/a/../b",
            "/.",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/.%2E/a",
            "/%2e/a",
            "/.git",
            "/.git/config",
            "/%2egit",
            "/a/.env",
            "/..%2fa",
            "/a%2fb",
            "/a%2Fb",
            "/%00",
            "/a%00.txt",
            "/.well-known%2f..",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_name_need_not_be_utf_8() {
        let name = os_string(b"caf\xe9 \\").expect("any bytes are a name");
        assert_eq!(encode(&name), "caf%E9%20%5C");
        assert_eq!(Wanted::parse(b"/caf%E9%20%5C").map(|wanted| wanted.path), Some(name.into()));
    }

    #[test]
    fn names_with_a_meaning_of_their_own_on_windows_are_not_plain() {
        for name in [
            "CON", "nul.txt", "com1", "LPT9.log", "COM¹", "a:b", "a::$DATA", "a\\b", "a.", "a ", "GIT~1", "a?",
            "con .x",
        ] {
            assert!(!is_plain_on_windows(name), "{name}");
        }
        for name in ["a", "console", "com", "com10", "a.b", "a b", "~", "a~b", "é"] {
            assert!(is_plain_on_windows(name), "{name}");
        }
    }

    #[test]
    fn a_slash_is_added_by_a_reference_that_stays_on_the_host() {
        for (path, query, reference) in [
            ("/a", "", "./a/"),
            ("/a/b%20c", "x=1&y", "./b%20c/?x=1&y"),
            ("//evil.example", "", "./evil.example/"),
            ("/javascript:alert(1)", "", "./javascript:alert(1)/"),
            ("/\\evil.example", "a\"<", "./%5Cevil.example/?a%22%3C"),
        ] {
            assert_eq!(with_slash(path.as_bytes(), query.as_bytes()), reference);
        }
    }
}
