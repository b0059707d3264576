//! The cost of the parts of a request, without a network: `cargo bench -p wasmserve-bench --features parts`.
//!
//! To compare with another commit, `-- --save-baseline before` there and `-- --baseline before` here.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::{BodyExt as _, Full};
use wasmserve::{
    Limits,
    gateway::{
        environ::{self, Facts},
        field::Field,
        forwarded::Forwarded,
        head::ResponseHead,
        input::{Input, ReadError},
        mounts::Mount,
        request::RequestHead,
        response,
    },
};
use wasmserve_bench::{
    exercise::Exercise,
    life::{self, Life},
};

criterion_group!(parts, lives, environs, heads, pipes);
criterion_main!(parts);

/// Store, instantiate, call, drop.
fn lives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("life");
    for exercise in Exercise::all() {
        // Guests whose responses do not fit into the pipe wait for a reader, and here is none.
        if !["hello", "reads_five_variables", "environ", "mirrors_fields", "answers_json"].contains(&exercise.guest) {
            continue;
        }
        let mut life = Life::new(&exercise).expect("the guest can be loaded");
        group
            .bench_function(exercise.guest, |bencher| bencher.iter(|| life.call().expect("the handler does not fail")));
    }
    group.finish();
}

/// The environ of a small request and of one with 21 fields.
fn environs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("environ");
    for exercise in Exercise::all().into_iter().filter(|exercise| ["hello", "mirrors_fields"].contains(&exercise.guest))
    {
        let (head, _) = life::split(&exercise.request);
        let head = RequestHead::new(head);
        let facts = Facts {
            peer: life::peer(),
            server_name: None,
            mount: &Mount::ROOT,
            content_length: None,
            forwarded: Forwarded::default(),
            id: 1,
            timeout: Duration::from_secs(30),
            env: &[],
        };
        group.bench_function(exercise.guest, |bencher| bencher.iter(|| environ::build(black_box(&head), &facts)));
    }
    group.finish();
}

/// The checks of request heads and of response heads.
fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    for count in [2_usize, 21] {
        let field = |number| -> Field { (format!("X-Field-{number}"), format!("a value {number}").into_bytes()) };
        let fields: Vec<Field> = (0..count).map(field).collect();
        let limits = life::rules().limits;
        group.bench_function(BenchmarkId::new("response", count), |bencher| {
            let check = |fields| ResponseHead::check(black_box("200 OK"), fields, limits).expect("it is well-formed");
            bencher.iter_batched(|| fields.clone(), check, BatchSize::SmallInput);
        });
        let lines = fields.iter().map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value)));
        let lines: String = lines.collect();
        let head = RequestHead::new(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into());
        group.bench_function(BenchmarkId::new("request", count), |bencher| {
            bencher.iter(|| black_box(&head).check(Limits::DEFAULT.request_head()).expect("it is well-formed"));
        });
    }
    group.finish();
}

/// A response through its pipe, and a request body through its own.
fn pipes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipe");
    for (size, count) in [(14_usize, 1_usize), (1 << 10, 64), (16 << 10, 4)] {
        let chunk = Bytes::from(vec![b'x'; size]);
        group.throughput(Throughput::Bytes((size * count) as u64));
        group.bench_function(BenchmarkId::new("response", format!("{count} x {size}")), |bencher| {
            bencher.iter(|| {
                let (mut writer, mut reader) = response::channel(life::rules());
                writer.start("200 OK", Vec::new(), None).expect("it is well-formed");
                for _ in 0..count {
                    now(writer.write(chunk.clone())).expect("there is a reader");
                }
                writer.end().expect("the response is complete");
                let cx = &mut Context::from_waker(Waker::noop());
                assert!(reader.poll_head(cx).is_ready());
                while let Poll::Ready(Some(chunk)) = reader.poll_chunk(cx) {
                    black_box(chunk).expect("the response is complete");
                }
            });
        });
        let whole = Bytes::from(vec![b'x'; size * count]);
        group.bench_function(BenchmarkId::new("input", format!("{count} x {size}")), |bencher| {
            bencher.iter(|| {
                let body = Full::new(whole.clone()).map_err(|never| -> ReadError { match never {} });
                let mut input = Input::new(Some(Box::pin(body)), Limits::DEFAULT.body);
                while !now(input.read(size)).expect("the body is complete").is_empty() {}
            });
        });
    }
    group.finish();
}

/// The result of a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future must not wait"),
    }
}
