//! A handler of `wasi:http`, which does what its path says.
//!
//! `/describes` returns the request as it sees it, `/echoes` sends the body back, `/waits-in-…` waits in one function of
//! WASI; most others misbehave.

#![expect(clippy::print_stdout, reason = "what a handler prints is in the log")]

use std::{process, thread, time::Duration};

use wasip2::http::{
    outgoing_handler,
    types::{
        ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
        OutgoingResponse, ResponseOutparam, Scheme,
    },
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

struct Speaker;

wasip2::http::proxy::export!(Speaker);

impl wasip2::exports::http::incoming_handler::Guest for Speaker {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "/describes" => send(outparam, describe(&request).as_bytes()),
            "/echoes" => echo(&request, outparam),
            "/counts" => {
                send(outparam, read_all(&request).map_or_else(|why| why, |body| body.len().to_string()).as_bytes())
            }
            "/sets-no-body" => ResponseOutparam::set(outparam, Ok(response(204, &[]))),
            "/sets-nothing" => std::mem::forget(outparam),
            "/drops-the-outparam" => drop(outparam),
            "/sets-an-error" => ResponseOutparam::set(outparam, Err(ErrorCode::InternalError(Some("no luck".into())))),
            "/sets-hop-by-hop" => {
                let refused = Fields::new().set("connection", &[b"close".to_vec()]).is_err();
                send(outparam, if refused { b"refused" } else { b"accepted" });
            }
            "/sets-a-bad-status" => {
                let refused = response(200, &[]).set_status_code(7).is_err();
                send(outparam, if refused { b"refused" } else { b"accepted" });
            }
            "/sets-a-status-of-100" => ResponseOutparam::set(outparam, Ok(response(100, &[]))),
            "/sets-a-status-of-101" => {
                let (body, stream) = begin(outparam, 101, &[]);
                write(&stream, b"in vain");
                end(body, stream);
            }
            "/sets-a-status-of-999" => {
                let (body, stream) = begin(outparam, 999, &[]);
                end(body, stream);
            }
            "/sets-bad-names" => {
                let fields = Fields::new();
                let refused = ["", "a b", "a:", "X\r\nY", "host"].map(|name| fields.append(name, b"x").is_err());
                let values = [b"a\nb", b"a\rb", b"a\0b"].map(|value| fields.append("x", value).is_err());
                send(outparam, format!("{refused:?} {values:?}").as_bytes());
            }
            "/sets-a-large-head" => {
                let (body, stream) = begin(outparam, 200, &[("x-large", &"x".repeat(40_000))]);
                end(body, stream);
            }
            "/sets-many-fields" => {
                let (body, stream) = begin(outparam, 200, &[("x-many", "x"); 101]);
                end(body, stream);
            }
            "/takes-no-body" => ResponseOutparam::set(outparam, Ok(response(200, &[("x-body", "none")]))),
            "/takes-no-body-of-declared-length" => {
                ResponseOutparam::set(outparam, Ok(response(200, &[("content-length", "10")])));
            }
            "/drops-the-response" => {
                drop(response(200, &[]));
                drop(outparam);
            }
            "/writes-where-no-body-is" => {
                let status = request.path_with_query().unwrap_or_default();
                let status = status.rsplit('=').next().and_then(|status| status.parse().ok()).expect("a status");
                let (body, stream) = begin(outparam, status, &[]);
                write(&stream, b"dropped");
                end(body, stream);
            }
            "/sends-trailers" => {
                let (body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"short");
                end_with(body, stream, &[("x-sum", "5"), ("x-sum", "6"), ("x-other", "7")]);
            }
            "/sends-trailers-that-are-none" => {
                let (body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"short");
                end_with(body, stream, &[("content-length", "9"), ("set-cookie", "a=b"), ("x-sum", "5")]);
            }
            "/announces-trailers" | "/surprises-with-trailers" => {
                let announcement = [("trailer", "X-Sum, X-Unused")];
                let (body, stream) =
                    begin(outparam, 200, if path == "/announces-trailers" { &announcement } else { &[] });
                for chunk in [b"one\n", b"two\n"] {
                    write(&stream, chunk);
                    thread::sleep(Duration::from_millis(1));
                }
                end_with(body, stream, &[("x-sum", "8"), ("x-other", "9")]);
            }
            "/sends-trailers-after-a-declared-length" => {
                let (body, stream) = begin(outparam, 200, &[("content-length", "4")]);
                write(&stream, b"four");
                end_with(body, stream, &[("x-sum", "4")]);
            }
            "/finishes-with-an-open-stream" => {
                let (body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                _ = OutgoingBody::finish(body, None);
                drop(stream);
            }
            "/goes-on-after-its-response" => {
                send(outparam, b"whole");
                println!("going on");
                thread::sleep(Duration::from_millis(1));
                println!("still there");
            }
            "/spins-after-its-response" => {
                send(outparam, b"whole");
                loop {
                    std::hint::spin_loop();
                }
            }
            "/writes-in-chunks" => {
                let (body, stream) = begin(outparam, 200, &[]);
                for chunk in [b"one\n", b"two\n"] {
                    write(&stream, chunk);
                    thread::sleep(Duration::from_millis(1));
                }
                end(body, stream);
            }
            "/writes-less-than-declared" => {
                let (body, stream) = begin(outparam, 200, &[("content-length", "10")]);
                write(&stream, b"some");
                drop(stream);
                assert!(OutgoingBody::finish(body, None).is_err(), "the host checks the length");
            }
            "/writes-more-than-declared" => {
                let (body, stream) = begin(outparam, 200, &[("content-length", "4")]);
                _ = stream.blocking_write_and_flush(b"fourteen");
                drop(stream);
                _ = OutgoingBody::finish(body, None);
            }
            "/forgets-the-body" => {
                let (body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                std::mem::forget((body, stream));
            }
            "/drops-the-body" => {
                let (body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                drop(stream);
                drop(body);
            }
            "/drops-a-body-of-declared-length" => {
                let (body, stream) = begin(outparam, 200, &[("content-length", "10")]);
                write(&stream, b"some");
                drop(stream);
                drop(body);
            }
            "/panics" => panic!("nothing was set"),
            "/panics-in-the-body" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                panic!("in the middle");
            }
            "/panics-after-the-body" => {
                send(outparam, b"whole");
                panic!("too late");
            }
            "/exits" => process::exit(3),
            "/exits-well" => process::exit(0),
            "/exits-well-in-the-body" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                process::exit(0);
            }
            "/exits-well-after-the-body" => {
                send(outparam, b"whole");
                process::exit(0);
            }
            "/exits-in-the-body" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                process::exit(3);
            }
            "/spins" => loop {
                std::hint::spin_loop();
            },
            "/spins-in-the-body" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                write(&stream, b"some");
                loop {
                    std::hint::spin_loop();
                }
            }
            "/sleeps" => thread::sleep(Duration::from_secs(3600)),
            "/fills-memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            "/writes-forever" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                while stream.blocking_write_and_flush(&[b'.'; 4096]).is_ok() {}
                println!("the stream is closed");
            }
            "/waits-in-blocking-read" => {
                let (_body, stream) = open(&request);
                while stream.blocking_read(1).is_ok() {}
            }
            "/waits-in-blocking-skip" => {
                let (_body, stream) = open(&request);
                while stream.blocking_skip(1).is_ok() {}
            }
            "/waits-in-blocking-splice" => {
                let (_incoming, input) = open(&request);
                let (_body, output) = begin(outparam, 200, &[]);
                while output.blocking_splice(&input, 1).is_ok() {}
            }
            "/waits-in-blocking-write-and-flush" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                while stream.blocking_write_and_flush(&[b'.'; 4096]).is_ok() {}
            }
            "/waits-in-blocking-write-zeroes-and-flush" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                while stream.blocking_write_zeroes_and_flush(4096).is_ok() {}
            }
            "/waits-in-blocking-flush" => {
                let (_body, stream) = begin(outparam, 200, &[]);
                while let Ok(space) = stream.check_write() {
                    let written = vec![b'.'; usize::try_from(space).expect("it fits")];
                    stream.write(&written).expect("there is space");
                    stream.blocking_flush().expect("the client is there");
                }
            }
            "/waits-in-block" => match ask(&request) {
                Ok(response) => send(outparam, format!("{}", response.status()).as_bytes()),
                Err(error) => ResponseOutparam::set(outparam, Err(error)),
            },
            "/waits-for-the-body" => match read_all(&request) {
                Ok(body) => send(outparam, format!("{} bytes", body.len()).as_bytes()),
                Err(why) => {
                    println!("{why}");
                    ResponseOutparam::set(outparam, Err(ErrorCode::InternalError(Some(why))));
                }
            },
            _ => {
                let (body, stream) = begin(outparam, 404, &[]);
                end(body, stream);
            }
        }
    }
}

