//! Where a handler computes: on the thread that parsed its request, and hardly longer than a tick; after that on threads of
//! its own, which own no sockets and no timers.
//!
//! Most handlers end within a tick, so that they pay nothing for this. The others are moved as a whole: wasmtime's stacks may
//! change threads between polls.

use std::{
    cell::Cell,
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
    /// Whether the handler that was just polled on this thread was still computing at a tick.
    static HAS_OVERRUN: Cell<bool> = const { Cell::new(false) };
}

/// How long a handler may compute in the fast lane, all its turns together: one that streams may have many short ones.
const FAST_MAX: Duration = Duration::from_millis(2);

/// Who has computed no longer than this at a tick has only just begun, and stays until the next one: of a thousand handlers that
/// take a few microseconds, a tick would find some each second.
const JUST_BEGUN: Duration = Duration::from_micros(200);

/// What a handler that is still computing at a tick has to do: leave the fast lane, or let others of the slow one go on.
pub(crate) fn overrun(computed: Duration) -> Overrun {
    if IS_SLOW.get() {
        HAS_OVERRUN.set(true);
        Overrun::Yield(Box::pin(tokio::task::yield_now()))
    } else if computed <= JUST_BEGUN {
        Overrun::GoOn
    } else {
        Overrun::Yield(Box::pin(UntilSlow))
    }
}

/// What a handler that is still computing at a tick has to do.
pub(crate) enum Overrun {
    /// Go on until the next tick.
    GoOn,
    /// Go on when this is ready.
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
        // Nobody has to be woken: whoever polls the handler looks at this right after.
        HAS_OVERRUN.set(true);
        Poll::Pending
    }
}

/// The threads for handlers that have overrun.
pub(crate) struct SlowLane {
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
}

impl SlowLane {
    /// One thread a core, with a lower priority than all others: what they leave is for handlers that compute.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub(crate) fn spawn() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("slow-lane")
            .on_thread_start(|| {
                IS_SLOW.set(true);
                lower_priority();
            })
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn take(&self, task: Task) -> JoinHandle<Outcome> {
        let runtime = self.runtime.as_ref().unwrap_or_else(|| unreachable!("only dropping takes it"));
        runtime.spawn(Guided { task, timers: Handle::current() })
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

#[cfg(target_os = "linux")]
fn lower_priority() {
    // If the system does not let us, handlers that compute are less polite: no reason to stop.
    _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

/// Elsewhere it is the process that has a priority, and not the thread.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

type Outcome = Result<(), Fault>;

/// A call of a handler, with its slot: both end together, the call first.
struct Task {
    call: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    slot: Slot,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        COUNTED.set(clock());
        let polled = self.call.as_mut().poll(cx);
        charge(self.slot.stats());
        polled
    }
}

thread_local! {
    /// Up to when the time of this thread is counted.
    static COUNTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Adds what the handler on this thread has computed since the last time, and gives all that it has computed.
pub(crate) fn charge(stats: &CallStats) -> Duration {
    let now = clock();
    stats.add_cpu(now.saturating_sub(COUNTED.replace(now)))
}

/// The time that this thread has computed. In the fast lane, where nobody computes for long, the time that has passed is
/// near enough, and asking for it is cheaper.
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

/// A task in the slow lane, whose timers and files are still those of the fast one.
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
        // It lets others go on, or else it waits for something.
        this.task.slot.set_computing(HAS_OVERRUN.take());
        polled
    }
}

/// A call in the lane where it belongs. It computes while it is polled, in the fast lane for a tick at most; dropping it
/// ends the instance, in either lane.
pub struct CallFuture {
    /// `None` for what may compute anywhere.
    slow_lane: Option<Arc<SlowLane>>,
    fast: Option<Task>,
    slow: Option<JoinHandle<Outcome>>,
}

impl CallFuture {
    /// Begins in the fast lane.
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
                    // It may be a while until it is polled there, and others must not take its place meanwhile.
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
    fn a_tick_moves_whoever_has_computed_for_a_while() {
        assert!(matches!(overrun(Duration::from_micros(5)), Overrun::GoOn));
        assert!(matches!(overrun(Duration::from_millis(1)), Overrun::Yield(_)));
        IS_SLOW.set(true);
        assert!(matches!(overrun(Duration::from_micros(5)), Overrun::Yield(_)), "others wait there");
    }
}
