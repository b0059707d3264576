//! Calls without a network, for tools that count instructions or create profiles.

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::{exercise::Exercise, life::Life, spread::Rounded};

/// Calls a guest this many times, and prints the CPU time of a call.
///
/// # Errors
///
/// There is no such guest, or it fails.
pub(super) fn run(guest: &str, count: u64) -> Result<()> {
    let exercises = Exercise::all();
    let exercise = exercises.iter().find(|exercise| exercise.guest == guest);
    let mut life = Life::new(exercise.with_context(|| format!("no exercise uses the guest `{guest}`"))?)?;
    life.call()?;
    let began = computed();
    for _ in 0..count {
        life.call()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let each = (computed() - began) * 1e6 / count.max(1) as f64;
    super::progress(&format!("{count} calls of {guest}: {} µs of CPU each", Rounded(each)));
    Ok(())
}

/// The CPU time of this process in seconds.
#[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
fn computed() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
