//! How a connection of HTTP/2 begins.

/// How a connection of HTTP/2 begins, if the client knows that we speak it (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