fn response(status: u16, fields: &[(&str, &str)]) -> OutgoingResponse {
    let all = Fields::new();
    for (name, value) in fields {
        all.append(name, value.as_bytes()).expect("the field is allowed");
    }
    let response = OutgoingResponse::new(all);
    response.set_status_code(status).expect("the status is allowed");
    response
}

fn begin(outparam: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> (OutgoingBody, OutputStream) {
    let response = response(status, fields);
    let body = response.body().expect("the body was not taken before");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("the stream was not taken before");
    (body, stream)
}

fn write(stream: &OutputStream, bytes: &[u8]) {
    stream.blocking_write_and_flush(bytes).expect("the client is there");
}

fn end_with(body: OutgoingBody, stream: OutputStream, trailers: &[(&str, &str)]) {
    drop(stream);
    let fields = Fields::new();
    for (name, value) in trailers {
        fields.append(name, value.as_bytes()).expect("the field is allowed");
    }
    OutgoingBody::finish(body, Some(fields)).expect("the body has the declared length");
}

/// Passes on the fields of the request to the authority in its query, and waits for the response.
fn ask(request: &IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    let target = request.path_with_query().unwrap_or_default();
    let (_, authority) = target.split_once('?').expect("there is a query");
    let outgoing = OutgoingRequest::new(Fields::clone(&request.headers()));
    outgoing.set_scheme(Some(&Scheme::Http)).expect("the scheme is known");
    outgoing.set_authority(Some(authority)).expect("the query is an authority");
    outgoing.set_path_with_query(Some("/")).expect("this is a path");
    let response = outgoing_handler::handle(outgoing, None)?;
    response.subscribe().block();
    response.get().expect("it is ready").expect("it was not taken before")
}

fn end(body: OutgoingBody, stream: OutputStream) {
    drop(stream);
    OutgoingBody::finish(body, None).expect("the body has the declared length");
}

fn send(outparam: ResponseOutparam, text: &[u8]) {
    let (body, stream) = begin(outparam, 200, &[("content-type", "text/plain")]);
    for chunk in text.chunks(4096) {
        write(&stream, chunk);
    }
    end(body, stream);
}

fn describe(request: &IncomingRequest) -> String {
    let mut text = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath {}\n",
        request.method(),
        request.scheme().expect("there is a scheme"),
        request.authority().expect("there is an authority"),
        request.path_with_query().expect("there is a path"),
    );
    for (name, value) in request.headers().entries() {
        text += &format!("field {name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

fn open(request: &IncomingRequest) -> (IncomingBody, InputStream) {
    let body = request.consume().expect("the body was not taken before");
    let stream = body.stream().expect("the stream was not taken before");
    (body, stream)
}

fn read_all(request: &IncomingRequest) -> Result<Vec<u8>, String> {
    let (_body, stream) = open(request);
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(chunk) => all.extend(chunk),
            Err(StreamError::Closed) => return Ok(all),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

fn echo(request: &IncomingRequest, outparam: ResponseOutparam) {
    let (_incoming, input) = open(request);
    let (body, output) = begin(outparam, 200, &[]);
    loop {
        match output.blocking_splice(&input, 4096) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
    end(body, output);
}

fn main() {}
