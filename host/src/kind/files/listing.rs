//! The list of the files in a directory, as a page or as JSON.

use std::{cmp::Ordering, ffi::OsString, fmt::Write as _, fs::File, path::Path, time::SystemTime};

use cap_primitives::fs::read_base_dir;
use jiff::{Timestamp, tz::TimeZone};
use wasmserve_gateway::{escape::html, mounts::Mount};

use super::{
    path::{encode, is_hidden},
    root::{Missing, Opened},
};

/// How many entries a list has at most.
const ENTRIES_MAX: usize = 10_000;

/// The entries of a directory.
pub(super) struct Listing {
    items: Vec<Item>,
    order: Order,
    /// Whether there are more entries than the list has.
    is_cut: bool,
}

/// A file or a directory.
struct Item {
    name: OsString,
    is_dir: bool,
    size: u64,
    modified: Option<SystemTime>,
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    by: Key,
    is_descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Size,
    Date,
}

impl Key {
    const ALL: [(Self, &str, &str); 3] =
        [(Self::Name, "name", "Name"), (Self::Size, "size", "Size"), (Self::Date, "date", "Modified")];
}

impl Order {
    /// Reads `sort=size&order=desc`. What is unknown is ignored.
    fn parse(query: &[u8]) -> Self {
        let mut order = Self { by: Key::Name, is_descending: false };
        for parameter in query.split(|byte| *byte == b'&') {
            match parameter {
                b"order=desc" => order.is_descending = true,
                _ => {
                    let key = parameter.strip_prefix(b"sort=");
                    let known = Key::ALL.iter().find(|(_, name, _)| key == Some(name.as_bytes()));
                    order.by = known.map_or(order.by, |(known, ..)| *known);
                }
            }
        }
        order
    }
}

impl Listing {
    /// Reads the entries of an open directory at a path below the root, without those that are not served. Blocks while
    /// reading.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub(super) fn read(root: &Opened<'_>, path: &Path, directory: &File, query: &[u8]) -> Result<Self, Missing> {
        let mut entries = read_base_dir(directory)?;
        let mut items = Vec::new();
        while items.len() < ENTRIES_MAX
            && let Some(entry) = entries.next()
        {
            let entry = entry?;
            let name = entry.file_name();
            if is_hidden(&name) {
                continue;
            }
            // Entries may vanish, and links lead outside.
            let Ok(mut metadata) = entry.metadata() else { continue };
            if metadata.is_symlink() {
                let Ok(target) = root.metadata(&path.join(&name)) else { continue };
                metadata = target;
            }
            if metadata.is_dir() || metadata.is_file() {
                let modified = metadata.modified().ok().map(|time| time.into_std());
                let size = if metadata.is_dir() { 0 } else { metadata.len() };
                items.push(Item { name, is_dir: metadata.is_dir(), size, modified });
            }
        }
        let order = Order::parse(query);
        items.sort_by(|one, other| compare(one, other, order));
        Ok(Self { items, order, is_cut: entries.next().is_some() })
    }

    /// The list as a page, for a directory below this mount, with `script` at its end.
    #[must_use]
    pub(super) fn page(&self, mount: &Mount, path: &Path, script: &str) -> String {
        let names: Vec<String> = path.iter().map(|name| html(&name.to_string_lossy())).collect();
        let root = html(&mount.to_string());
        let title = match (&*root, names.join("/")) {
            (root, path) if path.is_empty() => format!("{}/", root.trim_end_matches('/')),
            (root, path) => format!("{}/{path}/", root.trim_end_matches('/')),
        };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>"
        );
        for (at, name) in [&root].into_iter().chain(&names).enumerate() {
            let separator = if at > 1 || at == 1 && root != "/" { "<i>/</i>" } else { "" };
            _ = match names.len() - at {
                0 => write!(page, "{separator}<span>{name}</span>"),
                up => write!(page, "{separator}<a href=\"{}\">{name}</a>", "../".repeat(up)),
            };
        }
        page.push_str("</h1>\n<table>\n<thead>\n<tr>");
        for (key, name, title) in Key::ALL {
            let is_current = self.order.by == key;
            let sorted = match (is_current, self.order.is_descending) {
                (true, true) => " aria-sort=\"descending\"",
                (true, false) => " aria-sort=\"ascending\"",
                (false, _) => "",
            };
            let order = if is_current && !self.order.is_descending { "desc" } else { "asc" };
            _ = write!(page, "<th scope=\"col\"{sorted}><a href=\"?sort={name}&amp;order={order}\">{title}</a></th>");
        }
        page.push_str("</tr>\n</thead>\n<tbody>\n");
        if !names.is_empty() {
            page.push_str("<tr><td><a class=\"up\" href=\"../\">..</a></td><td></td><td></td></tr>\n");
        }
        for item in &self.items {
            let (slash, class) = if item.is_dir { ("/", "dir") } else { ("", class(Path::new(&item.name))) };
            let size = match item.is_dir {
                true => String::new(),
                false => {
                    format!("<data value=\"{}\" title=\"{} bytes\">{}</data>", item.size, item.size, short(item.size))
                }
            };
            _ = writeln!(
                page,
                "<tr><td><a class=\"{class}\" href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{}</td></tr>",
                encode(&item.name),
                html(&item.name.to_string_lossy()),
                item.modified.and_then(time).unwrap_or_default(),
            );
        }
        page.push_str("</tbody>\n</table>\n");
        match (self.is_cut, self.items.is_empty()) {
            (true, _) => _ = writeln!(page, "<p>Only the first {ENTRIES_MAX} entries are shown.</p>"),
            (false, true) => page.push_str("<p>This directory is empty.</p>\n"),
            (false, false) => {}
        }
        page + script + "</body>\n</html>\n"
    }

    /// The list as JSON: an array of objects, in the order of the page.
    #[must_use]
    pub(super) fn json(&self) -> String {
        let items = self.items.iter().map(|item| {
            let modified = item.modified.and_then(|time| Timestamp::try_from(time).ok());
            let slash = if item.is_dir { "/" } else { "" };
            serde_json::json!({
                "name": item.name.to_string_lossy(),
                "type": if item.is_dir { "directory" } else { "file" },
                "size": if item.is_dir { None } else { Some(item.size) },
                "modified": modified.map(|time| time.to_string()),
                "url": format!("./{}{slash}", encode(&item.name)),
            })
        });
        format!("{}\n", serde_json::Value::Array(items.collect()))
    }
}

