//! A filter for people who test clients: answers late, slowly, wrongly or not at all. `--wrap delay-and-fail`.
//!
//! ```sh
//! wasmserve api.rs --wrap delay-and-fail,delay=100ms..2s,fail=10%
//! wasmserve api.rs --wrap delay-and-fail,method=POST,fail=100%,status=503,status=429
//! wasmserve api.rs --wrap delay-and-fail,path=/download/*,drip=1000/100ms,cut=5%,cut-after=20000
//! ```

use std::{
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wasmserve_guest::{filter::*, prelude::*};

filter!(DelayAndFail);

struct DelayAndFail {
    /// How long to wait before the handler is called: at least, and at most.
    delay: (Duration, Duration),
    /// How many requests out of a million get an error, and which.
    fail: u32,
    statuses: Vec<u16>,
    /// How many bytes of a body to send at once, and how long to wait in between.
    drip: Option<(usize, Duration)>,
    /// How many requests out of a million are cut, and after how many bytes.
    cut: u32,
    cut_after: usize,
    /// To which requests this applies: all, if they are empty.
    methods: Vec<String>,
    paths: Vec<String>,
    /// Makes the same requests fail each time.
    seed: Option<u64>,
    /// Whether it applies to this request.
    applies: bool,
    is_cut: bool,
    sent: usize,
}

impl Filter for DelayAndFail {
    fn new(options: &Options) -> Result<Self> {
        let statuses: Vec<u16> = options.all("status").map(status).collect::<Result<_>>()?;
        let cut_after = options.parse::<usize>("cut-after")?;
        let filter = Self {
            delay: options.get("delay").map_or(Ok(Default::default()), delay)?,
            fail: share(options, "fail")?,
            statuses: if statuses.is_empty() { vec![500] } else { statuses.clone() },
            drip: options.get("drip").map(drip).transpose()?,
            cut: share(options, "cut")?,
            cut_after: cut_after.unwrap_or(1).max(1),
            methods: options.all("method").map(str::to_ascii_uppercase).collect(),
            paths: options.all("path").map(str::to_owned).collect(),
            seed: options.parse("seed")?,
            applies: false,
            is_cut: false,
            sent: 0,
        };
        if let Some(wrong) = filter.paths.iter().find(|path| !path.starts_with(['/', '*'])) {
            return Err(format!("`path` cannot be `{wrong}`: it begins with / as in path=/api/*").into());
        }
        if filter.fail == 0 && !statuses.is_empty() {
            return Err("`status` says how to fail, and nothing fails; add fail=10% or another share".into());
        }
        if filter.cut == 0 && cut_after.is_some() {
            return Err("`cut-after` says where to cut, and nothing is cut; add cut=10% or another share".into());
        }
        Ok(filter)
    }

    fn before(&mut self, request: &mut Request) -> Result<Next> {
        let is_method = self.methods.is_empty() || self.methods.iter().any(|method| method == request.method());
        let is_path = self.paths.is_empty() || self.paths.iter().any(|path| matches(path, request.path()));
        self.applies = is_method && is_path;
        if !self.applies {
            return Ok(Next::Forward);
        }
        let mut random = Random::new(self.seed, request.get("wasmserve.request_id").unwrap_or_default().as_str());
        let (least, most) = self.delay;
        let delay = least + (most - least).mul_f64(f64::from(random.below(1_000_001)) / 1e6);
        if !delay.is_zero() {
            sleep(delay);
        }
        self.is_cut = random.below(1_000_000) < self.cut;
        if random.below(1_000_000) < self.fail {
            let at = random.below(u32::try_from(self.statuses.len())?);
            let status = self.statuses[usize::try_from(at)?];
            let text = format!("{status}, made by delay-and-fail\n");
            return Ok(Next::Answer(Response::text(text).with_status(status)));
        }
        Ok(Next::Forward)
    }

    fn head(&mut self, _head: &mut Head) -> Body {
        // The length stays, so that the client knows that something is missing.
        if self.applies && (self.is_cut || self.drip.is_some()) { Body::SameLength } else { Body::Same }
    }

    fn write(&mut self, chunk: &[u8], output: &mut Output) -> Result<(), WriteError> {
        let left = if self.is_cut { self.cut_after.saturating_sub(self.sent) } else { usize::MAX };
        let fits = &chunk[..chunk.len().min(left)];
        let (size, pause) = self.drip.unwrap_or((usize::MAX, Duration::ZERO));
        for drop in fits.chunks(size) {
            if self.sent > 0 && !pause.is_zero() {
                output.flush()?;
                sleep(pause);
            }
            output.write(drop)?;
            self.sent += drop.len();
        }
        if fits.len() < chunk.len() {
            output.flush()?;
            // The handler need not go on.
            return Err(WriteError::Disconnected);
        }
        Ok(())
    }

    fn after(&mut self, outcome: &mut Outcome) {
        // An error after the head cuts the connection, so that no client takes the response for complete.
        if self.is_cut && self.sent >= self.cut_after {
            outcome.result = Err(format!("cut after {} bytes by delay-and-fail", self.sent));
        }
    }
}

/// A duration, or two with `..` in between.
fn delay(text: &str) -> Result<(Duration, Duration)> {
    let wrong = || format!("`delay` cannot be `{text}`: write a duration or a range, as in 200ms or 100ms..2s");
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (duration(least).ok_or_else(wrong)?, duration(most).ok_or_else(wrong)?);
    if least > most { Err(wrong().into()) } else { Ok((least, most)) }
}

/// A number of bytes and a duration, with `/` in between.
fn drip(text: &str) -> Result<(usize, Duration)> {
    let wrong = || format!("`drip` cannot be `{text}`: write bytes and a pause, as in 10/100ms");
    let (size, pause) = text.split_once('/').ok_or_else(wrong)?;
    let size = size.trim().trim_end_matches('B').parse().ok().filter(|size| *size > 0).ok_or_else(wrong)?;
    Ok((size, duration(pause).ok_or_else(wrong)?))
}

/// A share in percent, as a number out of a million. Without a value it is all.
fn share(options: &Options, name: &str) -> Result<u32> {
    let Some(text) = options.get(name) else { return Ok(0) };
    let number = match text {
        "" => Some(100.0),
        text => text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()),
    };
    match number.filter(|number| (0.0..=100.0).contains(number)) {
        Some(number) => Ok((number * 10_000.0).round() as u32),
        None => Err(format!("`{name}` cannot be `{text}`: write a share from 0% to 100%, as in {name}=10%").into()),
    }
}

