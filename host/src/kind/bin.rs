//! The request bin: reads every request to its end, and gives it the answer that the user chose.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use wasmserve_gateway::{
    field::Field,
    head::{HeadLimits, ResponseHead},
};

use super::native::{Answering, Native};
use crate::{base::grants::Allowance, handler::Call};

/// How long a body may be, in bytes.
const BODY_MAX: usize = 1 << 20;

/// How much of a request's body is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// What every client gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The status, from 200 to 999.
    pub status: u16,
    /// The fields, in this order. None of them frames the body.
    pub fields: Vec<(String, String)>,
    /// The body; if `None`, the body of the request, and its Content-Type unless `fields` has one.
    pub body: Option<String>,
}

impl Answer {
    /// What a bin answers until the user chooses something else: a 200 without a body to speak of, or with what the client
    /// has sent.
    #[must_use]
    pub(crate) fn first(echoes: bool) -> Self {
        let text = ("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned());
        match echoes {
            true => Self { status: 200, fields: Vec::new(), body: None },
            false => Self { status: 200, fields: vec![text], body: Some("ok\n".to_owned()) },
        }
    }

    /// Checks that it can be sent.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.body.as_ref().is_some_and(|body| body.len() > BODY_MAX) {
            return Err(format!("the body is longer than {BODY_MAX} bytes"));
        }
        let head = ResponseHead::check(&self.line(), self.fields(), HeadLimits::DEFAULT);
        match head.map_err(|error| error.to_string())?.length {
            Some(_) => Err("Content-Length follows from the body; leave it out".into()),
            None => Ok(()),
        }
    }

    /// The status with its usual reason.
    fn line(&self) -> String {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        format!("{} {}", self.status, reason.unwrap_or_default())
    }

    fn fields(&self) -> Vec<Field> {
        self.fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
    }
}

/// A request bin. Its answer can be changed at any time.
#[derive(Debug)]
pub(crate) struct Bin(ArcSwap<Answer>);

impl Bin {
    /// Creates a bin with this answer.
    #[must_use]
    pub(crate) fn new(answer: Answer) -> Self {
        Self(ArcSwap::from_pointee(answer))
    }

    /// The current answer.
    #[must_use]
    pub(crate) fn answer(&self) -> Arc<Answer> {
        self.0.load_full()
    }

    /// Changes the answer for requests that begin from now on. It must be one that passes [`Answer::check`].
    pub(crate) fn set(&self, answer: Answer) {
        self.0.store(Arc::new(answer));
    }
}

impl Default for Bin {
    fn default() -> Self {
        Self::new(Answer::first(false))
    }
}

/// The handler that answers for a bin.
#[must_use]
pub(crate) fn handler(bin: &Arc<Bin>, allowance: &Allowance) -> Native {
    let bin = Arc::clone(bin);
    Native::new(move |call| respond(call, bin.answer()), &allowance.limits, &allowance.grants)
}

fn respond(call: &mut Call, answer: Arc<Answer>) -> Answering<'_> {
    Box::pin(async move { respond_with(call, &answer).await })
}

async fn respond_with(call: &mut Call, answer: &Answer) -> Result<(), String> {
    let mut fields = answer.fields();
    let Some(body) = &answer.body else {
        let has_type = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !has_type && let Some(media_type) = call.exchange.head.values("content-type").next() {
            fields.push(("Content-Type".to_owned(), media_type.to_vec()));
        }
        call.writer.start(&answer.line(), fields, None).map_err(|error| error.to_string())?;
        loop {
            let piece = read(call).await?;
            if piece.is_empty() || call.writer.write(piece).await.is_err() {
                return Ok(());
            }
        }
    };
    // Seen as a whole, and no client has to wait with its body for the answer.
    while !read(call).await?.is_empty() {}
    call.writer.respond(&answer.line(), fields, Bytes::from(body.clone())).map_err(|error| error.to_string())
}

async fn read(call: &mut Call) -> Result<Bytes, String> {
    call.input.read(PIECE).await.map_err(|error| format!("the request's body cannot be read: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], body: Option<String>) -> Answer {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, fields, body }
    }

    #[test]
    fn an_answer_is_checked_before_a_client_gets_it() {
        for good in [
            Answer::first(true),
            Answer::first(false),
            answer(204, &[], None),
            answer(503, &[("Retry-After", "1"), ("Set-Cookie", "a=b"), ("set-cookie", "c=d")], Some("é".into())),
            answer(599, &[], Some(String::new())),
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for (bad, part) in [
            (answer(100, &[], None), "200 to 999"),
            (answer(0, &[], None), "200 to 999"),
            (answer(200, &[("Content-Length", "3")], None), "Content-Length"),
            (answer(200, &[("Transfer-Encoding", "chunked")], None), "hop-by-hop"),
            (answer(200, &[("X", "a\r\nSet-Cookie: b=c")], None), "control character"),
            (answer(200, &[("a b", "")], None), "not a token"),
            (answer(200, &[], Some("x".repeat(BODY_MAX + 1))), "longer"),
        ] {
            assert!(bad.check().is_err_and(|error| error.contains(part)), "{bad:?}");
        }
    }
}
