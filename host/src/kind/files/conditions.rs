//! Validators of files, and conditional requests (RFC 9110 sections 8.8 and 13).

use std::{
    fs::Metadata,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use httpdate::{fmt_http_date, parse_http_date};
use wasmserve_gateway::{
    field::{Field, quoted_elements, trim},
    request::RequestHead,
};

/// How long after a change a file may change again with the same time: the clock of file systems ticks some hundred
/// times a second; some store whole seconds, and the oldest only every other one.
const TICK: Duration = Duration::from_millis(20);
const COARSE_TICK: Duration = Duration::from_secs(2);

/// The last moment that a date of HTTP can express.
const LAST_DATE: u64 = 253_402_300_799;

/// What identifies a version of a file.
#[derive(Debug)]
pub(super) struct Validators {
    /// The entity tag, in quotes.
    etag: String,
    /// Whether the tag changes with every byte.
    is_strong: bool,
    /// The time of the last change in whole seconds; `None` if there is no date for it, or it is in the future.
    modified: Option<SystemTime>,
}

/// What the conditions of a request ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file, or the part of it that `Range` names.
    Send {
        /// Whether `Range` counts.
        range: bool,
    },
    /// 304: the client has this version already.
    NotModified,
    /// 412: the client wants another version.
    Failed,
}