/// Directories first; then by the key, and by the name where that is the same.
fn compare(one: &Item, other: &Item, order: Order) -> Ordering {
    let by_name = natural(&one.name.to_string_lossy(), &other.name.to_string_lossy());
    let by_key = match order.by {
        Key::Name => by_name,
        Key::Size => one.size.cmp(&other.size).then(by_name),
        Key::Date => one.modified.cmp(&other.modified).then(by_name),
    };
    let by_key = if order.is_descending { by_key.reverse() } else { by_key };
    other.is_dir.cmp(&one.is_dir).then(by_key).then_with(|| one.name.cmp(&other.name))
}

/// Compares names as people do: regardless of case, and numbers by their value.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (digits, other_digits) = (digits(one), digits(other));
        let ordering = if digits > 0 && other_digits > 0 {
            let (left, right);
            ((left, one), (right, other)) = (one.split_at(digits), other.split_at(other_digits));
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            left.len().cmp(&right.len()).then(left.cmp(right))
        } else {
            let (mut left, mut right) = (one.chars(), other.chars());
            let (a, b) = (left.next(), right.next());
            if a.is_none() && b.is_none() {
                return Ordering::Equal;
            }
            (one, other) = (left.as_str(), right.as_str());
            a.into_iter().flat_map(char::to_lowercase).cmp(b.into_iter().flat_map(char::to_lowercase))
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// How many digits a text begins with.
fn digits(text: &str) -> usize {
    text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len()
}

/// The class of a file's icon.
fn class(name: &Path) -> &'static str {
    match mime_guess::from_path(name).first_raw() {
        Some(kind) if kind.starts_with("image/") => "image",
        Some(kind) if kind.starts_with("audio/") || kind.starts_with("video/") => "media",
        Some(kind) if ["zip", "tar", "compressed"].iter().any(|part| kind.contains(part)) => "archive",
        _ => "file",
    }
}

