//! Records what the host answers where that varies, and answers the same again in a replay.
//!
//! Only for exchanges that are captured: others use what wasmtime provides.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chacha20::{ChaCha12Rng, rand_core::SeedableRng as _};
use wasmserve_gateway::input::{Input, ReadError};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};
use wasmtime_wasi_io::{bindings::wasi::io::poll, poll::DynPollable};

use crate::capture::{recording::Recording, script::Call};

/// Has a context take time and randomness from the recording, which records them or plays those of its original.
pub(super) fn vary(ctx: &mut WasiCtxBuilder, recording: &Recording) {
    let played = recording.player().and_then(|player| <[u8; 32]>::try_from(&player.script().seed[..]).ok());
    let seed = played.unwrap_or_else(|| {
        let mut seed = [0; 32];
        // Without randomness there is no instance either: wasmtime's own would end the process.
        getrandom::fill(&mut seed).unwrap_or_else(|error| unreachable!("the system has randomness: {error}"));
        seed
    });
    recording.begin_script(seed.to_vec());
    // Three generators from one seed, which have nothing in common.
    let mut seeds = ChaCha12Rng::from_seed(seed);
    ctx.secure_random(ChaCha12Rng::from_rng(&mut seeds)).insecure_random(ChaCha12Rng::from_rng(&mut seeds));
    let mut insecure = [0; 16];
    chacha20::rand_core::Rng::fill_bytes(&mut seeds, &mut insecure);
    ctx.insecure_random_seed(u128::from_le_bytes(insecure));
    ctx.wall_clock(Wall { recording: recording.clone(), clock: wasmtime_wasi::clocks::wall_clock() });
    ctx.monotonic_clock(Monotonic { recording: recording.clone(), clock: wasmtime_wasi::clocks::monotonic_clock() });
}

struct Wall {
    recording: Recording,
    clock: Box<dyn HostWallClock + Send>,
}

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        self.clock.resolution()
    }

    fn now(&self) -> Duration {
        let played = played(&self.recording, "the time of day", |call| match call {
            Call::Wall(time) => Some(Duration::from_nanos(*time)),
            _ => None,
        });
        let now = played.unwrap_or_else(|| self.clock.now());
        self.recording.call(Call::Wall(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)));
        now
    }
}

struct Monotonic {
    recording: Recording,
    clock: Box<dyn HostMonotonicClock + Send>,
}

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        self.clock.resolution()
    }

    fn now(&self) -> u64 {
        let played = played(&self.recording, "the monotonic clock", |call| match call {
            Call::Monotonic(time) => Some(*time),
            _ => None,
        });
        let now = played.unwrap_or_else(|| self.clock.now());
        self.recording.call(Call::Monotonic(now));
        now
    }
}

/// The result of the next call in the original, if this is a replay that follows it.
pub(super) fn played<T>(recording: &Recording, asked: &str, fits: impl FnOnce(&Call) -> Option<T>) -> Option<T> {
    recording.player().and_then(|player| player.next(asked, fits))
}

/// Waits for one of these to be ready. In a replay, for those that were ready in the original.
///
/// # Errors
///
/// The handler passes a list that it must not.
pub(super) async fn poll(
    table: &mut ResourceTable,
    recording: Option<&Recording>,
    pollables: Vec<Resource<DynPollable>>,
) -> wasmtime::Result<Vec<u32>> {
    let Some(recording) = recording else { return poll::Host::poll(table, pollables).await };
    let ready = played(recording, "what is ready", |call| match call {
        Call::Ready(ready) if ready.iter().all(|index| (*index as usize) < pollables.len()) => Some(ready.clone()),
        _ => None,
    });
    let ready = match ready {
        Some(ready) => {
            for index in &ready {
                let pollable = Resource::new_borrow(pollables[*index as usize].rep());
                poll::HostPollable::block(table, pollable).await?;
            }
            ready
        }
        None => poll::Host::poll(table, pollables).await?,
    };
    recording.call(Call::Ready(ready.clone()));
    Ok(ready)
}

/// Reads at most `max` bytes of the request's body. In a replay, as many as in the original.
///
/// # Errors
///
/// The client has left, or what it sent is not a body.
pub(super) async fn read(input: &mut Input, recording: Option<&Recording>, max: usize) -> Result<Bytes, ReadError> {
    let Some(recording) = recording else { return input.read(max).await };
    let wanted = played(recording, "the body", |call| match call {
        Call::Read(length) if *length <= max => Some(*length),
        _ => None,
    });
    let read = match wanted {
        Some(wanted) if wanted > 0 => read_again(input, wanted).await,
        _ => input.read(max).await,
    };
    recording.call(Call::Read(read.as_ref().map_or(0, Bytes::len)));
    read
}

/// Reads this many bytes, which may arrive in other pieces than in the original.
async fn read_again(input: &mut Input, wanted: usize) -> Result<Bytes, ReadError> {
    // The number comes from a file.
    let mut read = BytesMut::with_capacity(wanted.min(64 << 10));
    while read.len() < wanted {
        let piece = input.read(wanted - read.len()).await?;
        if piece.is_empty() {
            break;
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}
