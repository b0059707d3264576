//! Explains to a handler's author which paths were refused, and which grant would allow them.
//!
//! A handler's own library compares paths with the granted directories, so the host would not learn of a path outside of
//! them. Therefore every handler also gets a root directory in which it finds nothing: whatever it looks for elsewhere, it
//! looks for there.

use std::{
    fs::File,
    future::Future,
    path::Path,
    sync::{Arc, LazyLock},
};

use wasmtime::{
    StoreContextMut,
    component::{Linker, LinkerInstance, Resource},
};
use wasmtime_wasi::{
    FsPerms, OpenMode,
    filesystem::{Descriptor, Dir, WasiFilesystemView as _},
    p2::{
        FsResult,
        bindings::filesystem::{
            preopens,
            types::{
                DescriptorFlags, DescriptorStat, ErrorCode, Host as _, HostDescriptor as _, MetadataHashValue,
                NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
};

use super::{guest::Guest, python::locks::Locks};

type Call<'a, T> = Box<dyn Future<Output = wasmtime::Result<(Result<T, ErrorCode>,)>> + Send + 'a>;

/// Shadows the functions that take a path with ones that explain a refusal. `version` is the one under which they were
/// linked.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn explain(linker: &mut Linker<Guest>, version: &str) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:filesystem/preopens@{version}"))?.func_wrap(
        "get-directories",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            let guest = store.data_mut();
            let dirs = preopens::Host::get_directories(&mut guest.filesystem())?;
            Ok((with_root(guest, dirs),))
        },
    )?;
    explain_paths(&mut linker.instance(&format!("wasi:filesystem/types@{version}"))?)
}

/// The granted directories, those of Python, and the root directory in which nothing is found unless that is granted.
pub(super) fn with_root(
    guest: &mut Guest,
    mut dirs: Vec<(Resource<Descriptor>, String)>,
) -> Vec<(Resource<Descriptor>, String)> {
    let own = guest.python.as_ref().map(|python| Arc::clone(&python.dirs));
    for (dir, path) in own.iter().flat_map(|own| &own.0) {
        // A directory that is granted under this path takes its place.
        if dirs.iter().all(|(_, name)| name != path)
            && let Ok(dir) = guest.wasi().table.push(Descriptor::Dir(dir.clone()))
        {
            dirs.push((dir, path.clone()));
        }
    }
    if dirs.iter().all(|(_, name)| name != "/")
        && let Some(elsewhere) = &*ELSEWHERE
        // A handler with very few handles needs them for what it was granted.
        && let Ok(root) = guest.wasi().table.push(Descriptor::Dir(elsewhere.clone()))
    {
        // If two directories have names of the same length, the library takes the last one.
        dirs.insert(0, (root, "/".to_owned()));
    }
    dirs
}

/// The root directory in which nothing is found. It is the null device, so that the operating system, too, finds nothing
/// in it; `None` if that cannot be opened.
static ELSEWHERE: LazyLock<Option<Dir>> = LazyLock::new(|| {
    let null = File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()?;
    Some(Dir::new(null, FsPerms::ReadOnly, OpenMode::READ, false))
});

/// What a handler wants to do at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// To read a directory's entries.
    List,
    Write,
}

/// Why WASI refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotPermitted,
    ReadOnly,
}

/// An operation at a path, relative to a directory.
pub(super) struct Attempt {
    path: String,
    access: Access,
    is_elsewhere: bool,
    is_read_only: bool,
    /// The directory that the path begins in, if it leads to what may be a database's lock.
    of_lock: Option<Dir>,
}

impl Attempt {
    /// An operation in a granted directory. If it is elsewhere, this is `None`, a note says so, and nothing is found.
    pub(super) fn granted(guest: &mut Guest, dir: &Resource<Descriptor>, path: &str, access: Access) -> Option<Self> {
        let attempt = Self::new(guest, dir, path, access);
        if attempt.is_elsewhere {
            attempt.note_elsewhere(guest);
            return None;
        }
        Some(attempt)
    }

    fn new(guest: &mut Guest, dir: &Resource<Descriptor>, path: &str, access: Access) -> Self {
        let dir = match guest.wasi().table.get(dir) {
            Ok(Descriptor::Dir(dir)) => Some(dir),
            Ok(Descriptor::File(_)) | Err(_) => None,
        };
        let is_elsewhere =
            |dir: &Dir| ELSEWHERE.as_ref().is_some_and(|elsewhere| Arc::ptr_eq(&dir.dir, &elsewhere.dir));
        Self {
            path: path.to_owned(),
            access,
            is_elsewhere: dir.is_some_and(is_elsewhere),
            is_read_only: dir.is_some_and(|dir| dir.perms.write_not_permitted()),
            of_lock: dir.filter(|_| access == Access::Write && Locks::is_one(path)).cloned(),
        }
    }

