//! Host functions that may wait, as others see them: what they wait for, since when, and where the handler is meanwhile.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use wasmtime::{StoreContextMut, WasmBacktrace};

use super::{
    guest::Guest,
    outcome::{Overdue, stack},
};
use crate::{base::stack::Wait, fault::Limit};

/// Waits for a future in the name of an import. Whoever asks for the handler's stack meanwhile gets it.
///
/// # Errors
///
/// The handler has no more time.
pub(super) async fn wait<T>(
    store: &mut StoreContextMut<'_, Guest>,
    import: &'static str,
    future: impl Future<Output = T>,
) -> wasmtime::Result<T> {
    let (stats, deadline) = (Arc::clone(&store.data().stats), store.data().deadline);
    let mut future = pin!(future);
    let mut asked = pin!(stats.asked());
    let mut wait = None;
    let result = poll_fn(|cx| {
        if let Poll::Ready(it) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(it));
        }
        let wait = *wait.get_or_insert_with(|| {
            let wait = Wait { import, since: Instant::now() };
            stats.set_wait(Some(wait));
            wait
        });
        if Instant::now() >= deadline {
            return Poll::Ready(Err(Overdue { limit: Limit::Wall, wait: Some(wait) }.into()));
        }
        while asked.as_mut().poll(cx).is_ready() {
            asked.set(stats.asked());
            if stats.is_asked_for_stack() {
                stats.set_stack(stack(&WasmBacktrace::force_capture(&mut *store)));
            }
        }
        Poll::Pending
    })
    .await;
    if wait.is_some() {
        stats.set_wait(None);
        // Ticks have passed in which it did not compute.
        store.set_epoch_deadline(1);
    }
    result
}
