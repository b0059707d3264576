//! Explains which paths were refused, for WASI 0.3 as for WASI 0.2.

use wasmtime::{
    StoreContextMut,
    component::{Accessor, Linker, LinkerInstance, Resource},
};
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _},
    p3::{
        bindings::filesystem::{
            preopens,
            types::{
                DescriptorFlags, DescriptorStat, ErrorCode, Host as _, HostDescriptorWithStore, MetadataHashValue,
                NewTimestamp, OpenFlags, PathFlags,
            },
        },
        filesystem::FilesystemResult,
    },
};

use super::{
    super::{
        files::{Access, Attempt, Refusal, with_root},
        guest::Guest,
    },
    explain::{Call, WASI},
};

type Outcome<T> = (Result<T, ErrorCode>,);

/// Shadows the functions that take a path with ones that explain a refusal.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn explain(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(&format!("wasi:filesystem/preopens@{WASI}"))?.func_wrap(
        "get-directories",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            let guest = store.data_mut();
            let dirs = preopens::Host::get_directories(&mut guest.filesystem())?;
            Ok((with_root(guest, dirs),))
        },
    )?;
    explain_paths(&mut linker.instance(&format!("wasi:filesystem/types@{WASI}"))?)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Converts an operation's result, with a note if it was refused.
fn conclude<T>(
    guest: &mut Guest,
    attempt: &Attempt,
    outcome: FilesystemResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
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
        $instance.func_wrap_concurrent(
            concat!("[method]descriptor.", $name),
            |accessor: &Accessor<Guest>,
             (dir, $($before,)* path, $($after,)*): (Resource<Descriptor>, $($before_type,)* String, $($after_type,)*)|
             -> Call<'_, Outcome<$result>> {
                Box::pin(async move {
                    let attempt =
                        accessor.with(|mut access| Attempt::granted(access.data_mut(), &dir, &path, $access));
                    let Some(attempt) = attempt else { return Ok((Err(ErrorCode::NoEntry),)) };
                    let files = accessor.with_getter::<WasiFilesystem>(|guest| guest.filesystem());
                    let outcome = <WasiFilesystem as HostDescriptorWithStore<Guest>>::$method(
                        &files, dir, $($before,)* path, $($after),*
                    ).await;
                    accessor.with(|mut access| Ok((conclude(access.data_mut(), &attempt, outcome)?,)))
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
