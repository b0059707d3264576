//! Compares the response to a request with the one to its replay.
//!
//! What counts is what a client gets, and how the handler failed. Log lines, the text of a failure and framing are shown,
//! but do not count. `Date` is not compared, nor are fields that the host alone decides.

mod answer;
mod body;
mod changes;
pub(crate) mod comparison;
mod fields;
mod json;
mod text;
mod value;

use self::{
    answer::Answer,
    body::body,
    comparison::{Comparison, Difference, What},
    fields::fields,
    text::text,
    value::value,
};
use crate::capture::record::Record;

/// Compares the response to a request with that of its replay, the first of `runs`. The others are further runs of the same
/// handler, with which it finds what differs by itself. `ignore` has the names of fields that are not compared, besides
/// `Date`.
///
/// # Panics
///
/// `runs` is empty.
#[must_use]
pub(crate) fn compare_runs(original: &Record, runs: &[&Record], ignore: &[String]) -> Comparison {
    let old = Answer::of(original, ignore);
    let runs: Vec<Answer> = runs.iter().map(|run| Answer::of(run, ignore)).collect();
    let (new, others) = runs.split_first().unwrap_or_else(|| unreachable!("there is a replay"));
    let mut differences = Vec::new();
    // Without a head, there is nothing that its client could have seen of one.
    if !(old.was_left && old.message.line.is_empty()) {
        let status = value(What::Status, "", &old.status(), &new.status(), others, |_| None);
        // As a whole: a status is not made of parts.
        let differs_by_itself = others.iter().any(|other| other.status() != new.status());
        differences.extend(status.map(|status| Difference { differs_by_itself, ..status }));
        fields(What::Field, &old.fields, &new.fields, others, |other| &other.fields, &mut differences);
        differences.extend(framing(&old, new));
        differences.extend(body(&old, new, others));
        if !old.is_partial() && !new.is_partial() {
            fields(What::Trailers, &old.trailers, &new.trailers, others, |other| &other.trailers, &mut differences);
        }
    }
    differences.extend(fault(&old, new, others));
    differences.extend(text(What::Log, &old.log, &new.log, others.iter().map(|other| &*other.log), false));
    Comparison { is_same: differences.iter().all(|each| !each.counts || each.differs_by_itself), differences }
}

/// Compares how the bodies are framed.
fn framing(old: &Answer, new: &Answer) -> Option<Difference> {
    let title = |answer: &Answer| match (answer.message.is_chunked, answer.message.value("content-length")) {
        (true, _) => "in chunks",
        (_, Some(_)) => "with a length",
        _ if answer.message.line.is_empty() => "no response",
        _ => "without a length",
    };
    let (before, after) = (title(old).to_owned(), title(new).to_owned());
    let is_known = old.message.status() == new.message.status();
    (is_known && before != after).then(|| Difference {
        what: What::Framing,
        name: String::new(),
        before,
        after,
        lines: Vec::new(),
        counts: false,
        differs_by_itself: false,
    })
}

