//! Parses the output of the cases in `tests/cgi`. `tests/cgi.rs` has a real program print it.

use proptest::{collection::vec, prelude::*, sample};
use wasmserve::gateway::{
    cgi::{Form, HeadReader, Response, arguments, redirected},
    request::{RequestHead, RequestLimits},
};
use wasmserve_tests::cgi::{CASES, Case};

const LIMIT: u64 = 32 << 10;

/// What follows from the output of a program: a response and the begin of its body, or what is wrong.
type Parsed = Result<(Response, Vec<u8>), String>;

fn parse<'a>(form: Form, pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut reader = HeadReader::new(form, LIMIT);
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        if let Some((response, size)) = reader.push(piece).map_err(|error| error.to_string())? {
            let rest = [&piece[size..]].into_iter().chain(pieces).flatten().copied();
            return Ok((response, rest.collect()));
        }
    }
    Err(reader.end().to_string())
}

fn expected(case: &Case) -> Parsed {
    match (&case.status, &case.location) {
        (Some(status), _) => {
            let fields = case.fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
            Ok((Response::Document { status: status.clone(), fields }, case.body.clone()))
        }
        (None, Some(location)) => Ok((Response::LocalRedirect(location.clone().into_bytes().into()), Vec::new())),
        (None, None) => Err(case.error.clone().unwrap_or_default()),
    }
}

#[test]
fn every_case_is_parsed_as_it_says_wherever_the_output_is_split() {
    for case in CASES.iter() {
        let form = if case.is_nph { Form::NonParsed } else { Form::Parsed };
        let whole = parse(form, [&*case.output]);
        match (&whole, expected(case)) {
            (Err(error), Err(part)) => assert!(error.contains(&part), "{}: {error}", case.name),
            (Ok((redirect @ Response::LocalRedirect(_), _)), Ok((expected, _))) => {
                assert_eq!(*redirect, expected, "{}", case.name);
            }
            (_, expected) => assert_eq!(whole, expected, "{}", case.name),
        }
        let bytes: Vec<&[u8]> = case.output.chunks(1).collect();
        assert_eq!(parse(form, bytes), whole, "{}: byte by byte", case.name);
        // Heads beyond the limit are long, and all alike inside.
        for at in (0..case.output.len()).filter(|at| *at < 1000) {
            let (first, second) = case.output.split_at(at);
            assert_eq!(parse(form, [first, second]), whole, "{}: split at {at}", case.name);
        }
    }
}

/// Parts of which most heads are made, and most mistakes.
const PARTS: [&str; 16] = [
    "Content-Type: text/plain",
    "Status: 404 Not Found",
    "status:",
    "Location: /a",
    "Location: http://b/",
    "HTTP/1.1 200 OK",
    "X-A: b",
    "Set-Cookie: a=1",
    "no colon",
    ": ",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\u{e9}\0",
];

proptest! {
    #[test]
    fn g1_how_an_output_is_split_makes_no_difference(
        is_nph in any::<bool>(),
        parts in vec(sample::select(&PARTS[..]), 0..20),
        cuts in vec(any::<sample::Index>(), 0..6),
    ) {
        let form = if is_nph { Form::NonParsed } else { Form::Parsed };
        let output = parts.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(output.len() + 1)).collect();
        cuts.extend([0, output.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &output[ends[0]..ends[1]]);
        prop_assert_eq!(parse(form, pieces), parse(form, [&*output]));
    }
}

fn head(text: &str) -> RequestHead {
    RequestHead::new(text.to_owned().into_bytes().into())
}

#[test]
fn g6_the_words_of_a_query_are_arguments_unless_one_may_be_an_option() {
    for (request, words) in [
        ("GET /a?b+c%20d+%2Be", &["b", "c d", "+e"][..]),
        ("HEAD /a?b", &["b"]),
        ("GET /a?b+", &["b", ""]),
        ("GET /a?%", &["%"]),
        ("GET /a?caf%C3%A9", &["café"]),
        ("GET /a", &[]),
        ("GET /a?", &[]),
        ("GET /a?b=c", &[]),
        ("GET /a?b%3Dc", &["b=c"]),
        ("POST /a?b", &[]),
        ("GET /a?b+-c", &[]),
        ("GET /a?%2Dd+x", &[]),
        ("GET /a?b+%ff", &[]),
        ("GET /a?b+%00", &[]),
    ] {
        assert_eq!(arguments(&head(&format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"))), words, "{request}");
    }
}

#[test]
fn g3_a_local_redirect_is_a_get_without_the_body_of_the_first_request() {
    let first = head(
        "POST http://example:81/a?b HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\ncontent-type: a/b\r\nExpect: \
         100-continue\r\nTransfer-Encoding: chunked\r\nCookie: a=1\r\n\r\n",
    );
    let second = redirected(&first, b"/c?d", RequestLimits::DEFAULT).expect("a valid location");
    assert_eq!(second.raw(), "GET /c?d HTTP/1.1\r\nHost: example:81\r\nCookie: a=1\r\n\r\n");
    let simple = head("HEAD / HTTP/1.0\r\nHost: x\r\nA: b\r\n\r\n");
    let second = redirected(&simple, b"/c", RequestLimits::DEFAULT).expect("a valid location");
    assert_eq!(second.raw(), "GET /c HTTP/1.0\r\nHost: x\r\nA: b\r\n\r\n");
    for (location, why) in [
        ("/a b", "it contains an invalid character; percent-encode it: `/a b`"),
        ("/a\r\nHost: evil", "invalid character"),
        ("/a\0", "invalid character"),
        (&format!("/{}", "a".repeat(9000)), "the request target is too long"),
    ] {
        let error = redirected(&simple, location.as_bytes(), RequestLimits::DEFAULT).expect_err(why).to_string();
        assert!(error.contains(why) && error.starts_with("its `Location` leads nowhere: "), "{error}");
    }
}
