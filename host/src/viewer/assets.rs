//! The files of the viewer's page, which this program contains.
//!
//! Only files of this list are served: a name is looked up in it, and is never part of a path.

/// A file of the page.
pub(super) struct Asset {
    /// The path in its URL, without the slash.
    name: &'static str,
    /// Its content when the program was built.
    embedded: &'static [u8],
}

/// Embeds files of `host/page`.
macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        [$(Asset { name: $name, embedded: include_bytes!(concat!("../../page/", $name)) }),*]
    };
}

/// All files of the page.
static ASSETS: [Asset; 37] = assets![
    "actions.js",
    "api.js",
    "app.js",
    "body.js",
    "bytes.js",
    "dom.js",
    "edit.js",
    "icon.svg",
    "icons.js",
    "index.html",
    "json.js",
    "keys.js",
    "paint.js",
    "parts.js",
    "query.js",
    "state.js",
    "style.css",
    "text.js",
    "types.js",
    "panes/bar.js",
    "panes/bin.js",
    "panes/detail.js",
    "panes/diff.js",
    "panes/editor.js",
    "panes/environ.js",
    "panes/export.js",
    "panes/help.js",
    "panes/lint.js",
    "panes/list.js",
    "panes/log.js",
    "panes/message.js",
    "panes/running.js",
    "panes/saved.js",
    "panes/signin.js",
    "panes/stack.js",
    "panes/timeline.js",
    "panes/wire.js",
];

/// The file at a path of a URL: the page itself at `/`.
#[must_use]
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    let name = match path.strip_prefix('/')? {
        "" => "index.html",
        name => name,
    };
    ASSETS.iter().find(|asset| asset.name == name)
}

impl Asset {
    /// Its media type.
    #[must_use]
    pub(super) fn media_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    /// Its content. A build for development reads it from the sources if they are there, so that a reload of the page
    /// shows what was edited.
    #[must_use]
    pub(super) fn content(&self) -> bytes::Bytes {
        #[cfg(debug_assertions)]
        if let Ok(now) = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page").join(self.name)) {
            return now.into();
        }
        self.embedded.into()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("the directory is readable");
        let paths = entries.map(|entry| entry.expect("the entry is readable").path());
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let files: BTreeSet<String> = files(&page)
            .iter()
            .map(|file| file.strip_prefix(&page).expect("it is below").to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, ASSETS.iter().map(|asset| asset.name.to_owned()).collect());
    }

    #[test]
    fn only_embedded_files_are_found() {
        assert!(find("/").is_some() && find("/index.html").is_some());
        for path in
            ["", "index.html", "//index.html", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/index.html/", "/./index.html"]
        {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
