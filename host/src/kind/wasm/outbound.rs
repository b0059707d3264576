//! Requests of a handler to other servers: recorded, and answered from the record in a replay.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::repeat::played;
use crate::capture::{
    recording::Recording,
    script::{Call, Outbound},
};

/// The response to an outgoing request, and what drives its connection.
pub(super) type Sent =
    Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

/// Sends a request with `send` and records what comes back. In a replay it is never sent.
///
/// What is recorded of the call, or played, is so at once and not when the future is polled: other calls of the handler come
/// before or after it.
pub(super) fn exchange<Sending: Future<Output = Sent> + Send>(
    recording: Recording,
    request: http::Request<WasiBody>,
    send: impl FnOnce(http::Request<WasiBody>) -> Sending + Send,
) -> impl Future<Output = Sent> + Send {
    let (method, url) = (request.method().to_string(), request.uri().to_string());
    let index = recording.send(&method, &url);
    let played = recording.player().map(|player| {
        let asked = format!("{method} {url}");
        played(&recording, &asked, |call| {
            let Call::Send(index) = call else { return None };
            let sent = player.script().outbound.get(*index)?;
            (sent.method == method && sent.url == url).then(|| sent.clone())
        })
    });
    if let Some(index) = index {
        recording.call(Call::Send(index));
        if let Some(Some(original)) = &played {
            recording.sent_to_others(index, |outbound, at| *outbound = Outbound { at, ..original.clone() });
        }
    }
    async move {
        match (played, index) {
            (Some(original), _) => answer(original),
            (None, None) => send(request).await,
            (None, Some(index)) => record(recording, index, send(request).await),
        }
    }
}

/// Records the answer to a request.
fn record(recording: Recording, index: usize, sent: Sent) -> Sent {
    match sent {
        Ok((response, io)) => {
            recording.sent_to_others(index, |outbound, at| {
                outbound.took = Some(at.saturating_sub(outbound.at));
                outbound.status = response.status().as_u16();
                let fields = response.headers().iter();
                outbound.fields =
                    fields.map(|(name, value)| (name.to_string(), as_characters(value.as_bytes()))).collect();
            });
            let recorded = |body: WasiBody| Recorded { body, recording, index }.boxed_unsync();
            Ok((response.map(recorded), io))
        }
        Err(error) => {
            recording.sent_to_others(index, |outbound, at| {
                outbound.took = Some(at.saturating_sub(outbound.at));
                outbound.error = Some(error.to_string());
            });
            Err(error)
        }
    }
}

/// The answer of the original.
fn answer(original: Option<Outbound>) -> Sent {
    let Outbound { status, fields, body, is_whole, error, .. } = original.ok_or(HttpError::HttpRequestDenied)?;
    if status == 0 {
        return Err(error.map_or(HttpError::HttpRequestDenied, |error| error_of(&error)));
    }
    // A handler that did not read to the end then will not do so now.
    let end = (!is_whole).then(|| error.map_or(HttpError::HttpResponseIncomplete, |error| error_of(&error)));
    let mut response = http::Response::new(Repeated { body: Some(body.into()), end }.boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(status).map_err(|_| HttpError::HttpRequestDenied)?;
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(as_bytes(&value)))
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok((response, Box::new(std::future::ready(Ok(())))))
}

/// Bytes as text in which each character is a byte.
fn as_characters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes that [`as_characters`] has made the text of.
fn as_bytes(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The error with this text, as far as a handler can tell it from others.
fn error_of(text: &str) -> HttpError {
    const PLAIN: [fn() -> HttpError; 23] = [
        || HttpError::DnsTimeout,
        || HttpError::DestinationNotFound,
        || HttpError::DestinationUnavailable,
        || HttpError::DestinationIpProhibited,
        || HttpError::DestinationIpUnroutable,
        || HttpError::ConnectionRefused,
        || HttpError::ConnectionTerminated,
        || HttpError::ConnectionTimeout,
        || HttpError::ConnectionReadTimeout,
        || HttpError::ConnectionWriteTimeout,
        || HttpError::ConnectionLimitReached,
        || HttpError::TlsProtocolError,
        || HttpError::TlsCertificateError,
        || HttpError::HttpRequestDenied,
        || HttpError::HttpRequestLengthRequired,
        || HttpError::HttpRequestMethodInvalid,
        || HttpError::HttpRequestUriInvalid,
        || HttpError::HttpRequestUriTooLong,
        || HttpError::HttpResponseIncomplete,
        || HttpError::HttpResponseTimeout,
        || HttpError::HttpUpgradeFailed,
        || HttpError::LoopDetected,
        || HttpError::ConfigurationError,
    ];
    if let Some(plain) = PLAIN.iter().map(|error| error()).find(|error| error.to_string() == text) {
        return plain;
    }
    if let Some(why) = text.strip_prefix("connection error: ") {
        // The system's errors end in `(os error 111)`. What a handler gets depends on which one it was.
        let number = why.rsplit_once("(os error ").and_then(|(_, number)| number.strip_suffix(')')?.parse().ok());
        return HttpError::Connect(number.map_or_else(|| io::Error::other(why), io::Error::from_raw_os_error));
    }
    match text.strip_prefix("TLS error: ") {
        Some(why) => HttpError::Tls(io::Error::other(why)),
        None => HttpError::HttpProtocolError,
    }
}

/// The body of a response in a replay: what was recorded of it, and an error if that is not all.
struct Repeated {
    body: Option<Bytes>,
    end: Option<HttpError>,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = self.body.take().filter(|body| !body.is_empty());
        Poll::Ready(body.map(|body| Ok(Frame::data(body))).or_else(|| self.end.take().map(Err)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Bytes::is_empty) && self.end.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.body.as_ref().map_or(0, |body| body.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(length);
        if self.end.is_none() {
            hint.set_exact(length);
        }
        hint
    }
}

/// The body of a response, which is recorded as it is read.
struct Recorded {
    body: WasiBody,
    recording: Recording,
    index: usize,
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.recording.received_from_others(self.index, data);
                }
            }
            Some(Err(error)) => {
                self.recording.sent_to_others(self.index, |outbound, _| outbound.error = Some(error.to_string()));
            }
            None => {
                self.recording.sent_to_others(self.index, |outbound, _| outbound.is_whole = outbound.error.is_none())
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_bytes_stays_as_it_is() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(as_bytes(&as_characters(&bytes)), bytes);
    }

    #[test]
    fn an_error_is_found_again_by_its_text() {
        for error in [
            HttpError::HttpRequestDenied,
            HttpError::ConnectionReadTimeout,
            HttpError::ConfigurationError,
            HttpError::Connect(io::Error::from_raw_os_error(111)),
            HttpError::Connect(io::Error::other("failed to lookup address information: x")),
            HttpError::Tls(io::Error::other("a bad certificate")),
        ] {
            let (text, found) = (error.to_string(), error_of(&error.to_string()));
            assert_eq!(found.to_string(), text);
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&error), "{text}");
            if let (HttpError::Connect(found), HttpError::Connect(error)) = (found, error) {
                assert_eq!(found.kind(), error.kind());
            }
        }
    }
}
