//! Follows a path through all links to the place that it leads to.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// How many links a path may have on its way, as on Linux.
const LINKS_MAX: usize = 40;

/// The way of a path through the file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The directory entries on the way, each by a path without links except for its own name: a change of any of them
    /// may lead the path elsewhere. The last one is the end, or the first one that is missing.
    pub(super) entries: Vec<PathBuf>,
    /// The place that it leads to, without links; `None` if it leads nowhere.
    pub(super) end: Option<PathBuf>,
}

impl Route {
    /// Follows an absolute path as the system does, so `..` behind a link leads to the parent of the link's target.
    #[must_use]
    pub(super) fn of(path: &Path) -> Self {
        let mut ahead: VecDeque<Step> = path.components().map(Step::from).collect();
        let (mut entries, mut place, mut links) = (Vec::new(), PathBuf::new(), 0);
        while let Some(step) = ahead.pop_front() {
            match step {
                Step::Root(root) => place = root,
                Step::Up => _ = place.pop(),
                Step::Stay => {}
                Step::Down(name) => {
                    let entry = place.join(name);
                    entries.push(entry.clone());
                    let Ok(metadata) = fs::symlink_metadata(&entry) else { return Self { entries, end: None } };
                    if !metadata.is_symlink() {
                        place = entry;
                        continue;
                    }
                    links += 1;
                    let Some(target) = fs::read_link(&entry).ok().filter(|_| links <= LINKS_MAX) else {
                        return Self { entries, end: None };
                    };
                    for component in target.components().rev() {
                        ahead.push_front(component.into());
                    }
                }
            }
        }
        Self { entries, end: Some(place) }
    }
}

/// A [`Component`] that borrows from nothing.
enum Step {
    Root(PathBuf),
    Up,
    Stay,
    Down(OsString),
}

impl From<Component<'_>> for Step {
    fn from(component: Component<'_>) -> Self {
        match component {
            Component::Prefix(_) | Component::RootDir => Self::Root(component.as_os_str().into()),
            Component::ParentDir => Self::Up,
            Component::CurDir => Self::Stay,
            Component::Normal(name) => Self::Down(name.to_owned()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_route_names_every_link_and_its_targets() {
        let base = std::env::temp_dir().join(format!("wasmserve-route-{}", std::process::id()));
        fs::create_dir_all(base.join("releases/1")).expect("a temporary directory is writable");
        let base = base.canonicalize().expect("the directory exists");
        fs::write(base.join("releases/1/app.wasm"), "").expect("the file is writable");
        // As in a mounted ConfigMap.
        for (target, link) in [("releases/1", "..data"), ("..data/app.wasm", "app.wasm"), ("loop", "loop")] {
            symlink(target, base.join(link)).expect("the directory is writable");
        }
        let entries = |route: &Route| -> Vec<String> {
            let below = route.entries.iter().filter_map(|entry| entry.strip_prefix(&base).ok());
            below.map(|entry| entry.display().to_string()).filter(|entry| !entry.is_empty()).collect()
        };
        let route = Route::of(&base.join("app.wasm"));
        assert_eq!(entries(&route), ["app.wasm", "..data", "releases", "releases/1", "releases/1/app.wasm"]);
        assert_eq!(route.end, Some(base.join("releases/1/app.wasm")));
        let up = Route::of(&base.join("..data/../1/./app.wasm"));
        assert_eq!((up.end, entries(&Route::of(&base.join("no/such")))), (route.end, vec!["no".to_owned()]));
        assert_eq!(Route::of(&base.join("loop")).end, None);
        _ = fs::remove_dir_all(base);
    }
}