impl Validators {
    /// The validators of a file. The tag has a `suffix` for each coding.
    #[must_use]
    pub(super) fn new(metadata: &Metadata, suffix: &str) -> Self {
        let now = SystemTime::now();
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = since(metadata.modified().unwrap_or(UNIX_EPOCH));
        let changed = changed(metadata).unwrap_or(modified);
        let tick = if changed.subsec_nanos() == 0 { COARSE_TICK } else { TICK };
        let etag = format!("\"{:x}-{:x}-{:x}{suffix}\"", metadata.len(), modified.as_nanos(), changed.as_nanos());
        let seconds = modified.as_secs();
        let is_date = seconds > 0 && seconds <= since(now).as_secs().min(LAST_DATE);
        Self {
            etag,
            is_strong: since(now).saturating_sub(changed) > tick,
            modified: is_date.then(|| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// The fields that show them.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        let weak = if self.is_strong { "" } else { "W/" };
        let etag = ("ETag".to_owned(), format!("{weak}{}", self.etag).into_bytes());
        let modified = self.modified.map(|time| ("Last-Modified".to_owned(), fmt_http_date(time).into_bytes()));
        [etag].into_iter().chain(modified)
    }

    /// Evaluates the conditions of a GET or HEAD in the order of RFC 9110 section 13.2.2.
    #[must_use]
    pub(super) fn evaluate(&self, head: &RequestHead) -> Verdict {
        if let Some(tags) = list(head, "if-match") {
            if !tags.iter().any(|tag| *tag == b"*" || self.is_same(tag)) {
                return Verdict::Failed;
            }
        } else if let (Some(date), Some(modified)) = (date(head, "if-unmodified-since"), self.modified)
            && modified > date
        {
            return Verdict::Failed;
        }
        if let Some(tags) = list(head, "if-none-match") {
            let is_like = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes();
            if tags.iter().any(|tag| *tag == b"*" || is_like(tag)) {
                return Verdict::NotModified;
            }
        } else if let (Some(date), Some(modified)) = (date(head, "if-modified-since"), self.modified)
            && modified <= date
        {
            return Verdict::NotModified;
        }
        let range = match single(head, "if-range") {
            None => head.values("if-range").next().is_none(),
            Some(tag) if tag.contains(&b'"') => self.is_same(tag),
            // The same date, not only an earlier one: the part must be of the same version.
            Some(date) => self.modified.is_some() && parse_date(date) == self.modified,
        };
        Verdict::Send { range: range && head.method() == b"GET" }
    }

    /// Whether this is the tag of a version that is the same in every byte.
    fn is_same(&self, tag: &[u8]) -> bool {
        self.is_strong && tag == self.etag.as_bytes()
    }
}

/// The elements of a list of tags; `None` if the field is missing.
fn list<'a>(head: &'a RequestHead, name: &'a str) -> Option<Vec<&'a [u8]>> {
    let mut values = head.values(name).peekable();
    values.peek()?;
    Some(values.flat_map(|value| quoted_elements(value, b',')).collect())
}

/// The value of a field that may be there only once.
fn single<'a>(head: &'a RequestHead, name: &'a str) -> Option<&'a [u8]> {
    let mut values = head.values(name);
    values.next().filter(|_| values.next().is_none()).map(trim)
}

/// The date in a field; `None` if it is missing, or not a date: then it is ignored.
fn date(head: &RequestHead, name: &str) -> Option<SystemTime> {
    parse_date(single(head, name)?)
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    parse_http_date(str::from_utf8(value).ok()?).ok()
}

/// When the file was changed or moved to its place, since the epoch. Programs can set the other time, but not this one.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<Duration> {
    use std::os::unix::fs::MetadataExt as _;
    let nanos = u32::try_from(metadata.ctime_nsec()).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(metadata.ctime()).ok()?, nanos))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn evaluate(is_strong: bool, method: &str, fields: &[(&str, &str)]) -> Verdict {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = RequestHead::new(Bytes::from(format!("{method} / HTTP/1.1\r\n{fields}\r\n")));
        let modified = Some(UNIX_EPOCH + Duration::from_secs(784_111_777));
        Validators { etag: "\"a\"".into(), is_strong, modified }.evaluate(&head)
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
        const SEND: Verdict = Verdict::Send { range: true };
        const WHOLE: Verdict = Verdict::Send { range: false };
        use Verdict::{Failed, NotModified};
        for (fields, verdict) in [
            (&[][..], SEND),
            (&[("If-Match", "\"a\"")], SEND),
            (&[("If-Match", "\"b\", \"a\"")], SEND),
            (&[("If-Match", "*")], SEND),
            (&[("If-Match", "\"b\"")], Failed),
            (&[("If-Match", "W/\"a\"")], Failed),
            (&[("If-Match", "")], Failed),
            (&[("If-Match", "\"b\""), ("If-None-Match", "\"a\"")], Failed),
            (&[("If-Match", "\"a\""), ("If-Unmodified-Since", EARLIER)], SEND),
            (&[("If-Unmodified-Since", EARLIER)], Failed),
            (&[("If-Unmodified-Since", DATE)], SEND),
            (&[("If-Unmodified-Since", "yesterday")], SEND),
            (&[("If-Match", "\"a\""), ("If-None-Match", "\"a\"")], NotModified),
            (&[("If-None-Match", "\"a\"")], NotModified),
            (&[("If-None-Match", "W/\"a\"")], NotModified),
            (&[("If-None-Match", "\"b\", W/\"a\"")], NotModified),
            (&[("If-None-Match", "\"b\""), ("If-None-Match", "\"a\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "\"b\"")], SEND),
            (&[("If-None-Match", "\"b\""), ("If-Modified-Since", LATER)], SEND),
            (&[("If-Modified-Since", DATE)], NotModified),
            (&[("If-Modified-Since", LATER)], NotModified),
            (&[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("If-Modified-Since", EARLIER)], SEND),
            (&[("If-Modified-Since", "784111777")], SEND),
            (&[("If-Modified-Since", LATER), ("If-Modified-Since", LATER)], SEND),
            (&[("If-Unmodified-Since", LATER), ("If-Modified-Since", DATE)], NotModified),
            (&[("If-Range", "\"a\"")], SEND),
            (&[("If-Range", "\"b\"")], WHOLE),
            (&[("If-Range", "W/\"a\"")], WHOLE),
            (&[("If-Range", DATE)], SEND),
            (&[("If-Range", LATER)], WHOLE),
            (&[("If-Range", EARLIER)], WHOLE),
            (&[("If-Range", "a")], WHOLE),
            (&[("If-Range", "\"a\""), ("If-Range", "\"a\"")], WHOLE),
            (&[("If-Range", "\"b\""), ("If-None-Match", "\"a\"")], NotModified),
        ] {
            assert_eq!(evaluate(true, "GET", fields), verdict, "{fields:?}");
        }
        assert_eq!(evaluate(true, "HEAD", &[]), WHOLE, "a range is for GET");
        assert_eq!(evaluate(true, "HEAD", &[("If-None-Match", "\"a\"")]), NotModified);
        for field in ["If-Range", "If-Match"] {
            assert_ne!(evaluate(false, "GET", &[(field, "\"a\"")]), SEND, "{field} with a tag that is weak");
        }
        assert_eq!(evaluate(false, "GET", &[("If-None-Match", "W/\"a\"")]), NotModified);
    }
}
