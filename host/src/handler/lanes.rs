//! Where a handler computes: on the thread that parsed its request, and no longer than a tick; after that on threads of
//! its own, which own no sockets and no timers.
//!
//! Most handlers end within a tick, so that they pay nothing for this. The others are moved as a whole: wasmtime's stacks may
//! change threads between polls.

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};
use wasmtime::UpdateDeadline;

use crate::fault::Fault;

thread_local! {
    /// Whether this is a thread of the slow lane.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
    /// Whether the handler that was just polled on this thread, in the fast lane, has to leave it.
    static HAS_OVERRUN: Cell<bool> = const { Cell::new(false) };
}

/// What a handler that is still computing at a tick has to do: leave the fast lane, or let others of the slow one go on.
pub(super) fn overrun() -> UpdateDeadline {
    if IS_SLOW.get() {
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    } else {
        UpdateDeadline::YieldCustom(1, Box::pin(UntilSlow))
    }
}

/// Ready as soon as it is polled in the slow lane.
struct UntilSlow;

impl Future for UntilSlow {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if IS_SLOW.get() {
            return Poll::Ready(());
        }
        // Nobody has to be woken: whoever polls the handler looks at this right after.
        HAS_OVERRUN.set(true);
        Poll::Pending
    }
}

/// The threads for handlers that have overrun.
pub(super) struct SlowLane {
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
}

impl SlowLane {
    /// One thread a core, with a lower priority than all others: what they leave is for handlers that compute.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub(super) fn spawn() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("slow-lane")
            .on_thread_start(|| {
                IS_SLOW.set(true);
                lower_priority();
            })
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn take(&self, call: Call) -> JoinHandle<Outcome> {
        let runtime = self.runtime.as_ref().unwrap_or_else(|| unreachable!("only dropping takes it"));
        runtime.spawn(Guided { call, timers: Handle::current() })
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads is not allowed where this may be dropped.
            runtime.shutdown_background();
        }
    }
}

#[cfg(unix)]
fn lower_priority() {
    // If the system does not let us, handlers that compute are less polite: no reason to stop.
    _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

#[cfg(not(unix))]
fn lower_priority() {}

type Outcome = Result<(), Fault>;
type Call = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A call in the slow lane, whose timers and files are still those of the fast one.
struct Guided {
    call: Call,
    timers: Handle,
}

impl Future for Guided {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let _timers = this.timers.enter();
        this.call.as_mut().poll(cx)
    }
}

/// A call in the lane where it belongs. It computes while it is polled, in the fast lane for a tick at most; dropping it
/// ends the instance, in either lane.
pub struct Ongoing {
    /// `None` for what may compute anywhere.
    slow_lane: Option<Arc<SlowLane>>,
    fast: Option<Call>,
    slow: Option<JoinHandle<Outcome>>,
}

impl Ongoing {
    /// Begins in the fast lane.
    pub(super) fn new(slow_lane: &Arc<SlowLane>, call: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { slow_lane: Some(Arc::clone(slow_lane)), fast: Some(Box::pin(call)), slow: None }
    }

    /// Stays on the thread that polls it.
    pub(super) fn anywhere(call: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { slow_lane: None, fast: Some(Box::pin(call)), slow: None }
    }
}

impl Future for Ongoing {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(mut call) = self.fast.take() {
            HAS_OVERRUN.set(false);
            let polled = call.as_mut().poll(cx);
            if polled.is_ready() {
                return polled;
            }
            match &self.slow_lane {
                Some(slow_lane) if HAS_OVERRUN.take() => self.slow = Some(slow_lane.take(call)),
                _ => {
                    self.fast = Some(call);
                    return Poll::Pending;
                }
            }
        }
        let Some(task) = &mut self.slow else { return Poll::Pending };
        let joined = ready!(Pin::new(task).poll(cx));
        Poll::Ready(joined.unwrap_or_else(|error| Err(Fault::HostBug(error.to_string()))))
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if let Some(task) = &self.slow {
            task.abort();
        }
    }
}
