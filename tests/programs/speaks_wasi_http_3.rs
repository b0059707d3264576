//! A handler of `wasi:http` 0.3, which does what its path says.
//!
//! `/describes` returns the request as it sees it, `/echoes` sends the body back; most others misbehave.

#![expect(clippy::print_stdout, reason = "what a handler prints is in the log")]

use std::{cell::Cell, future::Future, hint, mem, process, rc::Rc, thread, time::Duration};

use wasip3::{
    clocks::monotonic_clock,
    filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags},
    },
    http::{
        client,
        types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers},
    },
    sockets::{
        ip_name_lookup,
        types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket},
    },
    wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter, spawn_local, yield_async},
    wit_future, wit_stream,
};

struct Speaker;

wasip3::http::service::export!(Speaker);

type Ended = Result<Option<Trailers>, ErrorCode>;

impl wasip3::exports::http::handler::Guest for Speaker {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = query.to_owned();
        Ok(match path {
            "/describes" => text(describe(&request)),
            "/echoes" => {
                let (body, trailers) = consume(request);
                Response::new(Fields::new(), Some(body), trailers).0
            }
            "/echoes-by-hand" => {
                let (mut from, trailers) = consume(request);
                write(&[], async move |mut to, _| {
                    while let Some(byte) = from.next().await {
                        assert!(to.write_all(vec![byte]).await.is_empty());
                    }
                    drop(trailers);
                })
            }
            "/counts" => match read_all(request).await {
                Ok(body) => text(body.len().to_string()),
                Err(error) => {
                    println!("{error:?}");
                    return Err(error);
                }
            },
            "/trailers" => {
                let (body, trailers) = consume(request);
                let body = body.collect().await;
                let fields = trailers.await?.map(|trailers| trailers.copy_all()).unwrap_or_default();
                let fields = fields.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
                text(format!("{} bytes\n{}", body.len(), fields.collect::<String>()))
            }
            "/sets-no-body" => {
                let response = Response::new(Fields::new(), None, no_trailers()).0;
                response.set_status_code(204).expect("the status is allowed");
                response
            }
            "/returns-an-error" => return Err(ErrorCode::InternalError(Some("no luck".into()))),
            "/sets-a-status-of-100" => {
                let response = text(String::new());
                response.set_status_code(100).expect("the status is one");
                response
            }
            "/sets-hop-by-hop" => {
                let refused = Fields::new().set("connection", &[b"close".to_vec()]).is_err();
                text(if refused { "refused" } else { "accepted" }.to_owned())
            }
            "/writes-in-chunks" => write(&[], async |mut body, _| {
                for chunk in [b"one\n", b"two\n"] {
                    assert!(body.write_all(chunk.to_vec()).await.is_empty());
                    monotonic_clock::wait_for(1_000_000).await;
                }
            }),
            "/sends-trailers" => {
                let fields = Fields::from_list(&[("trailer".into(), b"x-sum".to_vec())]).expect("the field is allowed");
                respond(fields, async |mut body, trailers| {
                    assert!(body.write_all(b"summed".to_vec()).await.is_empty());
                    drop(body);
                    let fields = Fields::from_list(&[("x-sum".into(), b"6".to_vec())]).expect("the field is allowed");
                    trailers.write(Ok(Some(fields))).await.expect("the host reads them");
                })
            }
            "/writes-less-than-declared" => write(&[("content-length", "10")], async |mut body, _| {
                _ = body.write_all(b"some".to_vec()).await;
            }),
            "/writes-more-than-declared" => write(&[("content-length", "4")], async |mut body, _| {
                _ = body.write_all(b"fourteen".to_vec()).await;
            }),
            "/ends-the-body-with-an-error" => write(&[], async |mut body, trailers| {
                _ = body.write_all(b"some".to_vec()).await;
                drop(body);
                _ = trailers.write(Err(ErrorCode::InternalError(Some("half way".into())))).await;
            }),
            "/forgets-the-body" => write(&[], async |mut body, trailers| {
                _ = body.write_all(b"some".to_vec()).await;
                mem::forget((body, trailers));
            }),
            "/panics" => panic!("nothing was returned"),
            "/panics-after-waiting" => {
                monotonic_clock::wait_for(1_000_000).await;
                panic!("nothing was returned")
            }
            "/panics-in-the-body" => write(&[], async |mut body, _trailers| {
                _ = body.write_all(b"some".to_vec()).await;
                panic!("in the middle");
            }),
            "/panics-while-writing" => write(&[], async |mut body, _trailers| {
                _ = body.write_all(b"some".to_vec()).await;
                // Dropped before it is done, so that the host may have the chunk or not.
                drop(body);
                panic!("before the trailers");
            }),
            "/panics-after-the-body" => {
                let (response, sent) = respond_and(Fields::new(), async |mut body, _| {
                    _ = body.write_all(b"whole".to_vec()).await;
                });
                spawn_local(async move {
                    sent.await.expect("the client reads it");
                    panic!("too late");
                });
                response
            }
            "/goes-on" => {
                let (response, sent) = respond_and(Fields::new(), async |mut body, _| {
                    _ = body.write_all(b"whole".to_vec()).await;
                });
                spawn_local(async move {
                    println!("the response was sent: {:?}", sent.await);
                    monotonic_clock::wait_for(1_000_000).await;
                    println!("the handler went on");
                });
                response
            }
            "/goes-on-forever" => {
                spawn_local(monotonic_clock::wait_for(u64::MAX));
                text("whole".to_owned())
            }
            "/exits" => process::exit(3),
            "/exits-in-the-body" => write(&[], async |mut body, _| {
                _ = body.write_all(b"some".to_vec()).await;
                process::exit(3);
            }),
            "/spins" => spin(),
            "/spins-in-the-body" => write(&[], async |mut body, _| {
                _ = body.write_all(b"some".to_vec()).await;
                spin()
            }),
            "/yields-forever" => loop {
                yield_async().await;
            },
            "/waits" => {
                wait_long().await;
                text(String::new())
            }
            "/sleeps" => {
                thread::sleep(Duration::from_secs(3600));
                text(String::new())
            }
            "/waits-for-itself" => {
                let (_writer, reader) = wit_future::new::<Ended>(|| Ok(None));
                _ = reader.await;
                text(String::new())
            }
            "/sleeps-in-the-body" => write(&[], async |mut body, _| {
                _ = body.write_all(b"some".to_vec()).await;
                // Blocks all tasks of the instance.
                thread::sleep(Duration::from_secs(3600));
            }),
            "/fills-memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            "/makes-streams-forever" => {
                let mut all = Vec::new();
                loop {
                    all.push(wit_stream::new::<u8>());
                }
            }
            "/starts-tasks-forever" => loop {
                spawn_local(monotonic_clock::wait_for(u64::MAX));
                yield_async().await;
            },
            "/overflows-the-stack" => text(overflow(0).to_string()),
            "/writes-forever" => write(&[], async |mut body, _| {
                while body.write_all(vec![b'.'; 4096]).await.is_empty() {}
                println!("the stream is closed");
            }),
            "/runs-many-tasks" => {
                let done = Rc::new(Cell::new(0));
                for number in 0..100 {
                    let done = Rc::clone(&done);
                    spawn_local(async move {
                        monotonic_clock::wait_for(number % 7 * 1_000_000).await;
                        done.set(done.get() + 1);
                    });
                }
                while done.get() < 100 {
                    monotonic_clock::wait_for(1_000_000).await;
                }
                text("all done".to_owned())
            }
            "/requests" => text(format!("{:?}", fetch(&query).await.map(|(status, body)| (status, body.len())))),
            "/passes-on" => pass_on(&query).await?,
            "/serves" => match open(&query).await {
                // The task ends before the body does, which the host then reads by itself.
                Ok(file) => Response::new(Fields::new(), Some(file.read_via_stream(0).0), no_trailers()).0,
                Err(error) => text(format!("{error:?}")),
            },
            "/looks-up" => text(format!("{:?}", ip_name_lookup::resolve_addresses(query).await)),
            "/connects" => text(format!("{:?}", connect(&query).await)),
            "/prints" => {
                println!("from std");
                let (mut stream, reader) = wit_stream::new();
                let written = wasip3::cli::stdout::write_via_stream(reader);
                _ = stream.write_all(b"from a stream\n".to_vec()).await;
                drop(stream);
                text(format!("{:?}", written.await))
            }
            _ => {
                let response = text(String::new());
                response.set_status_code(404).expect("the status is allowed");
                response
            }
        })
    }
}

