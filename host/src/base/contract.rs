//! The contract between server and handlers, embedded for tools of other languages.

/// The files of the package in `wit/`: each file's name and its text. Each begins with the name of the package.
pub(crate) const FILES: [(&str, &str); 8] = [
    ("world.wit", include_str!("../../../wit/world.wit")),
    ("handler.wit", include_str!("../../../wit/handler.wit")),
    ("filter.wit", include_str!("../../../wit/filter.wit")),
    ("environ.wit", include_str!("../../../wit/environ.wit")),
    ("input.wit", include_str!("../../../wit/input.wit")),
    ("response.wit", include_str!("../../../wit/response.wit")),
    ("errors.wit", include_str!("../../../wit/errors.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
];

/// The whole package as one file, which names the package once.
#[must_use]
pub(crate) fn text() -> String {
    let mut is_named = false;
    let keep = |line: &&str| !line.starts_with("package ") || !std::mem::replace(&mut is_named, true);
    let lines = FILES.iter().flat_map(|(_, text)| text.lines().chain([""])).filter(keep);
    lines.map(|line| format!("{line}\n")).collect::<String>().trim_end().to_owned() + "\n"
}
