//! Copies of a file that were compressed in advance: `app.js.br` beside `app.js`.

use std::{
    fs::{File, Metadata},
    path::{Path, PathBuf},
    time::Duration,
};

use wasmserve_gateway::{accept::coding_weight, request::RequestHead};

use super::root::{Entry, Opened};

/// The codings, the best one first, with the extension of a copy.
const CODINGS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// How much older than the file a copy may be. Tools that write both do not always write the copy last.
const AGE_MAX: Duration = Duration::from_secs(2);

/// A compressed copy.
pub(super) struct Copy {
    /// Its coding, for `Content-Encoding`.
    pub(super) coding: &'static str,
    /// Its content.
    pub(super) file: File,
    /// What the system knows about it.
    pub(super) metadata: Metadata,
}

/// Opens the copy that the client prefers to the file itself, if there is one. A copy that is older than the file is
/// forgotten work of an earlier version.
pub(super) fn best(root: &Opened<'_>, path: &Path, original: &Metadata, head: &RequestHead) -> Option<Copy> {
    wanted(head).into_iter().find_map(|(coding, extension)| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        let Ok(Entry::File(file, metadata)) = root.entry(&PathBuf::from(name)) else { return None };
        let is_older = metadata.modified().ok()? + AGE_MAX < original.modified().ok()?;
        (!is_older).then_some(Copy { coding, file, metadata })
    })
}

/// The codings that the client accepts and does not want less than none, in the order of its preference.
fn wanted(head: &RequestHead) -> Vec<(&'static str, &'static str)> {
    let weight = |coding| match (coding_weight(head, coding), coding) {
        (None, "gzip") => coding_weight(head, "x-gzip"),
        (weight, _) => weight,
    };
    let least = weight("identity").unwrap_or(0).max(1);
    let mut weighed: Vec<_> =
        CODINGS.iter().filter_map(|entry| Some((weight(entry.0).filter(|weight| *weight >= least)?, *entry))).collect();
    // Stable: among those that the client wants equally, the best one comes first.
    weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    weighed.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn codings_are_tried_in_the_order_of_the_clients_weights() {
        for (accepted, order) in [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip;q=1.0, br;q=0.5", "gzip br"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("*", "br zstd gzip"),
            ("*;q=0.5, gzip", "gzip br zstd"),
            ("br;q=0, *", "zstd gzip"),
            ("identity, br;q=0.5", ""),
            ("identity;q=0.5, br;q=0.5", "br"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("deflate", ""),
            ("", ""),
        ] {
            let head = RequestHead::new(Bytes::from(format!("GET / HTTP/1.1\r\nAccept-Encoding: {accepted}\r\n\r\n")));
            let order_is: Vec<_> = wanted(&head).into_iter().map(|(coding, _)| coding).collect();
            assert_eq!(order_is.join(" "), order, "{accepted}");
        }
    }
}
