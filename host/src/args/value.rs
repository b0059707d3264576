//! What values of flags look like.

use std::{
    env,
    io::{self, IsTerminal as _},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use http::HeaderValue;

use crate::{gateway::mounts::Mount, handler::INSTANCES_MAX};

/// Whether stderr is a terminal whose user has nothing against colours (<https://no-color.org>).
pub(super) fn is_colorful() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// `/app=app.wasm`.
pub(super) fn mount(text: &str) -> Result<(Mount, PathBuf), String> {
    match text.split_once('=') {
        Some((path, file)) if !file.is_empty() => Ok((path.parse()?, file.into())),
        _ => Err("write PATH=HANDLER, as in /app=app.wasm".into()),
    }
}

/// What the statistics tell is nobody else's business.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.ip().is_loopback() => Ok(addr),
        _ => Err("it must be a loopback address and a port, as in 127.0.0.1:9000".into()),
    }
}

/// No more than instances fit into the pool.
pub(super) fn exchanges(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=INSTANCES_MAX) => Ok(number),
        _ => Err(format!("it must be from 1 to {INSTANCES_MAX}")),
    }
}

/// hyper keeps the fields of a head in a table that it allocates beforehand.
pub(super) fn fields(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("it must be from 1 to 1000".into()),
    }
}

/// Any number, `0` included.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "write a whole number, as in 100".into())
}

/// How often something is to happen.
pub(super) fn times(text: &str) -> Result<u64, String> {
    match number(text)? {
        0 => Err("it must be at least 1".into()),
        times => Ok(times),
    }
}

pub(super) fn proxy(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "write IP addresses, as in 127.0.0.1,::1".into())
}

pub(super) fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("it must be from 1 to 1000000".into()),
    }
}

pub(super) fn server_header(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| "it must be printable ASCII".into())
}

/// A duration for the kernel, which counts whole seconds.
pub(super) fn linger(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    match duration(text)? {
        duration if duration.subsec_nanos() == 0 => Ok(duration),
        _ => Err("it must be whole seconds".into()),
    }
}

/// `30s`, `500ms`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)) {
        None => Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
        Some(0) => Err("it must be more than nothing".into()),
        // Far beyond any use, and far below what an `Instant` can take.
        Some(millis) if millis > 365 * 24 * 60 * 60 * 1000 => Err("it must be at most a year".into()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// `512`, `64KiB`, `128MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("write a number and a unit, as in 512, 64KiB, 128MiB or 1GiB".into()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "write a number and a unit, as in 512, 64KiB, 128MiB or 1GiB".into())
}

/// Stacks are reserved for all instances that may run, so they are bounded.
pub(super) fn stack_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        size @ 65_536..=67_108_864 => usize::try_from(size).map_err(|_| "it is too large".into()),
        _ => Err("it must be from 64KiB to 64MiB".into()),
    }
}

/// What is logged waits in memory.
pub(super) fn log_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        size @ 64..=1_073_741_824 => usize::try_from(size).map_err(|_| "it is too large".into()),
        _ => Err("it must be from 64 to 1GiB".into()),
    }
}

/// A head is buffered whole, so it is bounded on both sides.
pub(super) fn head_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        size if (1024..=1 << 20).contains(&size) => Ok(size),
        _ => Err("it must be from 1KiB to 1MiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_part_of_the_value() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("7"), Ok(7));
        for wrong in ["", "s", "5", "5 s", "-5s", "99999999999999999999s", "0s", "9999999h"] {
            assert!(duration(wrong).is_err(), "{wrong:?} is no duration");
        }
        for wrong in ["", "KiB", "5KB", "5k", "-5", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong:?} is no size");
        }
    }
}