#[inline(never)]
async fn wait_long() {
    monotonic_clock::wait_for(3_600_000_000_000).await;
}

#[inline(never)]
fn spin() -> ! {
    loop {
        hint::spin_loop();
    }
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    if hint::black_box(true) { overflow(depth + 1) + hint::black_box(1) } else { depth }
}

fn no_trailers() -> FutureReader<Ended> {
    wit_future::new(|| Ok(None)).1
}

/// A response whose body another task writes; and whether it was sent, which is known after that.
fn respond_and<F: Future<Output = ()> + 'static>(
    fields: Fields,
    body: impl FnOnce(StreamWriter<u8>, FutureWriter<Ended>) -> F,
) -> (Response, FutureReader<Result<(), ErrorCode>>) {
    let (writer, reader) = wit_stream::new();
    let (trailers, end) = wit_future::new(|| Ok(None));
    spawn_local(body(writer, trailers));
    Response::new(fields, Some(reader), end)
}

fn respond<F: Future<Output = ()> + 'static>(
    fields: Fields,
    body: impl FnOnce(StreamWriter<u8>, FutureWriter<Ended>) -> F,
) -> Response {
    respond_and(fields, body).0
}

fn write<F: Future<Output = ()> + 'static>(
    fields: &[(&str, &str)],
    body: impl FnOnce(StreamWriter<u8>, FutureWriter<Ended>) -> F,
) -> Response {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    respond(Fields::from_list(&fields).expect("the fields are allowed"), body)
}

