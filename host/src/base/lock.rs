//! Locks whose contents are whole at every point.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose contents are whole at every point, so that a panic of another thread while it held the lock means nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