    fn note_elsewhere(&self, guest: &mut Guest) {
        let path = format!("/{}", self.path.trim_start_matches("./").trim_matches(['/', '.']));
        if guest.python.is_some() && is_tried_by_python(&path) {
            return;
        }
        let dir =
            if self.access == Access::List { Some(&*path) } else { Path::new(&path).parent().and_then(Path::to_str) };
        let dir = dir.unwrap_or("/");
        // A language's runtime may look for one file in many places. More of them are named in the next exchanges.
        guest.has_noted_path = guest.has_noted_path
            || guest.guest_log.note(&format!("access to `{path}` denied; allow it with --dir HOST::{dir}"));
    }

    /// Keeps account of the locks of Python's databases after an operation that has succeeded.
    fn note_lock(&mut self, guest: &mut Guest, function: &str) {
        if let Some(dir) = self.of_lock.take()
            && let Some(python) = &mut guest.python
        {
            match function {
                "create-directory-at" => python.locks.add(dir, &self.path),
                "remove-directory-at" => python.locks.remove(&self.path),
                _ => {}
            }
        }
    }

    /// Writes a note about an operation that was refused.
    pub(super) fn explain(&self, guest: &Guest, refusal: Refusal) {
        let path = &self.path;
        if self.is_read_only && self.access == Access::Write {
            let note = format!("writing to `{path}` denied; allow it with --dir HOST::GUEST (without :ro)");
            guest.guest_log.note(&note);
        } else if refusal == Refusal::NotPermitted {
            let note = format!("access to `{path}` denied: it leads out of the directory that is granted");
            guest.guest_log.note(&note);
        }
    }
}

/// Whether Python's own library looks for this path and does without it, so that a note would only confuse.
fn is_tried_by_python(path: &str) -> bool {
    // What the application compiles to is not kept, and UTC is known.
    path.starts_with("/pycache/") || path.ends_with("/zoneinfo/UTC") || ["/tmp", "/var/tmp", "/usr/tmp"].contains(&path)
}

/// Converts an operation's result, with a note if it was refused.
fn conclude<T>(guest: &mut Guest, attempt: &Attempt, outcome: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    let error = match outcome {
        Ok(it) => return Ok(Ok(it)),
        Err(error) => guest.filesystem().convert_error_code(error)?,
    };
    match error {
        ErrorCode::NotPermitted => attempt.explain(guest, Refusal::NotPermitted),
        ErrorCode::ReadOnly => attempt.explain(guest, Refusal::ReadOnly),
        _ => {}
    }
    Ok(Err(error))
}

/// Shadows one function: its name, the method that implements it, what it does at the path, and its parameters before and
/// after that path.
macro_rules! shadow {
    ($instance:ident, $name:literal, $method:ident -> $result:ty, $access:expr,
     ($($before:ident: $before_type:ty),*), ($($after:ident: $after_type:ty),*)) => {
        $instance.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<'_, Guest>,
             (dir, $($before,)* path, $($after,)*): (Resource<Descriptor>, $($before_type,)* String, $($after_type,)*)|
             -> Call<'_, $result> {
                Box::new(async move {
                    let guest = store.data_mut();
                    let Some(mut attempt) = Attempt::granted(guest, &dir, &path, $access) else {
                        return Ok((Err(ErrorCode::NoEntry),));
                    };
                    let outcome = guest.filesystem().$method(dir, $($before,)* path, $($after),*).await;
                    if outcome.is_ok() {
                        attempt.note_lock(guest, $name);
                    }
                    Ok((conclude(guest, &attempt, outcome)?,))
                })
            },
        )?;
    };
}

fn explain_paths(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    use Access::{Read, Write};
    type Fd = Resource<Descriptor>;

    shadow!(types, "open-at", open_at -> Fd, opens(open, flags),
            (links: PathFlags), (open: OpenFlags, flags: DescriptorFlags));
    shadow!(types, "stat-at", stat_at -> DescriptorStat, Read, (links: PathFlags), ());
    shadow!(types, "metadata-hash-at", metadata_hash_at -> MetadataHashValue, Read, (links: PathFlags), ());
    shadow!(types, "readlink-at", readlink_at -> String, Read, (), ());
    shadow!(types, "create-directory-at", create_directory_at -> (), Write, (), ());
    shadow!(types, "remove-directory-at", remove_directory_at -> (), Write, (), ());
    shadow!(types, "unlink-file-at", unlink_file_at -> (), Write, (), ());
    shadow!(types, "set-times-at", set_times_at -> (), Write,
            (links: PathFlags), (accessed: NewTimestamp, modified: NewTimestamp));
    shadow!(types, "rename-at", rename_at -> (), Write, (), (new_dir: Fd, new_path: String));
    shadow!(types, "link-at", link_at -> (), Write, (links: PathFlags), (new_dir: Fd, new_path: String));
    // The first path is what the link contains.
    shadow!(types, "symlink-at", symlink_at -> (), Write, (target: String), ());
    Ok(())
}

/// What opening with these flags is for.
fn opens(open: OpenFlags, flags: DescriptorFlags) -> Access {
    if open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
        || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY)
    {
        Access::Write
    } else if open.contains(OpenFlags::DIRECTORY) {
        Access::List
    } else {
        Access::Read
    }
}
