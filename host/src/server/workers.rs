//! The threads that connections live on: one a core, each with its own timers and its own view of its sockets.
//!
//! A connection stays where it was put, so that nothing of a request ever waits for another thread. Handlers that compute
//! leave for the slow lane (`handler/lanes.rs`) before that would hold up the others of the same thread.

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

/// All of these threads. They end when this is dropped, and what still runs on them with them.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    handle: Handle,
    connections: Arc<AtomicUsize>,
    _until_dropped: oneshot::Sender<()>,
}

impl Workers {
    /// One for each core that this process may use.
    ///
    /// # Errors
    ///
    /// The system refuses more threads, or descriptors to wait with.
    pub(super) fn spawn() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).map(|_| Worker::spawn()).collect::<io::Result<_>>().map(Self)
    }

    /// Has the one serve a connection that has the fewest.
    ///
    /// What is to be done comes as a closure: a future that is awaited in another one takes its room twice, for as long as the
    /// connection is open.
    pub(super) fn serve<Serving>(&self, connections: &mut JoinSet<()>, serve: impl FnOnce(Seat) -> Serving)
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let worker = self.0.iter().min_by_key(load).unwrap_or_else(|| unreachable!("there is at least one core"));
        connections.spawn_on(serve(Seat::take(&worker.connections)), &worker.handle);
    }
}

impl Worker {
    fn spawn() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        thread::Builder::new().name("worker".into()).spawn(move || {
            _ = runtime.block_on(dropped);
            // What handlers still do (a file system that does not answer, say) is no reason to stay.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, connections: Arc::default(), _until_dropped: until_dropped })
    }
}

/// A connection on a worker, until it is dropped.
pub(super) struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
