//! The threads that serve connections: one per core, each with its own timers and I/O driver.
//!
//! A connection stays on its thread, so that a request never waits for another thread. Handlers that compute move to
//! the slow lane (`handler/lanes.rs`) before they would delay the other connections of the thread.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
};

/// All worker threads. Dropping this ends them, along with everything that still runs on them.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    handle: Handle,
    connections: Arc<AtomicUsize>,
    _until_dropped: oneshot::Sender<()>,
}

impl Workers {
    /// Starts one thread for each core that this process may use.
    ///
    /// # Errors
    ///
    /// The system cannot create more threads, or descriptors for their I/O drivers.
    pub(super) fn spawn() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).map(|_| Worker::spawn()).collect::<io::Result<_>>().map(Self)
    }

    /// Serves a connection on the thread that has the fewest.
    ///
    /// Takes a closure and not a future: a future that is awaited in another future is stored twice, for as long as the
    /// connection is open.
    pub(super) fn serve<Serving>(&self, connections: &mut JoinSet<()>, serve: impl FnOnce(ConnectionGuard) -> Serving)
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let worker = self.0.iter().min_by_key(load).unwrap_or_else(|| unreachable!("there is at least one core"));
        connections.spawn_on(serve(ConnectionGuard::new(&worker.connections)), &worker.handle);
    }
}

impl Worker {
    fn spawn() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        thread::Builder::new().name("worker".into()).spawn(move || {
            _ = runtime.block_on(dropped);
            // Does not wait for blocking calls of handlers, for example on a file system that does not respond.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, connections: Arc::default(), _until_dropped: until_dropped })
    }
}

/// Counts a connection of a worker until it is dropped.
pub(super) struct ConnectionGuard(Arc<AtomicUsize>);

impl ConnectionGuard {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
