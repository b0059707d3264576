//! Cases of what CGI programs print, one per file.
//!
//! `tests/cgi/README.md` has the format.

use std::{fs, path::Path, sync::LazyLock};

use crate::case::template::Template;

/// All cases of `tests/cgi`.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cgi");
    let entries = fs::read_dir(directory).expect("the directory is readable");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the entry is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "case"));
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
});

/// A case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The file's name without its extension.
    pub name: String,
    /// Whether the name of the program begins with `nph-`.
    pub is_nph: bool,
    /// What the program prints.
    pub output: Vec<u8>,
    /// The status of the response and its reason.
    pub status: Option<String>,
    /// The fields of the response.
    pub fields: Vec<(String, String)>,
    /// The body of the response.
    pub body: Vec<u8>,
    /// The path and query whose response is sent instead.
    pub location: Option<String>,
    /// A part of the fault.
    pub error: Option<String>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut case = Self { name, ..Self::default() };
        for line in fs::read_to_string(path).expect("the file is readable").lines() {
            case.line(line);
        }
        let ends = [case.status.is_some(), case.location.is_some(), case.error.is_some()];
        assert_eq!(ends.iter().filter(|is_end| **is_end).count(), 1, "{}: one end", case.name);
        case
    }

    fn line(&mut self, line: &str) {
        let bytes = |text| Template::parse_known(text).unwrap_or_else(|problem| panic!("{}: {problem}", self.name));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "nph" => self.is_nph = true,
            ">" => self.output.extend(bytes(rest)),
            "<" => match rest.split_once(": ") {
                Some((name, value)) => self.fields.push((name.to_owned(), value.to_owned())),
                None => self.status = Some(rest.to_owned()),
            },
            "body" => self.body = bytes(rest),
            "location" => self.location = Some(rest.to_owned()),
            "error" => self.error = Some(rest.to_owned()),
            _ => panic!("{}: `{line}` is no line of a case", self.name),
        }
    }
}