/// A size with three digits at most and a unit.
fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut rest, mut unit) = (bytes as f64, 0);
    while rest >= 999.5 && unit + 1 < UNITS.len() {
        (rest, unit) = (rest / 1024.0, unit + 1);
    }
    let decimals = usize::from(unit > 0 && rest < 9.95);
    format!("{rest:.decimals$} {}", UNITS[unit])
}

/// A time of the local time zone.
fn time(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?.to_zoned(TimeZone::system());
    let (machine, people) = (time.strftime("%Y-%m-%dT%H:%M:%S%:z"), time.strftime("%Y-%m-%d %H:%M"));
    Some(format!("<time datetime=\"{machine}\">{people}</time>"))
}

const STYLE: &str = "
:root{color-scheme:light dark;--text:#1c1e21;--soft:#6b7280;--line:#e5e7eb;--row:#f3f4f6;--link:#0b57d0;--back:#fff}
@media (prefers-color-scheme:dark){:root{--text:#e6e7e9;--soft:#9aa0a8;--line:#2e3238;--row:#1f2328;--link:#8ab4f8;--back:#15181c}}
body{margin:0 auto;padding:2rem 1rem 4rem;max-width:60rem;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere;margin:0 0 1rem}
h1 i{color:var(--soft);font-style:normal;padding:0 .3em}
a{color:var(--link);text-decoration:none}
a:hover,a:focus-visible{text-decoration:underline}
table{width:100%;border-collapse:collapse}
th,td{padding:.35rem .5rem;border-bottom:1px solid var(--line);text-align:left;overflow-wrap:anywhere}
th{font-weight:500;font-size:.875rem}
th a{color:var(--soft)}
th[aria-sort] a{color:var(--text)}
th[aria-sort=ascending] a::after{content:\" \\2191\"}
th[aria-sort=descending] a::after{content:\" \\2193\"}
th:nth-child(n+2),td:nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td:nth-child(n+2){color:var(--soft);font-size:.875rem}
tbody tr:hover{background:var(--row)}
td a{display:block;padding-left:1.75rem;position:relative;white-space:pre-wrap}
td a::before{content:\"\";position:absolute;left:0;top:.2em;width:1.15em;height:1.15em;background:var(--soft);mask:var(--icon) center/contain no-repeat}
.dir::before,.up::before{background:var(--link)}
.dir{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 3.5a1 1 0 0 1 1-1h4l1.5 2H14a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H2a1 1 0 0 1-1-1z'/%3E%3C/svg%3E\")}
.up{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M8 2 2.5 7.5l1.1 1.1 3.6-3.6V14h1.6V5l3.6 3.6 1.1-1.1z'/%3E%3C/svg%3E\")}
.file{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M3 1h6l4 4v10H3zm1.3 1.3v11.4h7.4V5.8H8.2V2.3z'/%3E%3C/svg%3E\")}
.image{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 2.5h14v11H1zm1.3 1.3v7l3.2-3.3 2.3 2.2L11 6.3l2.7 3V3.8zM5 4.8a1.2 1.2 0 1 1 0 2.4 1.2 1.2 0 0 1 0-2.4'/%3E%3C/svg%3E\")}
.media{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 2.5h14v11H1zm1.3 1.3v8.4h11.4V3.8zM6.3 5.2 11 8l-4.7 2.8z'/%3E%3C/svg%3E\")}
.archive{--icon:url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 2h14v4h-1v8H2V6H1zm1.3 1.3v1.4h11.4V3.3zM3.3 6v6.7h9.4V6zM6 7.5h4v1.3H6z'/%3E%3C/svg%3E\")}
@media (max-width:36rem){th:nth-child(3),td:nth-child(3){display:none}}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_people_do() {
        let mut names = ["b10", "B9", "a", "b9a", "b010", "\u{c9}", "b"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["a", "b", "B9", "b9a", "b10", "b010", "\u{c9}"]);
    }

    #[test]
    fn the_query_decides_the_order() {
        for (query, by, is_descending) in [
            ("", Key::Name, false),
            ("sort=size&order=desc", Key::Size, true),
            ("order=asc&sort=date", Key::Date, false),
            ("sort=colour&x", Key::Name, false),
        ] {
            assert_eq!(Order::parse(query.as_bytes()), Order { by, is_descending }, "{query}");
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1024, "1.0 KiB"),
            (10 << 10, "10 KiB"),
            (1_500_000, "1.4 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(short(bytes), text);
        }
    }
}
