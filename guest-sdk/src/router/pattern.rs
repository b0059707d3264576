//! Path patterns.

use std::fmt::{self, Display, Formatter};

/// A pattern that paths are matched against; see [`Router`](super::Router).
#[derive(Clone, Copy)]
pub(super) struct Pattern(&'static str);

enum Segment {
    Text(&'static str),
    Param(&'static str),
    Rest(&'static str),
}

impl From<&'static str> for Segment {
    fn from(segment: &'static str) -> Self {
        match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
            None => Self::Text(segment),
            Some(name) => match name.strip_prefix('*') {
                None => Self::Param(name),
                Some(name) => Self::Rest(name),
            },
        }
    }
}

impl Pattern {
    /// Panics if the pattern is invalid.
    pub(super) fn new(pattern: &'static str) -> Self {
        assert!(pattern.starts_with('/'), "the pattern `{pattern}` must start with `/`");
        let mut segments = pattern.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let name = match Segment::from(segment) {
                Segment::Text(text) => {
                    assert!(
                        !text.contains(['{', '}']),
                        "`{segment}` in `{pattern}`: braces must enclose a whole segment"
                    );
                    continue;
                }
                Segment::Param(name) => name,
                Segment::Rest(name) => {
                    assert!(segments.peek().is_none(), "`{segment}` in `{pattern}`: must be the last segment");
                    name
                }
            };
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            assert!(is_name, "`{segment}` in `{pattern}`: a name must consist of letters, digits and `_`");
        }
        Self(pattern)
    }

    fn segments(self) -> impl Iterator<Item = Segment> {
        self.0.split('/').skip(1).map(Segment::from)
    }

    /// Orders patterns that match the same path: the smaller one wins.
    pub(super) fn ranks(self) -> impl Iterator<Item = u8> {
        self.segments().map(|segment| match segment {
            Segment::Text(_) => 0,
            Segment::Param(_) => 1,
            Segment::Rest(_) => 2,
        })
    }

    /// The parameters of a path, or `None` if the path does not match.
    pub(super) fn params(self, path: &[u8]) -> Option<Vec<(&'static str, &[u8])>> {
        let mut params = Vec::new();
        let mut left = Some(path.strip_prefix(b"/")?);
        for segment in self.segments() {
            let path = left?;
            let slash = path.iter().position(|byte| *byte == b'/');
            let (here, next) = match slash {
                Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
                None => (path, None),
            };
            left = next;
            match segment {
                Segment::Text(text) if text.as_bytes() == here => {}
                Segment::Param(name) if !here.is_empty() => params.push((name, here)),
                Segment::Rest(name) => {
                    params.push((name, path));
                    left = None;
                }
                Segment::Text(_) | Segment::Param(_) => return None,
            }
        }
        left.is_none().then_some(params)
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn an_invalid_pattern_panics() {
        for pattern in
            ["", "users", "*", "/{}", "/{*}", "/{a", "/a}", "/x{a}", "/{*a}/b", "/{a b}", "/{*a}/{*a}", "/{{a}}"]
        {
            assert!(catch_unwind(|| Pattern::new(pattern)).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        let matches = |pattern, path: &str| Pattern::new(pattern).params(path.as_bytes()).is_some();
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "//", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/ab", false),
            ("/a", "a", false),
            ("/a/", "/a", false),
            ("/{a}", "/", false),
            ("/{a}/", "/x/", true),
            ("/{a}", "/x/", false),
            ("/{*a}", "/", true),
            ("/{*a}", "", false),
            ("/a/{*b}", "/a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
