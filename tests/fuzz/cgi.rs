//! Any output of a CGI program, in any pieces.
//!
//! How it is split makes no difference, nothing panics, and a local redirect leads to a request that the parser accepts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmserve::gateway::{
    cgi::{Form, HeadReader, Response, redirected},
    request::{RequestHead, RequestLimits},
};
use wasmserve_fuzz::judge_head;

fuzz_target!(|input: (bool, &[u8], Vec<usize>)| {
    let (is_nph, output, cuts) = input;
    let form = if is_nph { Form::NonParsed } else { Form::Parsed };
    let whole = parse(form, output, &[]);
    assert_eq!(parse(form, output, &cuts), whole);
    if let Ok((Response::LocalRedirect(location), _)) = whole {
        let head = RequestHead::new("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n".into());
        if let Ok(head) = redirected(&head, &location, RequestLimits::DEFAULT) {
            judge_head(&head);
        }
    }
});

/// The response and the length of its head, or what is wrong with it.
fn parse(form: Form, output: &[u8], cuts: &[usize]) -> Result<(Response, usize), String> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (output.len() + 1)).chain([0, output.len()]).collect();
    ends.sort_unstable();
    let mut reader = HeadReader::new(form, 1000);
    for piece in ends.windows(2) {
        if let Some((response, size)) = reader.push(&output[piece[0]..piece[1]]).map_err(|error| error.to_string())? {
            return Ok((response, piece[0] + size));
        }
    }
    Err(reader.end().to_string())
}
