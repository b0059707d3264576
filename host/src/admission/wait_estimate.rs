//! How fast a queue moves: whether it is worth joining.

use std::time::Duration;

use tokio::time::Instant;

/// How many steps have to be seen before anything is foretold.
const STEPS_MIN: u32 = 8;

/// From so many steps on the older ones count half: what frees a place may come in bursts, and changes with the requests.
const STEPS_MAX: u32 = 64;

/// What a queue has done lately.
#[derive(Debug, Default)]
pub(super) struct WaitEstimate {
    /// Since when its steps are counted; `None` while nobody waits.
    since: Option<Instant>,
    /// How many were let in since.
    steps: u32,
    /// When somebody has waited in vain, if nobody was let in after that.
    stuck: Option<Instant>,
}

impl WaitEstimate {
    /// Whether whoever joins behind so many others will be let in within that time, as far as can be told. If not, it had
    /// better know at once. An empty queue is always worth a try.
    pub(super) fn is_worth_joining(&self, others: usize, timeout: Duration, now: Instant) -> bool {
        if others == 0 {
            return true;
        }
        let is_stuck = self.stuck.is_some_and(|stuck| now.duration_since(stuck) < timeout);
        // Half of the time is for what cannot be foreseen: who waits to the end and gets nothing is worse off than anybody.
        !is_stuck && self.forecast(others, now).is_none_or(|wait| wait <= timeout / 2)
    }

    /// How long the one behind so many others will wait, if that can be told.
    fn forecast(&self, others: usize, now: Instant) -> Option<Duration> {
        let elapsed = self.since.filter(|_| self.steps >= STEPS_MIN).map(|since| now.duration_since(since))?;
        let places = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Some(elapsed.saturating_mul(places) / self.steps)
    }

    /// Somebody has joined.
    pub(super) fn join(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The first one was let in.
    pub(super) fn step(&mut self, now: Instant) {
        self.stuck = None;
        self.steps += 1;
        if let Some(since) = &mut self.since
            && self.steps >= STEPS_MAX
        {
            *since = now - now.duration_since(*since) / 2;
            self.steps /= 2;
        }
    }

    /// Somebody has waited in vain.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.stuck = Some(now);
    }

    /// Nobody waits any more. The next queue may be another one.
    pub(super) fn end(&mut self) {
        (self.since, self.steps) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// One that takes a step each so often.
    fn moving(steps: u32, pace: Duration) -> (WaitEstimate, Instant) {
        let begin = Instant::now();
        let mut estimate = WaitEstimate::default();
        estimate.join(begin);
        (1..=steps).for_each(|step| estimate.step(begin + step * pace));
        (estimate, begin + steps * pace)
    }

    #[test]
    fn who_would_wait_for_too_long_is_told_at_once() {
        for steps in [STEPS_MIN, 20, 63, 64, 65, 1000] {
            let (estimate, now) = moving(steps, Duration::from_millis(100));
            assert!(estimate.is_worth_joining(8, TIMEOUT, now), "{steps}: there is time enough");
            assert!(!estimate.is_worth_joining(11, TIMEOUT, now), "{steps}: it would hardly be in time");
        }
    }

    #[test]
    fn nothing_is_foretold_of_a_queue_that_is_new() {
        let (estimate, now) = moving(STEPS_MIN - 1, Duration::from_millis(100));
        assert!(estimate.is_worth_joining(255, TIMEOUT, now));
        let (mut estimate, now) = moving(50, Duration::from_millis(100));
        assert!(!estimate.is_worth_joining(255, TIMEOUT, now));
        estimate.end();
        assert!(estimate.is_worth_joining(255, TIMEOUT, now), "it may be another one");
    }

    #[test]
    fn a_queue_that_has_moved_and_stands_is_as_slow_as_that() {
        let (estimate, now) = moving(50, Duration::from_millis(10));
        assert!(estimate.is_worth_joining(90, TIMEOUT, now));
        assert!(!estimate.is_worth_joining(90, TIMEOUT, now + Duration::from_millis(500)));
    }

    #[test]
    fn who_comes_behind_others_that_wait_in_vain_is_told_at_once() {
        let now = Instant::now();
        let mut estimate = WaitEstimate::default();
        estimate.join(now);
        estimate.give_up(now + TIMEOUT);
        assert!(!estimate.is_worth_joining(1, TIMEOUT, now + TIMEOUT));
        assert!(estimate.is_worth_joining(0, TIMEOUT, now + TIMEOUT), "somebody has to try");
        assert!(estimate.is_worth_joining(1, TIMEOUT, now + 2 * TIMEOUT), "that was long ago");
        estimate.step(now + TIMEOUT);
        assert!(estimate.is_worth_joining(1, TIMEOUT, now + TIMEOUT), "it moves again");
    }
}
