//! The connection to the host. On wasm this is the real host, natively it is a stand-in with a test request. No other
//! module of this crate depends on which.

use std::{ops::Deref, rc::Rc};

use crate::{ReadError, StartError, WriteError};

#[cfg(target_family = "wasm")]
mod host;
#[cfg(not(target_family = "wasm"))]
mod stand_in;

#[cfg(target_family = "wasm")]
pub(crate) use host::{Host, Shared};
#[cfg(not(target_family = "wasm"))]
pub(crate) use stand_in::{Host, Shared};

pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// The connection to the host.
#[derive(Clone)]
pub(crate) struct Gateway(Host);

/// Middleware between the application and the host, for the calls that transfer heads and bodies. A handler contains
/// the code of a layer only if it uses one. Otherwise it checks that there is none, and `lto` removes even that.
pub(crate) trait Layer {
    /// The connection to the host below this layer.
    fn below(&self) -> &Below;

    fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        self.below().read(max)
    }

    fn trailers(&self) -> Fields {
        self.below().trailers()
    }

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        self.below().start_response(status, headers, exc_info)
    }

    /// `finish` for the `last` chunk, `write` for others.
    fn write(&self, chunk: &[u8], last: bool) -> Result<(), WriteError> {
        self.below().write(chunk, last)
    }

    /// Whether this layer or one below it is a validator.
    fn validates(&self) -> bool {
        self.below().validates()
    }
}

/// The connection to the host below a layer, without the layer itself and those above it.
pub(crate) struct Below {
    host: Host,
    layer: Option<Shared>,
}

impl Below {
    pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        match &self.layer {
            None => self.host.read(max),
            Some(layer) => layer.read(max),
        }
    }

    pub(crate) fn trailers(&self) -> Fields {
        match &self.layer {
            None => self.host.trailers(),
            Some(layer) => layer.trailers(),
        }
    }

    pub(crate) fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        match &self.layer {
            None => self.host.start_response(status, headers, exc_info),
            Some(layer) => layer.start_response(status, headers, exc_info),
        }
    }

    pub(crate) fn write(&self, chunk: &[u8], last: bool) -> Result<(), WriteError> {
        match &self.layer {
            None if last => self.host.finish(chunk),
            None => self.host.write(chunk),
            Some(layer) => layer.write(chunk, last),
        }
    }

    /// For filters, below which there is no layer: nothing else could put one there.
    #[cfg(target_family = "wasm")]
    pub(crate) fn respond(&self, status: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), StartError> {
        self.host.respond(status, headers, body)
    }

    pub(crate) fn validates(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| layer.validates())
    }
}

/// The host itself, for calls that transfer neither heads nor bodies.
impl Deref for Below {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Gateway {
    pub(crate) fn new(host: Host) -> Self {
        Self(host)
    }

    /// The connection below the next layer.
    pub(crate) fn below(&self) -> Below {
        Below { host: self.0.clone(), layer: self.0.layer() }
    }

    /// Calls a function with a layer between it and the host. The layer is removed afterwards, so that outer middleware
    /// can still respond.
    pub(crate) fn under<T>(&self, layer: &Rc<impl Layer + 'static>, run: impl FnOnce() -> T) -> T {
        let before = self.0.replace_layer(Some(Host::share(layer)));
        let outcome = run();
        self.0.replace_layer(before);
        outcome
    }

    pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        self.below().read(max)
    }

    pub(crate) fn trailers(&self) -> Fields {
        self.below().trailers()
    }

    pub(crate) fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        self.below().start_response(status, headers, exc_info)
    }

    // Not through `Below`, which would make every handler import both functions.
    pub(crate) fn write(&self, chunk: &[u8]) -> Result<(), WriteError> {
        match self.0.layer() {
            None => self.0.write(chunk),
            Some(layer) => layer.write(chunk, false),
        }
    }

    pub(crate) fn finish(&self, last: &[u8]) -> Result<(), WriteError> {
        match self.0.layer() {
            None => self.0.finish(last),
            Some(layer) => layer.write(last, true),
        }
    }

    pub(crate) fn respond(&self, status: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), StartError> {
        match self.0.layer() {
            None => self.0.respond(status, headers, body),
            Some(layer) => {
                layer.start_response(status, headers, None)?;
                // `respond` does not report what happens to the body.
                let _ = layer.write(body, true);
                Ok(())
            }
        }
    }
}

/// The host itself, for calls that layers do not see.
impl Deref for Gateway {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}
