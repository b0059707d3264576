//! How long a client may keep us waiting.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// A time limit that is set anew with every request and nearly never reached, so that setting it must cost nothing: the
/// timer behind it stays where it is, and is set again only when it fires too early.
pub(super) struct Patience {
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    /// Ends then.
    pub(super) fn until(until: Instant) -> Self {
        Self { until, timer: Box::pin(sleep_until(until)) }
    }

    /// Begins again, now.
    pub(super) fn renew(&mut self, time: Duration) {
        self.until = Instant::now() + time;
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
    }

    /// Ready when it is exhausted.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_renewed_ends_later_or_sooner() {
        let begin = Instant::now();
        let mut patience = Patience::until(begin + Duration::from_secs(10));
        patience.renew(Duration::from_secs(15));
        poll_fn(|cx| patience.poll_end(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 15);
        patience.renew(Duration::from_secs(10));
        patience.renew(Duration::from_secs(2));
        poll_fn(|cx| patience.poll_end(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 17);
    }
}
