//! Calls without a network, for tools that count instructions or take profiles.

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::{exercise::Exercise, life::Life, spread::Rounded};

/// Calls a guest so many times, and says what each took.
///
/// # Errors
///
/// There is no such guest, or it does not answer well.
pub(super) fn run(guest: &str, count: u64) -> Result<()> {
    let exercises = Exercise::all();
    let exercise = exercises.iter().find(|exercise| exercise.guest == guest);
    let mut life = Life::new(exercise.with_context(|| format!("no exercise is for a guest `{guest}`"))?)?;
    life.call()?;
    let began = computed();
    for _ in 0..count {
        life.call()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
    let each = (computed() - began) * 1e6 / count.max(1) as f64;
    super::tell(&format!("{count} calls of {guest}: {} µs of CPU each", Rounded(each)));
    Ok(())
}

/// Seconds that this process has computed.
#[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
fn computed() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
