//! The real host, through the generated bindings.

use std::{cell::Cell, rc::Rc};

use super::Layer;
use crate::{
    ReadError, StartError, WriteError,
    bindings::wasmserve::gateway::{environ, errors, input, response},
};

/// Has no fields, because an instance serves one request.
#[derive(Clone)]
pub(crate) struct Host;

/// A shared layer. It is leaked, because there are few layers and the instance is short-lived.
pub(crate) type Shared = &'static dyn Layer;

thread_local! {
    static LAYER: Cell<Option<Shared>> = const { Cell::new(None) };
}

impl Host {
    pub(crate) fn layer(&self) -> Option<Shared> {
        LAYER.get()
    }

    pub(crate) fn replace_layer(&self, layer: Option<Shared>) -> Option<Shared> {
        LAYER.replace(layer)
    }

    pub(crate) fn share(layer: &Rc<impl Layer + 'static>) -> Shared {
        &**Box::leak(Box::new(Rc::clone(layer)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        environ::get(name)
    }

    pub(crate) fn copy_all(&self) -> Vec<(String, Vec<u8>)> {
        environ::copy_all()
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        environ::headers()
    }

    pub(crate) fn raw_head(&self) -> Vec<u8> {
        environ::raw_head()
    }

    pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        input::read(max)
    }

    pub(crate) fn trailers(&self) -> Vec<(String, Vec<u8>)> {
        input::trailers()
    }

    pub(crate) fn log(&self, line: &[u8]) {
        errors::log(line);
    }

    pub(crate) fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        response::start_response(status, headers, exc_info)
    }

    pub(crate) fn write(&self, chunk: &[u8]) -> Result<(), WriteError> {
        response::write(chunk)
    }

    pub(crate) fn finish(&self, last: &[u8]) -> Result<(), WriteError> {
        response::finish(last)
    }

    pub(crate) fn respond(&self, status: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), StartError> {
        response::respond(status, headers, body)
    }

    pub(crate) fn connected(&self) -> bool {
        response::connected()
    }
}
