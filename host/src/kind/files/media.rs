//! The media types of files.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// How many bytes decide whether a file with an unknown name is text.
const LOOKED_AT: u64 = 512;

/// The types of extensions for which the table of the crate is out of date.
const CORRECTED: [(&str, &str); 6] = [
    ("cjs", "text/javascript"),
    ("map", "application/json"),
    ("mjs", "text/javascript"),
    ("ts", "video/mp2t"),
    ("woff", "font/woff"),
    ("xz", "application/x-xz"),
];

/// The value of `Content-Type` for a file: by its name, or else text or arbitrary bytes, by its beginning.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn of(name: &Path, file: &File) -> io::Result<Cow<'static, str>> {
    match by_name(name) {
        Some(known) => Ok(with_charset(known)),
        None => Ok(if is_text(file)? { "text/plain; charset=utf-8" } else { "application/octet-stream" }.into()),
    }
}

fn by_name(name: &Path) -> Option<&'static str> {
    let extension = name.extension()?.to_str()?;
    let corrected = CORRECTED.iter().find(|(other, _)| other.eq_ignore_ascii_case(extension));
    corrected.map(|(_, known)| *known).or_else(|| mime_guess::from_ext(extension).first_raw())
}

/// Adds that text is UTF-8; XML says so itself. Source code without a registered type is plain text, because browsers
/// do not show what they do not know.
fn with_charset(media_type: &'static str) -> Cow<'static, str> {
    match media_type {
        "text/xml" => media_type.into(),
        source if source.starts_with("text/x-") => "text/plain; charset=utf-8".into(),
        text if text.starts_with("text/") => format!("{text}; charset=utf-8").into(),
        other => other.into(),
    }
}

/// Whether a file begins like text in UTF-8.
fn is_text(file: &File) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut begin)?;
    let is_utf8 = match str::from_utf8(&begin) {
        Ok(_) => true,
        // A character may be cut at the end.
        Err(error) => error.error_len().is_none(),
    };
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    Ok(is_utf8 && !begin.iter().any(is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_that_browsers_need() {
        for (name, wanted) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.HTM", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.wasm", "application/wasm"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.rs", "text/plain; charset=utf-8"),
            ("a.csv", "text/csv; charset=utf-8"),
            ("a.xml", "text/xml"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.ico", "image/x-icon"),
            ("a.woff2", "font/woff2"),
            ("a.mp4", "video/mp4"),
            ("a.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("a.zip", "application/zip"),
        ] {
            let known = by_name(Path::new(name)).map(with_charset);
            assert_eq!(known.as_deref(), Some(wanted), "{name}");
        }
        assert_eq!(by_name(Path::new("LICENSE")).or(by_name(Path::new("a.unknown"))), None);
    }
}