fn status(text: &str) -> Result<u16> {
    let status = text.parse().ok().filter(|status| (400..=599).contains(status));
    status.ok_or_else(|| format!("`status` cannot be `{text}`: write one from 400 to 599").into())
}

/// Parses a number with its unit.
fn duration(text: &str) -> Option<Duration> {
    Options::parse_duration(text)
}

/// Whether a path is the one that is meant. A `*` stands for any text.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Random numbers: SplitMix64.
struct Random(u64);

impl Random {
    /// With a seed, the number of the request decides. Otherwise the clock does, and the address of the memory.
    fn new(seed: Option<u64>, request: &str) -> Self {
        let number = request.bytes().fold(0_u64, |number, byte| number.wrapping_mul(257).wrapping_add(byte.into()));
        let start = seed.unwrap_or_else(|| {
            let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
            (nanoseconds ^ (nanoseconds >> 64)) as u64
        });
        let mut random = Self(start ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.next() as u32) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn app(_environ: Environ) -> &'static str {
        "0123456789"
    }

    fn call(options: &[(&str, &str)], variables: &[(&str, &str)]) -> testing::Answer {
        let environ = variables.iter().fold(Environ::for_test([]), |environ, (name, value)| environ.with(name, *value));
        testing::call_behind::<DelayAndFail, _>(options, app, environ)
    }

    #[test]
    fn a_share_of_requests_fails_and_a_seed_decides_which() {
        let failed = |seed: &str| -> Vec<bool> {
            let options = [("fail", "30%"), ("status", "503"), ("status", "429"), ("seed", seed)];
            let ids = (1..=200).map(|id| id.to_string());
            ids.map(|id| call(&options, &[("wasmserve.request_id", &id)]).status != "200 OK").collect()
        };
        let count = failed("7").iter().filter(|failed| **failed).count();
        assert!((30..90).contains(&count), "{count} of 200 failed");
        assert_eq!(failed("7"), failed("7"));
        assert_ne!(failed("7"), failed("8"));
        assert_eq!(call(&[("fail", "")], &[]).status, "500 Internal Server Error");
        assert_eq!(call(&[("fail", "0%")], &[]).status, "200 OK");
    }

    #[test]
    fn only_the_named_methods_and_paths_are_disturbed() {
        let options = [("fail", "100%"), ("method", "post"), ("path", "/api/*"), ("path", "*.json")];
        for (method, path, fails) in [
            ("POST", "/api/a", true),
            ("POST", "/a.json", true),
            ("GET", "/api/a", false),
            ("POST", "/apis", false),
            ("POST", "/a.jsonl", false),
        ] {
            let answer = call(&options, &[("REQUEST_METHOD", method), ("PATH_INFO", path)]);
            assert_eq!(answer.status != "200 OK", fails, "{method} {path}");
        }
    }

    #[test]
    fn a_drip_sends_a_body_in_drops() {
        let began = Instant::now();
        let answer = call(&[("drip", "4/1ms")], &[]);
        assert_eq!(answer.chunks, [b"0123".to_vec(), b"4567".to_vec(), b"89".to_vec()]);
        assert_eq!(answer.fault, None);
        assert!(began.elapsed() >= Duration::from_millis(2));
    }

    #[test]
    fn a_cut_response_is_a_failed_one() {
        let answer = call(&[("cut", "100%"), ("cut-after", "4")], &[]);
        assert_eq!((answer.body, answer.fault), (b"0123".to_vec(), Some("cut after 4 bytes by delay-and-fail".into())));
    }

    #[test]
    fn a_delay_is_waited_for() {
        let began = Instant::now();
        call(&[("delay", "2ms..5ms")], &[]);
        assert!(began.elapsed() >= Duration::from_millis(2));
    }

    #[test]
    fn a_star_in_a_path_stands_for_any_text() {
        for (pattern, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a/*", "/a/", true),
            ("*", "/x", true),
            ("/a/*/c", "/a/b/b/c", true),
            ("/a*b*c", "/axxbxxc", true),
            ("/a*b*c", "/axxcxxb", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
