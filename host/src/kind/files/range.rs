//! Range requests (RFC 9110 section 14).

/// How many ranges a request may ask for. If it asks for more, it gets the whole file.
const RANGES_MAX: usize = 64;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The position of its first byte.
    pub(super) start: u64,
    /// How many bytes it has.
    pub(super) length: u64,
}

impl Span {
    /// The value of `Content-Range` for this part of a file of this length.
    #[must_use]
    pub(super) fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.start, self.start + self.length - 1)
    }

    /// Leaves out this many bytes at the beginning, at most all of them.
    pub(super) fn skip(&mut self, count: u64) {
        *self = Self { start: self.start + count, length: self.length - count };
    }

    /// Joins two parts that overlap or touch.
    fn join(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.min(other.start), self.end().max(other.end()));
        let touches = self.start <= other.end() && other.start <= self.end();
        touches.then_some(Self { start, length: end - start })
    }

    fn end(self) -> u64 {
        self.start + self.length
    }
}

/// What a request wants of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it, because the field is malformed, has an unknown unit or asks for too many ranges.
    Whole,
    /// Only what is not in it.
    Unsatisfiable,
    /// These parts, in the order of the request; parts that overlap are joined. There is at least one.
    Parts(Vec<Span>),
}

/// Parses the value of `Range` for a file of this length.
#[must_use]
pub(super) fn parse(value: &[u8], length: u64) -> Ranges {
    let Some(specs) = specs(value) else { return Ranges::Whole };
    // No range of an empty file can be expressed, but its last bytes exist as much as those of any other.
    if length == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(1..))) {
        return Ranges::Whole;
    }
    let mut parts: Vec<Span> = Vec::new();
    for mut span in specs.iter().filter_map(|spec| spec.within(length)) {
        // It may close the gap between others.
        let mut place = parts.len();
        while let Some((at, joined)) = parts.iter().enumerate().find_map(|(at, part)| Some((at, part.join(span)?))) {
            span = joined;
            place = place.min(at);
            parts.remove(at);
        }
        parts.insert(place.min(parts.len()), span);
    }
    match parts.is_empty() {
        true => Ranges::Unsatisfiable,
        false => Ranges::Parts(parts),
    }
}

/// A range as the client writes it.
#[derive(Clone, Copy)]
enum Spec {
    /// From the first position to the last one, which may be beyond the end.
    From(u64, u64),
    /// This many bytes at the end.
    Last(u64),
}

impl Spec {
    /// The part of a file of this length, if there is one.
    fn within(self, length: u64) -> Option<Span> {
        let (start, end) = match self {
            Self::From(first, last) => (first, last.saturating_add(1).min(length)),
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (start < end).then(|| Span { start, length: end - start })
    }
}

fn specs(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = str::from_utf8(value).ok()?.split_once('=')?;
    let list = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let specs = list.take(RANGES_MAX + 1).map(spec).collect::<Option<Vec<_>>>()?;
    (unit.trim().eq_ignore_ascii_case("bytes") && (1..=RANGES_MAX).contains(&specs.len())).then_some(specs)
}

fn spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", count) => Some(Spec::Last(number(count)?)),
        (first, "") => Some(Spec::From(number(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, last))
        }
    }
}

/// A number, or the largest one if it is larger: no file is.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: &str, length: u64) -> String {
        match parse(value.as_bytes(), length) {
            Ranges::Whole => "whole".into(),
            Ranges::Unsatisfiable => "none".into(),
            Ranges::Parts(parts) => {
                parts.iter().map(|part| format!("{}+{}", part.start, part.length)).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (value, wanted) in [
            ("bytes=0-499", "0+500"),
            ("bytes=500-999", "500+500"),
            ("bytes=-500", "9500+500"),
            ("bytes=9500-", "9500+500"),
            ("bytes=0-0,-1", "0+1 9999+1"),
            ("bytes= 0-0, 4500-5499, -1000", "0+1 4500+1000 9000+1000"),
            ("bytes=500-600,601-999", "500+500"),
            ("bytes=500-700,601-999", "500+500"),
            ("BYTES=0-", "0+10000"),
            ("bytes=0-99999999999999999999999999", "0+10000"),
            ("bytes=-99999999999999999999999999", "0+10000"),
            ("bytes=9999-9999", "9999+1"),
            ("bytes=10000-", "none"),
            ("bytes=99999999999999999999999999-", "none"),
            ("bytes=-0", "none"),
            ("bytes=20000-30000,5-6", "5+2"),
            ("bytes=10-19,30-39,0-4,20-29", "10+30 0+5"),
            ("bytes=,0-1,,", "0+2"),
        ] {
            assert_eq!(parts(value, 10_000), wanted, "{value}");
        }
        for wrong in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-4",
            "bytes=+1-2",
            "lines=0-1",
            "bytes=0-1,x",
            "bytes=0x1-2",
            "bytes=0-1-2",
            "0-1",
        ] {
            assert_eq!(parts(wrong, 10_000), "whole", "{wrong}");
        }
    }

    #[test]
    fn an_empty_file_has_an_end_but_no_first_byte() {
        assert_eq!(
            (parts("bytes=-5", 0), parts("bytes=0-", 0), parts("bytes=-0", 0)),
            ("whole".into(), "none".into(), "none".into())
        );
    }

    #[test]
    fn many_ranges_are_the_whole_file() {
        let many = |count: u64| (0..count).map(|at| format!("{}-{}", 2 * at, 2 * at)).collect::<Vec<_>>().join(",");
        assert_eq!(parts(&format!("bytes={}", many(64)), 10_000).split(' ').count(), 64);
        assert_eq!(parts(&format!("bytes={}", many(65)), 10_000), "whole");
    }
}
