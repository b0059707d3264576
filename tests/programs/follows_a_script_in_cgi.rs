//! Follows the script in the request as a CGI program. See `follows_a_script`.
//!
//! It reports what it reads, on stderr. A response cannot be replaced, so a head is written when the first byte after it is.
#![expect(clippy::print_stderr, reason = "its host logs what it prints")]

use std::{
    env,
    io::{self, Read as _, Write as _},
    mem, process,
};

use wasmserve_test_programs::{self as script, Step};

/// The response: it is started once, unless an exception replaces what is not written yet.
enum Phase {
    Unstarted,
    /// A head that is not written yet.
    Held(Vec<u8>),
    Sent,
    Finished,
}

fn main() {
    let steps = env::var("HTTP_X_SCRIPT").map_err(|error| error.to_string());
    let steps = steps.and_then(|field| script::from_field(&field)).expect("the request has a script");
    let mut phase = Phase::Unstarted;
    for step in steps {
        if let Some(reported) = perform(step, &mut phase) {
            eprintln!("{reported}");
        }
    }
    write(&mut phase, b"");
}

fn perform(step: Step, phase: &mut Phase) -> Option<String> {
    match step {
        Step::Start { status, fields, exc_info } => match phase {
            Phase::Unstarted => *phase = Phase::Held(head(&status, &fields)),
            Phase::Held(_) if exc_info.is_some() => *phase = Phase::Held(head(&status, &fields)),
            Phase::Sent if exc_info.is_some() => process::exit(1),
            _ => {}
        },
        Step::Write(part) if part.is_empty() => {}
        Step::Write(part) => write(phase, &part),
        Step::Finish(last) => {
            write(phase, &last);
            *phase = Phase::Finished;
        }
        Step::Respond { status, fields, body } => {
            write(&mut Phase::Held(head(&status, &fields)), &body);
            *phase = Phase::Finished;
        }
        Step::Read(max) => {
            let mut part = Vec::new();
            let read = io::stdin().take(max.into()).read_to_end(&mut part);
            return Some(read.map_or_else(|error| error.to_string(), |_| script::escaped(&part)));
        }
        Step::ReadAll => {
            let mut whole = Vec::new();
            let end = if io::stdin().read_to_end(&mut whole).is_ok() { "" } else { ", then malformed" };
            return Some(format!("{}{end}", script::digest(&whole)));
        }
        Step::Trailers => {}
        Step::Get(name) => return Some(env::var(name).unwrap_or_else(|_| "absent".into())),
        Step::Fail(_) => process::exit(1),
        Step::Trap => process::abort(),
    }
    None
}

fn head(status: &str, fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut head = format!("Status: {status}\n").into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\n"].concat());
    }
    head.push(b'\n');
    head
}

fn write(phase: &mut Phase, part: &[u8]) {
    let head = match mem::replace(phase, Phase::Sent) {
        Phase::Held(head) => head,
        Phase::Sent => Vec::new(),
        other => return *phase = other,
    };
    let mut stdout = io::stdout().lock();
    // The host closes stdout for what goes beyond the response.
    _ = stdout.write_all(&[&head, part].concat()).and_then(|()| stdout.flush());
}
