//! Requests of a handler to other servers: recorded, and answered from the record in a replay.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
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
/// # Errors
///
/// Those of sending; or this is a replay, and the original did not send this request.
pub(super) async fn exchange<Sending: Future<Output = Sent> + Send>(
    recording: Recording,
    request: http::Request<WasiBody>,
    send: impl FnOnce(http::Request<WasiBody>) -> Sending + Send,
) -> Sent {
    let (method, url) = (request.method().to_string(), request.uri().to_string());
    let index = recording.send(&method, &url);
    if let Some(player) = recording.player() {
        let asked = format!("{method} {url}");
        let original = played(&recording, &asked, |call| {
            let Call::Send(index) = call else { return None };
            let sent = player.script().outbound.get(*index)?;
            (sent.method == method && sent.url == url).then(|| sent.clone())
        });
        if let Some(index) = index {
            recording.call(Call::Send(index));
            if let Some(original) = &original {
                recording.sent_to_others(index, |outbound, at| *outbound = Outbound { at, ..original.clone() });
            }
        }
        return answer(original);
    }
    if let Some(index) = index {
        recording.call(Call::Send(index));
    }
    let sent = send(request).await;
    let Some(index) = index else { return sent };
    match sent {
        Ok((response, io)) => {
            recording.sent_to_others(index, |outbound, at| {
                outbound.took = Some(at.saturating_sub(outbound.at));
                outbound.status = response.status().as_u16();
                let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                outbound.fields =
                    response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
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
    let Some(Outbound { status, fields, body, is_whole: true, .. }) = original else {
        return Err(HttpError::HttpRequestDenied);
    };
    let mut response = http::Response::new(Full::from(body).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(status).map_err(|_| HttpError::HttpRequestDenied)?;
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok((response, Box::new(std::future::ready(Ok(())))))
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
