//! Parsers for the values of flags.

use std::{
    env::{self, VarError},
    ffi::OsString,
    io::{self, IsTerminal},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use clap::builder::{OsStringValueParser, TypedValueParser};
use http::HeaderValue;
use wasmserve_gateway::{environ::Variable, mounts::Mount};

use crate::{
    base::{address::PartialAddress, limits::Limits, size},
    kind::wasm::settings::INSTANCES_MAX,
    source::locate::{Named, split_once},
    viewer::door::Token,
};

/// Whether stderr is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a stream shows colours: if it is a terminal that has them, unless `NO_COLOR` or `CLICOLOR=0` forbids or
/// `CLICOLOR_FORCE` or `FORCE_COLOR` demands them (<https://no-color.org>, <https://force-color.org>). That a
/// continuous integration runs the server says nothing about its terminal.
pub(super) fn is_colorful(stream: &impl IsTerminal) -> bool {
    let value = |name| env::var_os(name).filter(|value| !value.is_empty());
    let is_zero = |value: OsString| value == "0";
    if value("NO_COLOR").is_some() {
        return false;
    }
    if let Some(force) = value("FORCE_COLOR") {
        return !is_zero(force);
    }
    if value("CLICOLOR_FORCE").is_some_and(|force| !is_zero(force)) {
        return true;
    }
    let has_colors = || env::var_os("TERM").map_or(cfg!(windows), |term| term != "dumb");
    !value("CLICOLOR").is_some_and(is_zero) && stream.is_terminal() && has_colors()
}

/// Parses a mount, as in `/app=app.wasm`. The handler's path need not be UTF-8.
pub(super) fn mount() -> impl TypedValueParser<Value = (Mount, Named)> {
    OsStringValueParser::new().try_map(|text| match split_once(&text, '=') {
        Some((path, handler)) if !handler.is_empty() => Ok((path.parse()?, handler.into())),
        _ => Err(String::from("write PATH=HANDLER, as in /app=app.wasm")),
    })
}

/// An argument of a program.
pub(super) fn word(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A variable, as in `NAME=VALUE`, or `NAME` for one of the server's own environment.
pub(super) fn variable(text: &str) -> Result<Variable, String> {
    if text.starts_with('/') {
        return Err("write NAME=VALUE, or NAME for a variable of the server's environment".into());
    }
    if text.contains('=') {
        return text.parse();
    }
    // Checks the name first.
    format!("{text}=").parse::<Variable>()?;
    match env::var(text) {
        Ok(value) => format!("{text}={value}").parse(),
        Err(VarError::NotPresent) => {
            Err(format!("the server's environment has no `{text}`; set it, or write {text}=VALUE"))
        }
        Err(VarError::NotUnicode(_)) => Err(format!("the value of `{text}` in the server's environment is not UTF-8")),
    }
}

/// An address for the metrics, which must not be reachable from other machines.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let PartialAddress { host, port, .. } = text.parse()?;
    let ip = match host.as_deref() {
        None | Some("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Some(host) => host.parse().ok().filter(IpAddr::is_loopback),
    };
    match (ip, port) {
        (Some(ip), Some(port)) => Ok(SocketAddr::new(ip, port)),
        _ => Err("it must be a port, or a loopback address and a port, as in 127.0.0.1:9000".into()),
    }
}

/// A host that the viewer may be reached under, as in the field Host: a name or an address, with a port or without.
pub(super) fn viewer_host(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    match text {
        "" => Err("write a name, as in box.example or box.example:8443".into()),
        text if text.contains("://") => {
            Err("write the name without http:// and without a path, as in box.example".into())
        }
        text if !text.bytes().all(is_part) => Err("write a name, as in box.example or box.example:8443".into()),
        text => Ok(text.to_ascii_lowercase()),
    }
}

/// The viewer's token, if the environment has one.
pub(super) fn viewer_token() -> Result<Option<Token>, String> {
    const NAME: &str = "WASMSERVE_UI_TOKEN";
    match env::var(NAME) {
        Ok(token) => Token::new(token).map(Some).map_err(|why| format!("{NAME}: {why}")),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{NAME}: it is not UTF-8")),
    }
}

/// The memory for captures.
pub(super) fn capture_memory(text: &str) -> Result<usize, String> {
    match usize::try_from(size::parse(text)?) {
        Ok(bytes) if bytes >= 1 << 20 => Ok(bytes),
        _ => Err("it must be at least 1MiB".into()),
    }
}

/// A number of exchanges, limited by the number of instances in the pool.
pub(super) fn exchanges(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=INSTANCES_MAX) => Ok(number),
        _ => Err(format!("it must be from 1 to {INSTANCES_MAX}")),
    }
}