fn text(text: String) -> Response {
    write(&[("content-type", "text/plain")], async |mut body, _| {
        _ = body.write_all(text.into_bytes()).await;
    })
}

fn describe(request: &Request) -> String {
    let mut text = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath {}\n",
        request.get_method(),
        request.get_scheme().expect("there is a scheme"),
        request.get_authority().expect("there is an authority"),
        request.get_path_with_query().expect("there is a path"),
    );
    for (name, value) in request.get_headers().copy_all() {
        text += &format!("field {name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

fn consume(request: Request) -> (StreamReader<u8>, FutureReader<Ended>) {
    Request::consume_body(request, wit_future::new(|| Ok(())).1)
}

async fn read_all(request: Request) -> Result<Vec<u8>, ErrorCode> {
    let (body, trailers) = consume(request);
    let body = body.collect().await;
    trailers.await.map(|_| body)
}

async fn send(to: &str) -> Result<Response, ErrorCode> {
    let (authority, path) = to.split_once('/').unwrap_or((to, ""));
    let (request, _) = Request::new(Fields::new(), None, no_trailers(), None);
    request.set_method(&Method::Get).expect("it is a method");
    request.set_scheme(Some(&Scheme::Http)).expect("it is a scheme");
    request.set_authority(Some(authority)).expect("it is an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("it is a path");
    client::send(request).await
}

async fn fetch(to: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let response = send(to).await?;
    let status = response.get_status_code();
    let (body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
    let body = body.collect().await;
    trailers.await.map(|_| (status, body))
}

async fn pass_on(to: &str) -> Result<Response, ErrorCode> {
    send(to).await
}

/// Opens a file by its path, in the directory in which a library would look for it.
async fn open(path: &str) -> Result<Descriptor, wasip3::filesystem::types::ErrorCode> {
    let dirs = preopens::get_directories();
    let within = |name: &str| path.strip_prefix(name).map(|rest| rest.trim_start_matches('/').to_owned());
    let found = dirs.iter().filter_map(|(dir, name)| Some((dir, name, within(name)?)));
    let (dir, _, rest) = found.max_by_key(|(_, name, _)| name.len()).expect("there is always a root");
    dir.open_at(PathFlags::SYMLINK_FOLLOW, rest, OpenFlags::empty(), DescriptorFlags::READ).await
}

async fn connect(port: &str) -> Result<(), wasip3::sockets::types::ErrorCode> {
    let port = port.parse().expect("it is a port");
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.connect(IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) })).await
}

fn main() {}
