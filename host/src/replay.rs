//! Replays captured requests: the same bytes through the same door, with the original's addresses, into the handler that is
//! served now. Each replay is an exchange of its own, whose response is compared with the original's.

pub(crate) mod arrivals;
pub(crate) mod compare;
mod door;
mod http2;
pub(crate) mod replayer;
pub(crate) mod saved;
