//! The exact bytes: `nc HOST PORT < 17.request`.

use super::exchange::{Exchange, Written};

/// Adds the bytes of a request, and those of its response as a file beside it.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    let Exchange { record, name, .. } = exchange;
    written.bytes.extend_from_slice(&record.request.bytes);
    if !record.response.bytes.is_empty() {
        written.beside.push((format!("{name}.response"), record.response.bytes.to_vec()));
    }
    if exchange.is_http2() {
        written.notes.push(format!("[{}] was HTTP/2, which is shown as text, without its frames", record.id));
    }
    written.notes.extend(exchange.missing().into_iter().map(|what| format!("[{}] {what}", record.id)));
}
