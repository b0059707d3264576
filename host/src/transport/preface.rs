//! The connection preface of HTTP/2.

/// The first bytes from a client that knows that the server supports HTTP/2 (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
