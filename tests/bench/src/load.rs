//! The load generator: connections that ask, wait for the answer, check it and ask again. It is one thread, so that the
//! server has the other cores; and it is part of the program, so that anyone can run it.

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

/// Longer requests are written while their answers are read: a server that sends back what it gets would wait for us
/// else, and we for it.
const SHORT: usize = 16 << 10;

/// Who asks for what, and for how long.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// The server.
    pub addr: SocketAddr,
    /// What is asked for, in turn.
    pub exercises: &'a [Exercise],
    /// How many ask at the same time.
    pub connections: usize,
    /// How long they ask before it counts.
    pub warmup: Duration,
    /// How long it counts.
    pub turn: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Right answers in the time that counts.
    pub answered: u64,
    /// Requests without a right answer, at any time.
    pub failed: u64,
    /// What happened to the first of them.
    pub failure: Option<String>,
    /// How long that time was in the end.
    pub took: Duration,
    /// What the server has computed in it.
    pub cpu: Cpu,
    /// How long each answer took, in order.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// What so many of a hundred took at most.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).copied().unwrap_or_default()
    }

    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.per_answer(1.0) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Microseconds that the server has computed for one answer: in the program, and in the system.
    #[must_use]
    pub fn cost(&self) -> (f64, f64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.per_answer(1.0).max(1.0);
        (each(self.cpu.user), each(self.cpu.system))
    }

    #[expect(clippy::cast_precision_loss, reason = "there are fewer answers than a float has digits")]
    fn per_answer(&self, factor: f64) -> f64 {
        self.answered as f64 * factor
    }
}

/// Asks, and says what came of it. Blocks for as long as that takes.
///
/// # Errors
///
/// The system gives us nothing to ask with.
pub fn run(load: &Load<'_>, server: &Family) -> Result<Outcome> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, ask(load, server)))
}

/// What connections share.
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
    /// Asks until it is aborted. A connection that the server closes behind an answer is replaced by a new one.
    async fn run(self, number: usize) {
        let mut turn = number;
        loop {
            if let Err(problem) = self.converse(&mut turn).await {
                self.shared.fail(problem);
                // A server that refuses everything is not asked at full speed.
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
    fn percentiles_and_costs_are_those_of_the_answers() {
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
