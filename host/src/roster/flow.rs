//! How fast a queue moves: whether it is worth joining.

use std::time::Duration;

use tokio::time::Instant;

/// How many steps have to be seen before anything is foretold.
const STEPS_MIN: u32 = 8;

/// From so many steps on the older ones count half: what frees a place may come in bursts, and changes with the requests.
const STEPS_MAX: u32 = 64;

/// What a queue has done lately.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Since when its steps are counted; `None` while nobody waits.
    since: Option<Instant>,
    /// How many were let in since.
    steps: u32,
    /// When somebody has waited in vain, if nobody was let in after that.
    stuck: Option<Instant>,
}

impl Flow {
    /// Whether whoever joins behind so many others will be let in within that time, as far as can be told. If not, it had
    /// better know at once. An empty queue is always worth a try.
    pub(super) fn is_worth_joining(&self, others: usize, patience: Duration, now: Instant) -> bool {
        if others == 0 {
            return true;
        }
        let is_stuck = self.stuck.is_some_and(|stuck| now.duration_since(stuck) < patience);
        // Half of the time is for what cannot be foreseen: who waits to the end and gets nothing is worse off than anybody.
        !is_stuck && self.forecast(others, now).is_none_or(|wait| wait <= patience / 2)
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

    const PATIENCE: Duration = Duration::from_secs(2);

    /// One that takes a step each so often.
    fn moving(steps: u32, pace: Duration) -> (Flow, Instant) {
        let begin = Instant::now();
        let mut flow = Flow::default();
        flow.join(begin);
        (1..=steps).for_each(|step| flow.step(begin + step * pace));
        (flow, begin + steps * pace)
    }

    #[test]
    fn who_would_wait_for_too_long_is_told_at_once() {
        for steps in [STEPS_MIN, 20, 63, 64, 65, 1000] {
            let (flow, now) = moving(steps, Duration::from_millis(100));
            assert!(flow.is_worth_joining(8, PATIENCE, now), "{steps}: there is time enough");
            assert!(!flow.is_worth_joining(11, PATIENCE, now), "{steps}: it would hardly be in time");
        }
    }

    #[test]
    fn nothing_is_foretold_of_a_queue_that_is_new() {
        let (flow, now) = moving(STEPS_MIN - 1, Duration::from_millis(100));
        assert!(flow.is_worth_joining(255, PATIENCE, now));
        let (mut flow, now) = moving(50, Duration::from_millis(100));
        assert!(!flow.is_worth_joining(255, PATIENCE, now));
        flow.end();
        assert!(flow.is_worth_joining(255, PATIENCE, now), "it may be another one");
    }

    #[test]
    fn a_queue_that_has_moved_and_stands_is_as_slow_as_that() {
        let (flow, now) = moving(50, Duration::from_millis(10));
        assert!(flow.is_worth_joining(90, PATIENCE, now));
        assert!(!flow.is_worth_joining(90, PATIENCE, now + Duration::from_millis(500)));
    }

    #[test]
    fn who_comes_behind_others_that_wait_in_vain_is_told_at_once() {
        let now = Instant::now();
        let mut flow = Flow::default();
        flow.join(now);
        flow.give_up(now + PATIENCE);
        assert!(!flow.is_worth_joining(1, PATIENCE, now + PATIENCE));
        assert!(flow.is_worth_joining(0, PATIENCE, now + PATIENCE), "somebody has to try");
        assert!(flow.is_worth_joining(1, PATIENCE, now + 2 * PATIENCE), "that was long ago");
        flow.step(now + PATIENCE);
        assert!(flow.is_worth_joining(1, PATIENCE, now + PATIENCE), "it moves again");
    }
}