/// Compares the failures. The text contains numbers and places that change with each build, so only the kind counts.
fn fault(old: &Answer, new: &Answer, others: &[Answer]) -> Option<Difference> {
    let kind = |answer: &Answer| answer.fault.as_ref().map(|(kind, _)| kind.clone());
    let mut difference = value(What::Fault, "", &old.fault(), &new.fault(), others, |other| Some(other.fault()))?;
    // That of a client that left is no failure of the handler's.
    difference.counts = kind(old) != kind(new) && !old.was_left;
    if difference.counts {
        difference.differs_by_itself = others.iter().any(|other| kind(other) != kind(new));
    }
    Some(difference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::{
        record::{Failure, Line, Outcome},
        sample,
    };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn any_two_records_can_be_compared(a in sample::any_record(), b in sample::any_record(), c in sample::any_record()) {
            prop_assert!(compare(&a, &a, &[]).is_same);
            let comparison = compare_runs(&a, &[&b, &c], &[]);
            prop_assert_eq!(comparison.is_same, comparison.summary().is_empty());
            prop_assert!(comparison.is_same || !comparison.to_text(true).is_empty());
        }
    }

    fn compare(original: &Record, new: &Record, ignore: &[String]) -> Comparison {
        compare_runs(original, &[new], ignore)
    }

    fn record(response: &str) -> Record {
        record_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n", response.as_bytes())
    }

    fn record_of(request: &str, response: &[u8]) -> Record {
        Record { lines: Vec::new(), ..sample::record(request.as_bytes(), response) }
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// What differs between an original and the first of `runs`: all of it, with `~` before what differs by itself and
    /// parentheses around what does not count.
    fn differences(original: &str, runs: &[&str]) -> String {
        let runs: Vec<Record> = runs.iter().map(|run| record(run)).collect();
        shown(&compare_runs(&record(original), &runs.iter().collect::<Vec<_>>(), &[]))
    }

    fn shown(comparison: &Comparison) -> String {
        let each = comparison.differences.iter().map(|each| {
            let sign = if each.differs_by_itself { "~" } else { "" };
            let text = format!("{sign}{}: {} -> {}", each.title(), each.before, each.after);
            if each.counts { text } else { format!("({text})") }
        });
        let is_same = comparison.differences.iter().all(|each| each.differs_by_itself || !each.counts);
        assert_eq!(comparison.is_same, is_same);
        each.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn responses_are_the_same_whatever_their_framing_and_date() {
        let chunked = "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n\
                       1\r\nc\r\n0\r\n\r\n";
        assert_eq!(differences(&ok("abc"), &[&ok("abc")]), "");
        let comparison = compare(&record(&ok("abc")), &record(chunked), &[]);
        assert_eq!(shown(&comparison), "(framing: with a length -> in chunks)");
        assert!(comparison.is_same);
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let head = |status: &str, fields: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let old = head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n");
        for (new, expected) in [
            (
                head("500 Oops", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"),
                "status: 200 OK -> 500 Oops",
            ),
            (head("200 OK", "A: 1\r\nB: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field B: 2 -> 3"),
            (head("200 OK", "A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field B: 2 -> none"),
            (head("200 OK", "A: 1\r\nB: 2\r\nC: \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field C: none -> "),
            (
                head("200 OK", "B: 2\r\nA: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"),
                "field B: 2 -> the same, in another place",
            ),
            (
                head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: b\r\nSet-Cookie: a\r\n", "x\n"),
                "field Set-Cookie: a -> b; field Set-Cookie: b -> a",
            ),
            (head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "y\n"), "body: 2 bytes -> 2 bytes"),
            (head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", ""), "body: 2 bytes -> empty"),
        ] {
            assert_eq!(differences(&old, &[&new]), expected);
        }
        let ignore = ["b".to_owned()];
        let new = record(&head("200 OK", "A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"));
        assert_eq!(shown(&compare(&record(&old), &new, &ignore)), "", "a field may be ignored, whatever its case");
    }

    #[test]
    fn what_differs_by_itself_does_not_count_and_hides_nothing() {
        let answer = |cookie: &str, body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nSet-Cookie: id={cookie}; Path=/\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let old = answer("aa", "at 12:00:01, hello\n");
        let runs = [answer("bb", "at 13:01:02, hello\n"), answer("cc", "at 14:02:03, hello\n")];
        let runs: Vec<&str> = runs.iter().map(|run| &**run).collect();
        assert_eq!(
            differences(&old, &runs),
            "~field Set-Cookie: id=aa; Path=/ -> id=bb; Path=/; ~body: 19 bytes -> 19 bytes"
        );
        let runs = [answer("bb; Secure", "at 13:01:02, goodbye\n"), answer("cc; Secure", "at 14:02:03, goodbye\n")];
        let runs: Vec<&str> = runs.iter().map(|run| &**run).collect();
        assert_eq!(
            differences(&old, &runs),
            "field Set-Cookie: id=aa; Path=/ -> id=bb; Secure; Path=/; body: 19 bytes -> 21 bytes"
        );
        // A field or a status that comes and goes.
        let (with, without) = (ok("").replace("Content", "X: 1\r\nContent"), ok(""));
        assert_eq!(differences(&with, &[&without, &with]), "~field X: 1 -> none");
        assert_eq!(differences(&without, &[&with, &without]), "~field X: none -> 1");
        let failed = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        assert!(differences(&ok("a"), &[failed, &ok("a")]).starts_with("~status: 200 OK -> 500"));
        assert!(differences(&ok("a"), &[failed, failed]).starts_with("status: 200 OK -> 500"));
    }

    #[test]
    fn json_is_compared_by_lines_and_to_the_byte() {
        let old = ok(r#"{"a":1,"b":{"c":[1,2]},"n":12345678901234567890}"#);
        let new = ok(r#"{"a":1,"b":{"c":[1,3]},"n":12345678901234567890}"#);
        let comparison = compare(&record(&old), &record(&new), &[]);
        let lines = &comparison.differences[0].lines;
        let changed: Vec<_> =
            lines.iter().filter(|line| "+-".contains(line.sign)).map(|line| line.text.trim()).collect();
        assert_eq!(changed, ["2", "3"]);
        for other in [
            r#"{"a":1, "b":{"c":[1,2]},"n":12345678901234567890}"#,
            r#"{"b":{"c":[1,2]},"a":1,"n":12345678901234567890}"#,
            r#"{"a":1,"b":{"c":[1,2]},"n":12345678901234567891}"#,
            r#"{"a":1.0,"b":{"c":[1,2]},"n":12345678901234567890}"#,
        ] {
            assert!(!compare(&record(&old), &record(&ok(other)), &[]).is_same, "{other}");
        }
    }

    #[test]
    fn binary_bodies_are_compared_by_bytes() {
        let binary = |bytes: &[u8]| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            record_of("GET / HTTP/1.1\r\n\r\n", &[head.as_bytes(), bytes].concat())
        };
        let old = binary(b"\xff\0abc1");
        let is_same = |runs: &[&[u8]]| {
            let runs: Vec<Record> = runs.iter().map(|run| binary(run)).collect();
            compare_runs(&old, &runs.iter().collect::<Vec<_>>(), &[]).is_same
        };
        assert!(is_same(&[b"\xff\0abc1"]));
        assert!(!is_same(&[b"\xff\0abc2"]));
        assert!(is_same(&[b"\xff\0abc2", b"\xff\0abc3"]));
        assert!(!is_same(&[b"\xff\0axc2", b"\xff\0axc3"]));
        assert!(!is_same(&[b"\xff\0abc2d", b"\xff\0abc3d"]));
        let comparison = compare(&old, &binary(b"\xff\0abc2"), &[]);
        assert_eq!(comparison.differences[0].lines[0].text, "00000000  ff 00 61 62 63 31");
    }

    #[test]
    fn only_what_is_known_of_a_body_is_compared() {
        let mut old = record(&ok("abcdef"));
        old.response.total += 1000;
        assert_eq!(
            shown(&compare(&old, &record(&ok("abcdefghi")), &[])),
            "(body: the first 6 bytes -> the same, as far as both are known)"
        );
        assert!(!compare(&old, &record(&ok("abcxef")), &[]).is_same);
        assert!(!compare(&old, &record(&ok("abc")), &[]).is_same, "it was at least as long as what is kept");
        // Its client left after some of the body, or before the head.
        for part in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", ""] {
            let mut left = record(part);
            left.outcome = Some(Outcome { is_answered: false, status: 499, sent: 3, cpu: None, memory: None });
            left.fault =
                Some(Failure { kind: "left".into(), at: 0, text: "the client left".into(), stack: Vec::new() });
            assert!(compare(&left, &record(&ok("abcdef")), &[]).is_same, "{part}");
        }
    }

    #[test]
    fn a_response_that_is_cut_off_differs_from_a_complete_one() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc";
        assert_eq!(differences(&ok("abcdef"), &[cut]), "body: 6 bytes -> incomplete after 3 bytes");
        assert_eq!(differences(cut, &[&ok("abc")]), "body: incomplete after 3 bytes -> 3 bytes");
    }

    #[test]
    fn the_length_counts_where_no_body_is_sent() {
        let head = |length: usize| {
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            record_of("HEAD / HTTP/1.1\r\n\r\n", response.as_bytes())
        };
        assert_eq!(shown(&compare(&head(1), &head(2), &[])), "field Content-Length: 1 -> 2");
    }

    #[test]
    fn of_a_failure_only_its_kind_counts_and_of_the_log_nothing() {
        let failed = |kind: &str, text: &str, line: &str| Record {
            fault: Some(Failure { kind: kind.into(), at: 0, text: text.into(), stack: Vec::new() }),
            lines: vec![Line { at: 0, stream: "stderr".into(), text: line.into() }],
            ..record(&ok(""))
        };
        let old = failed("trap", "at line 1", "a");
        let comparison = compare(&old, &failed("trap", "at line 2", "b"), &[]);
        assert_eq!(shown(&comparison), "(fault: trap: at line 1 -> trap: at line 2); (log: 1 line -> 1 line)");
        assert_eq!(
            shown(&compare(&old, &failed("memory", "at line 1", "a"), &[])),
            "fault: trap: at line 1 -> memory: at line 1"
        );
    }

    #[test]
    fn the_summary_fits_into_a_line() {
        let failed = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        let new = Record {
            fault: Some(Failure { kind: "trap".into(), at: 0, text: "x".into(), stack: Vec::new() }),
            ..record(failed)
        };
        assert_eq!(compare(&record(&ok("a")), &new, &[]).summary(), "200 -> 500 (trap)");
        assert_eq!(compare(&record(&ok("a")), &record(&ok("b")), &[]).summary(), "body");
    }

    #[test]
    fn text_of_a_handler_cannot_control_a_terminal() {
        let comparison = compare(&record(&ok("a\n")), &record(&ok("\x1b[2J\u{202e}\n")), &[]);
        let text = comparison.to_text(false);
        assert!(!text.contains(['\x1b', '\u{202e}']) && text.contains("\\x1b[2J"), "{text}");
    }
}
