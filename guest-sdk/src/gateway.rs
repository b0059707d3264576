//! The other side of the contract: on wasm the host, natively a stand-in with a made-up request. Nothing else in this
//! crate knows which.

use std::ops::Deref;

use crate::{ReadError, StartError, WriteError};

#[cfg(target_family = "wasm")]
mod host;
#[cfg(not(target_family = "wasm"))]
mod stand_in;

#[cfg(target_family = "wasm")]
pub(crate) use host::Host;
#[cfg(not(target_family = "wasm"))]
pub(crate) use stand_in::Host;

pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// The way to the host.
#[derive(Clone)]
pub(crate) struct Gateway(Host);

/// What may stand in the way to the host, for the calls that can break the contract. Only a handler that makes one has its
/// code; the others have a look at whether there is one, and with `lto` not even that.
pub(crate) trait Layer {
    fn read(&self, max: u32) -> Result<Vec<u8>, ReadError>;

    fn trailers(&self) -> Fields;

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError>;

    /// `finish` for the `last` chunk, else `write`.
    fn write(&self, chunk: &[u8], last: bool) -> Result<(), WriteError>;
}

impl Gateway {
    pub(crate) fn new(host: Host) -> Self {
        Self(host)
    }

    pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        match self.0.layer() {
            None => self.0.read(max),
            Some(layer) => layer.read(max),
        }
    }

    pub(crate) fn trailers(&self) -> Fields {
        match self.0.layer() {
            None => self.0.trailers(),
            Some(layer) => layer.trailers(),
        }
    }

    pub(crate) fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        match self.0.layer() {
            None => self.0.start_response(status, headers, exc_info),
            Some(layer) => layer.start_response(status, headers, exc_info),
        }
    }

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
                // Whatever becomes of the body, `respond` does not tell.
                let _ = layer.write(body, true);
                Ok(())
            }
        }
    }
}

/// The host itself: for the calls that no layer has to see, and for the layer.
impl Deref for Gateway {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}
