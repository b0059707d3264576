//! Records waits in the functions of `wasi:io/streams` that wait by themselves.

use std::{future::Future, mem, pin::Pin};

use wasmtime::{
    StoreContextMut,
    component::{ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceTable},
};
use wasmtime_wasi_io::{
    bindings::wasi::io::streams::{self, Host as _, HostInputStream as _, HostOutputStream as _},
    streams::{DynInputStream, DynOutputStream, StreamError},
};

use super::{guest::Guest, wait};

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
type Streamed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StreamError>> + Send + 'a>>;

/// Shadows these functions in `instance`, which is `wasi:io/streams`.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn record_waits(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    record(instance, "input-stream", "wasi:io/streams.blocking-read", |table, (stream, len): (Input, u64)| {
        Box::pin(table.blocking_read(stream, len))
    })?;
    record(instance, "input-stream", "wasi:io/streams.blocking-skip", |table, (stream, len): (Input, u64)| {
        Box::pin(table.blocking_skip(stream, len))
    })?;
    record(
        instance,
        "output-stream",
        "wasi:io/streams.blocking-write-and-flush",
        |table, (stream, bytes): (Output, Vec<u8>)| Box::pin(table.blocking_write_and_flush(stream, bytes)),
    )?;
    record(
        instance,
        "output-stream",
        "wasi:io/streams.blocking-write-zeroes-and-flush",
        |table, (stream, len): (Output, u64)| Box::pin(table.blocking_write_zeroes_and_flush(stream, len)),
    )?;
    record(instance, "output-stream", "wasi:io/streams.blocking-flush", |table, (stream,): (Output,)| {
        Box::pin(table.blocking_flush(stream))
    })?;
    record(
        instance,
        "output-stream",
        "wasi:io/streams.blocking-splice",
        |table, (to, from, len): (Output, Input, u64)| Box::pin(table.blocking_splice(to, from, len)),
    )
}

/// Shadows the method that is the last part of `import`. The table is taken out of the store while it waits, so that
/// others can look into the store.
fn record<P, T>(
    instance: &mut LinkerInstance<'_, Guest>,
    resource: &str,
    import: &'static str,
    call: for<'a> fn(&'a mut ResourceTable, P) -> Streamed<'a, T>,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + Send + Sync + 'static,
    T: ComponentType + Lower + Send + Sync + 'static,
{
    let method = import.rsplit('.').next().unwrap_or(import);
    instance.func_wrap_async(
        &format!("[method]{resource}.{method}"),
        move |mut store: StoreContextMut<'_, Guest>, params: P| {
            Box::new(async move {
                let mut table = mem::take(&mut store.data_mut().wasi().table);
                let waited = wait::wait(&mut store, import, call(&mut table, params)).await;
                let result = match waited {
                    Ok(Ok(value)) => Ok((Ok(value),)),
                    Ok(Err(error)) => {
                        table.convert_stream_error(error).map(|error| (Err::<T, streams::StreamError>(error),))
                    }
                    Err(overdue) => Err(overdue),
                };
                store.data_mut().wasi().table = table;
                result
            })
        },
    )
}