/// A number of fields, limited because hyper allocates a table for them in advance.
pub(super) fn fields(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("it must be from 1 to 1000".into()),
    }
}

/// Any whole number, including `0`.
pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "write a whole number, as in 100".into())
}

/// A count of at least 1.
pub(super) fn times(text: &str) -> Result<u64, String> {
    match number(text)? {
        0 => Err("it must be at least 1".into()),
        times => Ok(times),
    }
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

/// A duration for `SO_LINGER`, which is in whole seconds.
pub(super) fn linger(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    match duration(text)? {
        duration if duration.subsec_nanos() == 0 => Ok(duration),
        _ => Err("it must be whole seconds, as in 1s".into()),
    }
}

/// A duration, as in `500ms`, `30s`, `2m` or `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "" if !number.is_empty() => return Err(format!("add a unit, as in {number}s, {number}ms or {number}m")),
        _ => return Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)) {
        None => Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
        Some(0) => Err("it must be more than 0".into()),
        // Longer than any use, and far below what overflows an `Instant`.
        Some(millis) if millis > 365 * 24 * 60 * 60 * 1000 => Err("it must be at most a year".into()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// A duration, or `none` for no limit.
pub(super) fn limit(text: &str) -> Result<Duration, String> {
    match text {
        "none" => Ok(Limits::UNLIMITED),
        "0" | "0s" => Err("it must be more than 0; write none for no limit".into()),
        _ => duration(text),
    }
}

/// A size, or `none` for no limit.
pub(super) fn size_limit(text: &str) -> Result<u64, String> {
    if text == "none" { Ok(u64::MAX) } else { size::parse(text) }
}

/// Formats a duration so that [`duration`] can parse it.
pub(super) fn duration_text(duration: Duration) -> String {
    match (duration.as_millis(), duration.as_secs()) {
        (millis, _) if millis % 1000 != 0 => format!("{millis}ms"),
        (_, seconds) => format!("{seconds}s"),
    }
}

/// The size of a stack, limited because stacks are reserved for all instances.
pub(super) fn stack_size(text: &str) -> Result<usize, String> {
    match size::parse(text)? {
        size @ 65_536..=67_108_864 => usize::try_from(size).map_err(|_| "it is too large".into()),
        _ => Err("it must be from 64KiB to 64MiB".into()),
    }
}

/// A size for logs, limited because lines wait in memory.
pub(super) fn log_size(text: &str) -> Result<usize, String> {
    match size::parse(text)? {
        size @ 64..=1_073_741_824 => usize::try_from(size).map_err(|_| "it is too large".into()),
        _ => Err("it must be from 64 to 1GiB".into()),
    }
}

/// The size of a head, limited because it is buffered as a whole.
pub(super) fn head_size(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        size if (1024..=1 << 20).contains(&size) => Ok(size),
        _ => Err("it must be from 1KiB to 1MiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_at_a_loopback_address() {
        for (text, addr) in [
            ("9000", "127.0.0.1:9000"),
            (":9000", "127.0.0.1:9000"),
            ("localhost:0", "127.0.0.1:0"),
            ("127.0.0.2:9000", "127.0.0.2:9000"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(loopback(text).map(|addr| addr.to_string()).as_deref(), Ok(addr), "{text}");
        }
        for wrong in ["0.0.0.0:9000", "127.0.0.1", "example.org:80", "", "http://localhost:9000"] {
            assert!(loopback(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn none_is_no_limit() {
        assert_eq!((limit("none"), limit("5s")), (Ok(Limits::UNLIMITED), Ok(Duration::from_secs(5))));
        assert_eq!((size_limit("none"), size_limit("1KiB")), (Ok(u64::MAX), Ok(1024)));
        for zero in ["0", "0s"] {
            assert!(limit(zero).is_err_and(|error| error.contains("write none for no limit")), "{zero:?}");
        }
        for wrong in ["None", "-1", ""] {
            assert!(limit(wrong).is_err() && size_limit(wrong).is_err(), "{wrong:?}");
        }
        // Moments can be computed with it.
        let now = std::time::Instant::now();
        assert_eq!((now + Limits::UNLIMITED) - now, Limits::UNLIMITED);
    }

    #[test]
    fn units_are_part_of_the_value() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["500ms", "30s", "1500ms"] {
            assert_eq!(duration(text).map(duration_text).as_deref(), Ok(text));
        }
        for wrong in ["", "s", "5", "5 s", "-5s", "99999999999999999999s", "0s", "9999999h"] {
            assert!(duration(wrong).is_err(), "{wrong:?} is not a duration");
        }
    }
}
