//! Paths in messages, and in commands that users copy.

use std::path::Path;

use wasmserve_gateway::escape::{escape, escape_bytes};

/// A path as text for a message.
pub(super) fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// A path quoted for a shell, which reads it as the same path.
pub(super) fn argument(path: &Path) -> String {
    let is_flag = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    let path = if is_flag { Path::new(".").join(path) } else { path.to_owned() };
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+,".contains(char);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => text.to_owned(),
        Some(text) if text.replace('\\', r"\\") == shown(&path) => format!("'{}'", text.replace('\'', r"'\''")),
        // Bash, zsh and POSIX.1-2024 have the same escapes.
        _ => format!("$'{}'", escape_bytes(path.as_os_str().as_encoded_bytes()).replace('\'', r"\'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(argument(Path::new("a/hello.rs")), "a/hello.rs");
        assert_eq!(argument(Path::new("my hello.rs")), "'my hello.rs'");
        assert_eq!(argument(Path::new("it's.rs")), r"'it'\''s.rs'");
        assert_eq!(argument(Path::new("-v.rs")), "./-v.rs");
        assert_eq!(argument(Path::new(r"a\b.rs")), r"'a\b.rs'");
        assert_eq!(argument(Path::new("it's\u{1b}\\.rs")), r"$'it\'s\x1b\\.rs'");
    }
}
