//! Answers with everything that differs from one run to the next: the time of day, how long a sleep and a read take,
//! randomness, the order of a `HashMap`, the exchange's id, and for a query with `authority` the answer of another
//! server, or with `glance` only the head of its answer.

use std::{
    collections::HashMap,
    io::Read as _,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use wasip2::{
    http::{
        outgoing_handler,
        types::{Fields, IncomingResponse, OutgoingRequest, Scheme},
    },
    random::{insecure::get_insecure_random_u64, random::get_random_bytes},
};
use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<String> {
    let began = Instant::now();
    thread::sleep(Duration::from_millis(300));
    let mut lines = vec![
        format!("time {:?}", SystemTime::now().duration_since(UNIX_EPOCH)?),
        format!("slept {:?}", began.elapsed()),
        format!("random {:?} {}", get_random_bytes(8), get_insecure_random_u64()),
        format!("order {:?}", (0..20).map(|number| (number, ())).collect::<HashMap<_, _>>().keys()),
        format!("id {:?}", environ.get("wasmserve.request_id").map(|id| id.to_string())),
    ];
    let mut buffer = [0; 64 << 10];
    let mut input = environ.input();
    loop {
        let length = input.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        lines.push(format!("read {length}"));
    }
    if let Some(authority) = environ.query().get("authority") {
        lines.push(format!("asked {:?}", ask(authority).map_err(|error| error.to_string())));
    }
    if let Some(authority) = environ.query().get("glance") {
        lines.push(format!("glanced {:?}", glance(authority).map_err(|error| error.to_string())));
    }
    lines.push(format!("took {:?}", began.elapsed()));
    Ok(lines.join("\n") + "\n")
}

fn ask(authority: &str) -> Result<String> {
    let answer = answer(authority)?;
    Ok(format!("{} {}", answer.status(), body(&answer)?))
}

/// The status and the field `X-Odd`, without the body.
fn glance(authority: &str) -> Result<String> {
    let answer = answer(authority)?;
    Ok(format!("{} {:?}", answer.status(), answer.headers().get("x-odd")))
}

fn answer(authority: &str) -> Result<IncomingResponse> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "no such scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "no such authority")?;
    request.set_path_with_query(Some("/asked")).map_err(|()| "no such path")?;
    let answer = outgoing_handler::handle(request, None)?;
    answer.subscribe().block();
    Ok(answer.get().ok_or("no answer")?.map_err(|()| "an answer that was taken before")??)
}

fn body(answer: &IncomingResponse) -> Result<String> {
    let body = answer.consume().map_err(|()| "a body that was taken before")?;
    let stream = body.stream().map_err(|()| "a stream that was taken before")?;
    let mut bytes = Vec::new();
    while let Ok(more) = stream.blocking_read(1 << 10) {
        bytes.extend(more);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
