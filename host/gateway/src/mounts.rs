//! Which handler a path belongs to (rule E3).

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// The path at which a handler is mounted: empty for all paths, or segments such as `/app` or `/a/b`.
///
/// It is compared segment by segment with the undecoded path of a request: `/app` covers `/app`, `/app/` and `/app/x`,
/// but not `/application` or `/%61pp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount(Bytes);

impl Mount {
    /// The mount of all paths.
    pub const ROOT: Self = Self(Bytes::new());

    /// The path as it was given, without a trailing `/`.
    #[must_use]
    pub fn path(&self) -> &Bytes {
        &self.0
    }

    /// Whether an undecoded path equals the mount or lies below it.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| self.0.is_empty() || rest.is_empty() || rest[0] == b'/')
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.0.is_empty() { "/".into() } else { String::from_utf8_lossy(&self.0) };
        f.write_str(&path)
    }
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_segment_text = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        if !text.starts_with('/') || !text.bytes().all(is_segment_text) {
            return Err(format!("`{text}` is not a valid mount path; write it as in a URL, such as /app"));
        }
        Ok(Self(Bytes::copy_from_slice(text.trim_end_matches('/').as_bytes())))
    }
}

/// A map from mounts to values. The longest mount that covers a path wins.
#[derive(Debug)]
pub struct Mounts<T> {
    /// Longest first.
    mounts: Vec<(Mount, T)>,
}

impl<T> Mounts<T> {
    /// Creates a map of these mounts.
    ///
    /// # Errors
    ///
    /// The path at which two values are mounted.
    pub fn new(mounts: impl IntoIterator<Item = (Mount, T)>) -> Result<Self, Mount> {
        let mut mounts: Vec<_> = mounts.into_iter().collect();
        mounts.sort_by_key(|(mount, _)| std::cmp::Reverse(mount.0.len()));
        for (at, (mount, _)) in mounts.iter().enumerate() {
            if mounts[..at].iter().any(|(other, _)| other == mount) {
                return Err(mount.clone());
            }
        }
        Ok(Self { mounts })
    }

    /// Mounts one value for all paths.
    #[must_use]
    pub fn root(it: T) -> Self {
        Self { mounts: vec![(Mount::ROOT, it)] }
    }

    /// The mount and value for an undecoded path.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<(&Mount, &T)> {
        self.mounts.iter().find(|(mount, _)| mount.covers(path)).map(|(mount, it)| (mount, it))
    }

    /// All mounts, longest path first.
    pub fn iter(&self) -> impl Iterator<Item = &(Mount, T)> {
        self.mounts.iter()
    }

    /// Maps the value at each mount.
    #[must_use]
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> Mounts<U> {
        Mounts { mounts: self.mounts.into_iter().map(|(mount, it)| (mount, make(it))).collect() }
    }

    /// Maps the value at each mount with a function that can fail.
    ///
    /// # Errors
    ///
    /// The first error returned by `make`.
    pub fn try_map<U, E>(self, mut make: impl FnMut(&Mount, T) -> Result<U, E>) -> Result<Mounts<U>, E> {
        let mounts = self.mounts.into_iter().map(|(mount, it)| {
            let it = make(&mount, it)?;
            Ok((mount, it))
        });
        Ok(Mounts { mounts: mounts.collect::<Result<_, E>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e3_the_longest_mount_wins_and_segments_are_whole() {
        let mounts = ["/", "/app", "/app/deep/", "/other"].map(|path| (path.parse().expect("valid"), path));
        let mounts = Mounts::new(mounts).expect("all differ");
        for (path, at) in [
            ("/", "/"),
            ("/app", "/app"),
            ("/app/", "/app"),
            ("/app/x", "/app"),
            ("/application", "/"),
            ("/%61pp", "/"),
            ("/app/deep", "/app/deep/"),
            ("/app/deep/x", "/app/deep/"),
            ("/app/deeper", "/app"),
            ("/other/x", "/other"),
            ("", "/"),
        ] {
            assert_eq!(mounts.find(path.as_bytes()).map(|(_, it)| *it), Some(at), "{path:?}");
        }
    }

    #[test]
    fn e3_a_path_outside_all_mounts_has_no_handler() {
        let mounts = Mounts::new([("/app".parse().expect("valid"), ())]).expect("it is the only one");
        assert!(mounts.find(b"/").is_none() && mounts.find(b"/application").is_none());
    }

    #[test]
    fn a_mount_must_be_a_path_and_unique() {
        for text in ["", "app", "/a b", "/a?b", "/a#b", "/\u{e9}", "/a\n"] {
            assert!(text.parse::<Mount>().is_err(), "{text:?}");
        }
        let twice = ["/app", "/app/"].map(|path| (path.parse().expect("valid"), ()));
        assert_eq!(Mounts::new(twice).err(), Some(Mount(Bytes::from_static(b"/app"))));
    }
}
