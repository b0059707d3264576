//! A handler of `wasi:http`, which does what its path says.
//!
//! `/describes` returns the request as it sees it, `/echoes` sends the body back; most others misbehave.

use std::{process, thread, time::Duration};

use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
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
