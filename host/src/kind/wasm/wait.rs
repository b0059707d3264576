//! Waits of host functions, recorded so that a report can show what a handler waits for and where.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use wasmtime::StoreContextMut;

use super::{
    guest::Guest,
    outcome::{Overdue, stack},
};
use crate::fault::Limit;

/// Waits for the future of an import. Provides the handler's stack to a report that asks for it in the meantime.
///
/// # Errors
///
/// The handler's time is up.
pub(super) async fn wait<T>(
    store: &mut StoreContextMut<'_, Guest>,
    import: &'static str,
    future: impl Future<Output = T>,
) -> wasmtime::Result<T> {
    let (stats, deadline) = (Arc::clone(&store.data().stats), store.data().deadline);
    let mut future = pin!(future);
    let mut asked = pin!(stats.asked());
    let mut waiting = None;
    let result = poll_fn(|cx| {
        if let Poll::Ready(it) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(it));
        }
        let wait = waiting.get_or_insert_with(|| stats.begin_wait(import, None)).wait();
        if Instant::now() >= deadline {
            return Poll::Ready(Err(Overdue { limit: Limit::Wall, wait: Some(wait), stack: None }.into()));
        }
        while asked.as_mut().poll(cx).is_ready() {
            asked.set(stats.asked());
            if stats.is_asked_for_stack() {
                stats.set_stack(stack(&mut *store));
            }
        }
        Poll::Pending
    })
    .await;
    if waiting.is_some() {
        // Ticks that passed while the handler waited must not count as computing.
        store.set_epoch_deadline(1);
    }
    result
}
