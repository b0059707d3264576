//! The load generator: connections that send a request, wait for the response, check it and repeat.
//!
//! It uses one thread, so that the server has the other cores, and it is part of the program, so that it needs no
//! installation.

mod answer;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, runtime::Builder, task::LocalSet, time::sleep};

use self::answer::{Answers, Next};
use crate::{
    exercise::Exercise,
    process::{Cpu, Family},
};

/// Longer requests are written while their responses are read. Otherwise an echoing server and the load generator would
/// wait for each other.
const SHORT: usize = 16 << 10;

/// A load: its target, its requests and its duration.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// The server.
    pub addr: SocketAddr,
    /// The requests, used in turn.
    pub exercises: &'a [Exercise],
    /// How many connections send requests at the same time.
    pub connections: usize,
    /// How long to send requests before measuring.
    pub warmup: Duration,
    /// How long to measure.
    pub turn: Duration,
}

/// The result of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Correct responses while measuring.
    pub answered: u64,
    /// Requests without a correct response, at any time.
    pub failed: u64,
    /// The reason of the first failure.
    pub failure: Option<String>,
    /// How long the measurement took.
    pub took: Duration,
    /// The server's CPU time while measuring.
    pub cpu: Cpu,
    /// The latencies, in ascending order.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// A percentile of the latencies.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).copied().unwrap_or_default()
    }

    /// Responses per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.per_answer(1.0) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The server's CPU time per response in microseconds: in the program, and in the system.
    #[must_use]
    pub fn cost(&self) -> (f64, f64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.per_answer(1.0).max(1.0);
        (each(self.cpu.user), each(self.cpu.system))
    }

    #[expect(clippy::cast_precision_loss, reason = "the counts are far below 2^53")]
    fn per_answer(&self, factor: f64) -> f64 {
        self.answered as f64 * factor
    }
}

/// Runs a load, and returns its result. Blocks until it is done.
///
/// # Errors
///
/// The system cannot provide a runtime.
pub fn run(load: &Load<'_>, server: &Family) -> Result<Outcome> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, ask(load, server)))
}

/// The state that connections share.
#[derive(Default)]
struct Shared {
    counts: Cell<bool>,
    outcome: RefCell<Outcome>,
}

impl Shared {
    fn answered(&self, latency: Duration) {
        if self.counts.get() {
            let mut outcome = self.outcome.borrow_mut();
            outcome.answered += 1;
            outcome.latencies.push(latency);
        }
    }

    fn fail(&self, problem: String) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.failed += 1;
        outcome.failure.get_or_insert(problem);
    }
}

async fn ask(load: &Load<'_>, server: &Family) -> Outcome {
    let shared = Rc::<Shared>::default();
    let exercises: Rc<[Exercise]> = load.exercises.into();
    let clients: Vec<_> = (0..load.connections)
        .map(|number| {
            let client = Client { addr: load.addr, exercises: Rc::clone(&exercises), shared: Rc::clone(&shared) };
            tokio::task::spawn_local(client.run(number))
        })
        .collect();
    sleep(load.warmup).await;
    let (began, before) = (Instant::now(), server.cpu());
    shared.counts.set(true);
    sleep(load.turn).await;
    shared.counts.set(false);
    let (cpu, took) = (server.cpu().since(before), began.elapsed());
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    let mut outcome = shared.outcome.take();
    outcome.latencies.sort_unstable();
    Outcome { took, cpu, ..outcome }
}

struct Client {
    addr: SocketAddr,
    exercises: Rc<[Exercise]>,
    shared: Rc<Shared>,
}

impl Client {
    /// Sends requests until it is aborted. Reconnects if the server closes the connection after a response.
    async fn run(self, number: usize) {
        let mut turn = number;
        loop {
            if let Err(problem) = self.converse(&mut turn).await {
                self.shared.fail(problem);
                // Slow down if the server refuses every request.
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn converse(&self, turn: &mut usize) -> Result<(), String> {
        let mut began = Instant::now();
        let mut stream = TcpStream::connect(self.addr).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (reader, mut writer) = stream.split();
        let mut answers = Answers::new(reader);
        loop {
            let Exercise { request, expected, .. } = &self.exercises[*turn % self.exercises.len()];
            *turn += 1;
            let next = if request.len() <= SHORT {
                writer.write_all(request).await.map_err(|error| format!("write: {error}"))?;
                answers.next(expected).await?
            } else {
                let written = async { writer.write_all(request).await.map_err(|error| format!("write: {error}")) };
                tokio::try_join!(written, answers.next(expected))?.1
            };
            let now = Instant::now();
            self.shared.answered(now.duration_since(began));
            match next {
                Next::Closes => return Ok(()),
                Next::GoesOn => began = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_costs_come_from_the_responses() {
        let outcome = Outcome {
            answered: 200,
            took: Duration::from_secs(2),
            cpu: Cpu { user: Duration::from_millis(4), system: Duration::from_millis(2) },
            latencies: (1..=200).map(Duration::from_millis).collect(),
            ..Outcome::default()
        };
        assert_eq!([50, 99].map(|percent| outcome.percentile(percent).as_millis()), [100, 198]);
        assert_eq!((outcome.rate(), outcome.cost()), (100.0, (20.0, 10.0)));
    }
}
