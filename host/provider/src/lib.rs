//! The gateway inside of an exported handler.
//!
//! A handler imports the interfaces of `wasmserve:gateway`, which only wasmserve has. This component has them too, and
//! needs nothing but `wasi:http` 0.2. The host's request is turned into an environ, and what the handler says into a
//! response, by the same code as in the server: the package `wasmserve-gateway`.
//!
//! There is one exchange for each instance. `wasmserve:provider/exchange` says when it begins and ends.

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "it is an allocator")]
mod arena;
#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "it is generated"
)]
mod bindings;
mod exchange;
mod reply;
mod request;

use std::cell::RefCell;

use self::{
    bindings::{
        exports::wasmserve::{
            gateway::{environ, errors, input, response},
            provider::exchange::Guest,
            python::passwords,
        },
        wasi::http::types::{IncomingRequest, ResponseOutparam},
    },
    exchange::Exchange,
};
use wasmserve_gateway::{Field, head::StartError, input::ReadError, response::WriteError};

thread_local! { static EXCHANGE: RefCell<Option<Exchange>> = const { RefCell::new(None) } }

/// Calls a function with the exchange of this instance.
fn exchange<T>(call: impl FnOnce(&mut Exchange) -> T) -> T {
    EXCHANGE.with_borrow_mut(|exchange| call(exchange.as_mut().expect("the exchange has begun")))
}

struct Provider;

impl Guest for Provider {
    fn begin(request: IncomingRequest, response: ResponseOutparam) {
        EXCHANGE.set(Some(Exchange::new(request, response)));
    }

    fn end(outcome: Result<(), String>) {
        if let Some(exchange) = EXCHANGE.take() {
            exchange.end(outcome);
        }
    }
}

impl environ::Guest for Provider {
    fn get(name: String) -> Option<Vec<u8>> {
        exchange(|exchange| {
            exchange.environ().iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_vec())
        })
    }

    fn copy_all() -> Vec<Field> {
        exchange(|exchange| {
            exchange.environ().iter().map(|(name, value)| (name.as_ref().to_owned(), value.to_vec())).collect()
        })
    }

    fn headers() -> Vec<Field> {
        exchange(|exchange| {
            let fields = exchange.head().fields();
            fields.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec())).collect()
        })
    }

    fn raw_head() -> Vec<u8> {
        exchange(|exchange| exchange.head().raw().to_vec())
    }
}

impl errors::Guest for Provider {
    fn log(line: Vec<u8>) {
        reply::log(&line);
    }
}

impl input::Guest for Provider {
    fn read(max: u32) -> Result<Vec<u8>, input::ReadError> {
        exchange(|exchange| exchange.read(max)).map(Vec::from).map_err(|error| match error {
            ReadError::Disconnected => input::ReadError::Disconnected,
            ReadError::Malformed => input::ReadError::Malformed,
            ReadError::TooLarge => input::ReadError::TooLarge,
            ReadError::TimedOut => input::ReadError::TimedOut,
        })
    }

    fn trailers() -> Vec<Field> {
        exchange(|exchange| exchange.trailers())
    }
}

impl response::Guest for Provider {
    fn start_response(
        status: String,
        headers: Vec<Field>,
        exc_info: Option<Vec<u8>>,
    ) -> Result<(), response::StartError> {
        exchange(|exchange| exchange.start(&status, headers, exc_info)).map_err(start_error)
    }

    fn write(chunk: Vec<u8>) -> Result<(), response::WriteError> {
        exchange(|exchange| exchange.write(chunk.into())).map_err(write_error)
    }

    fn finish(last: Vec<u8>) -> Result<(), response::WriteError> {
        exchange(|exchange| exchange.finish(last.into())).map_err(write_error)
    }

    fn respond(status: String, headers: Vec<Field>, body: Vec<u8>) -> Result<(), response::StartError> {
        exchange(|exchange| {
            exchange.start(&status, headers, None)?;
            // An error of the body (longer than its Content-Length, or a client that left) is not one of the start.
            _ = exchange.finish(body.into());
            Ok(())
        })
        .map_err(start_error)
    }

    fn connected() -> bool {
        exchange(|exchange| exchange.is_connected())
    }
}

impl passwords::Guest for Provider {
    fn pbkdf2(hash: String, password: Vec<u8>, salt: Vec<u8>, rounds: u32, length: u32) -> Option<Vec<u8>> {
        wasmserve_passwords::pbkdf2(&hash, &password, &salt, rounds, length)
    }

    fn scrypt(password: Vec<u8>, salt: Vec<u8>, n: u64, r: u32, p: u32, length: u32) -> Option<Vec<u8>> {
        wasmserve_passwords::scrypt(&password, &salt, n, r, p, length)
    }
}

fn start_error(error: StartError) -> response::StartError {
    match error {
        StartError::AlreadyStarted => response::StartError::AlreadyStarted,
        StartError::HeadersSent => response::StartError::HeadersSent,
        StartError::BadStatus => response::StartError::BadStatus,
        StartError::BadHeader(what) => response::StartError::BadHeader(what),
        StartError::HopByHop(name) => response::StartError::HopByHop(name),
    }
}

fn write_error(error: WriteError) -> response::WriteError {
    match error {
        WriteError::NotStarted => response::WriteError::NotStarted,
        WriteError::Disconnected => response::WriteError::Disconnected,
        WriteError::PastContentLength => response::WriteError::PastContentLength,
        WriteError::TimedOut => response::WriteError::TimedOut,
    }
}

/// The functions that the component exports.
#[allow(unreachable_pub, unsafe_code, clippy::allow_attributes, reason = "it is generated")]
mod exports {
    use super::{Provider, bindings};

    bindings::export!(Provider with_types_in bindings);
}
