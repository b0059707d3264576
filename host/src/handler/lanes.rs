//! Moves handlers that compute for longer than a tick to low-priority threads.
//!
//! A handler starts on the thread that parsed its request. Most end within a tick, so they pay nothing for this. Longer
//! ones move to threads that own no sockets and no timers. They move as a whole: wasmtime's stacks may change threads
//! between polls.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use crate::{
    admission::{Slot, call_stats::CallStats},
    fault::Fault,
};

thread_local! {
    /// Whether this is a thread of the slow lane.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
    /// The runtime of the slow lane, if this is one of its threads.
    static SLOW_RUNTIME: RefCell<Option<Handle>> = const { RefCell::new(None) };
    /// Whether the handler just polled on this thread was still computing at a tick.
    static HAS_OVERRUN: Cell<bool> = const { Cell::new(false) };
}

/// How long a handler may compute in the fast lane in all polls together, since one that streams may have many short
/// ones.
const FAST_MAX: Duration = Duration::from_millis(2);

/// A handler that has computed for no longer than this at a tick stays in the fast lane until the next one: it has only
/// just started. Of a thousand handlers a second that take a few microseconds each, ticks would hit some.
const JUST_STARTED: Duration = Duration::from_micros(200);

/// Returns what a handler that is still computing at a tick must do: leave the fast lane, or yield to others in the
/// slow lane.
pub(crate) fn overrun(computed: Duration) -> Overrun {
    if IS_SLOW.get() {
        HAS_OVERRUN.set(true);
        Overrun::Yield(Box::pin(tokio::task::yield_now()))
    } else if computed <= JUST_STARTED {
        Overrun::GoOn
    } else {
        Overrun::Yield(Box::pin(UntilSlow))
    }
}

/// What a handler that is still computing at a tick must do.
pub(crate) enum Overrun {
    /// Keep computing until the next tick.
    GoOn,
    /// Wait until this is ready.
    Yield(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Ready as soon as it is polled in the slow lane.
struct UntilSlow;

impl Future for UntilSlow {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if IS_SLOW.get() {
            return Poll::Ready(());
        }
        // No waker needed: the code that polls the handler checks this flag right after.
        HAS_OVERRUN.set(true);
        Poll::Pending
    }
}

/// Moves the handler to the slow lane, if it is not there, and computes what takes long and cannot be interrupted.
/// Another thread goes on with the handlers that wait for this one meanwhile.
pub(crate) async fn compute<T>(compute: impl FnOnce() -> T) -> T {
    UntilSlow.await;
    // A handler is polled with the timers of its fast lane. The other thread must not become one of those.
    let runtime = SLOW_RUNTIME.with_borrow(Clone::clone);
    let _runtime = runtime.as_ref().map(Handle::enter);
    tokio::task::block_in_place(compute)
}

/// The threads for handlers that compute for longer than a tick.
pub(crate) struct SlowLane {
    /// `Some` until dropped.
    runtime: Option<Runtime>,
}

impl SlowLane {
    /// Starts one thread per core, with a lower priority than all other threads.
    ///
    /// # Errors
    ///
    /// The system refuses to start more threads.
    pub(crate) fn spawn() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("slow-lane")
            .on_thread_start(|| {
                IS_SLOW.set(true);
                SLOW_RUNTIME.set(Some(Handle::current()));
                lower_priority();
            })
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn take(&self, task: Task) -> JoinHandle<Outcome> {
        let runtime = self.runtime.as_ref().unwrap_or_else(|| unreachable!("only `drop` takes it"));
        runtime.spawn(Guided { task, timers: Handle::current() })
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // This may be dropped inside a runtime, where waiting for threads is not allowed.
            runtime.shutdown_background();
        }
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    // If the system refuses, handlers that compute compete more with other threads, which is acceptable.
    _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

/// Elsewhere it is the process that has a priority, and not the thread.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

type Outcome = Result<(), Fault>;

/// A call of a handler with its slot. Both end together, the call first.
struct Task {
    call: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    slot: Slot,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        COUNTED.set(clock());
        let polled = self.call.as_mut().poll(cx);
        charge(self.slot.stats());
        match polled {
            // Dropping the call ends it.
            Poll::Pending => {
                self.slot.stats().poll_end(cx.waker()).map_or(Poll::Pending, |fault| Poll::Ready(Err(fault)))
            }
            ready => ready,
        }
    }
}

thread_local! {
    /// The clock of this thread up to which CPU time has been charged.
    static COUNTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Charges the handler on this thread for its CPU time since the last call, and returns its total.
pub(crate) fn charge(stats: &CallStats) -> Duration {
    let now = clock();
    stats.add_cpu(now.saturating_sub(COUNTED.replace(now)))
}

/// The CPU time of this thread. In the fast lane, where handlers do not compute for long, elapsed time is close enough
/// and cheaper to read.
fn clock() -> Duration {
    if IS_SLOW.get() { cpu_time() } else { STARTED.elapsed() }
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    STARTED.elapsed()
}

/// A task in the slow lane whose timers and files still belong to the fast lane's runtime.
struct Guided {
    task: Task,
    timers: Handle,
}

impl Future for Guided {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let _timers = this.timers.enter();
        HAS_OVERRUN.set(false);
        this.task.slot.set_computing(true);
        let polled = this.task.poll(cx);
        // Otherwise it waits for something.
        this.task.slot.set_computing(HAS_OVERRUN.take());
        polled
    }
}

/// A call that moves between lanes. It computes while it is polled, in the fast lane for a tick at most. Dropping it
/// ends the instance, in either lane.
pub struct CallFuture {
    /// `None` for a call that may compute on any thread.
    slow_lane: Option<Arc<SlowLane>>,
    fast: Option<Task>,
    slow: Option<JoinHandle<Outcome>>,
}

impl CallFuture {
    /// Starts a call in the fast lane.
    pub(crate) fn new(
        slow_lane: Option<&Arc<SlowLane>>,
        slot: Slot,
        call: impl Future<Output = Outcome> + Send + 'static,
    ) -> Self {
        Self { slow_lane: slow_lane.cloned(), fast: Some(Task { call: Box::pin(call), slot }), slow: None }
    }
}

impl Future for CallFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(mut task) = self.fast.take() {
            HAS_OVERRUN.set(false);
            let polled = task.poll(cx);
            if polled.is_ready() {
                return polled;
            }
            let has_overrun = HAS_OVERRUN.take();
            match &self.slow_lane {
                Some(slow_lane) if has_overrun || task.slot.stats().cpu() >= FAST_MAX => {
                    // It may be a while until it is polled there, and others must not take its place in the meantime.
                    task.slot.set_computing(has_overrun);
                    self.slow = Some(slow_lane.take(task));
                }
                _ => {
                    self.fast = Some(task);
                    return Poll::Pending;
                }
            }
        }
        let Some(task) = &mut self.slow else { return Poll::Pending };
        let joined = ready!(Pin::new(task).poll(cx));
        Poll::Ready(joined.unwrap_or_else(|error| Err(Fault::HostBug(error.to_string()))))
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        if let Some(task) = &self.slow {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_moves_a_handler_that_has_computed_for_a_while() {
        assert!(matches!(overrun(Duration::from_micros(5)), Overrun::GoOn));
        assert!(matches!(overrun(Duration::from_millis(1)), Overrun::Yield(_)));
        IS_SLOW.set(true);
        assert!(matches!(overrun(Duration::from_micros(5)), Overrun::Yield(_)), "others may be waiting there");
    }
}
