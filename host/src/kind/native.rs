//! Handlers that are closures in this process, for embedding and for tests.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::time::timeout_at;

use crate::{
    admission::Slot,
    base::{
        grants::{Allowance, Grants},
        limits::Limits,
        stack::Stack,
    },
    fault::{Fault, Limit},
    handler::{Call, Handler, lanes::CallFuture},
};

/// The future of an answer. Its error is an exception that the closure did not handle.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// A handler in this process.
///
/// Unlike a component, it is not created anew for each request and has no limit except a timeout. Use it for trusted
/// code only.
pub struct Native {
    answer: Arc<dyn for<'a> Fn(&'a mut Call) -> Answering<'a> + Send + Sync>,
    allowance: Arc<Allowance>,
}

impl Native {
    /// Creates a handler that calls `answer` for each exchange.
    #[must_use]
    pub fn new(
        answer: impl for<'a> Fn(&'a mut Call) -> Answering<'a> + Send + Sync + 'static,
        limits: &Limits,
        grants: &Grants,
    ) -> Self {
        Self { answer: Arc::new(answer), allowance: Arc::new(Allowance::new(limits, grants)) }
    }
}

impl Handler for Native {
    fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    fn call(&self, mut call: Call, slot: Slot) -> CallFuture {
        let deadline = slot.stats().began + call.allowance.limits.timeout;
        let answer = Arc::clone(&self.answer);
        CallFuture::new(None, slot, async move {
            let answered = timeout_at(deadline.into(), answer(&mut call)).await;
            let overdue = Fault::TimedOut { limit: Limit::Wall, wait: None, stack: Stack::default() };
            answered.map_or(Err(overdue), |returned| call.conclude(returned))
        })
    }
}
