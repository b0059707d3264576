//! What the viewer shows of one exchange: both messages, the environ that its handler saw, and what the linter says.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use wasmserve_gateway::{
    environ::{self, Peer, Variable},
    escape::escape,
    forwarded::Forwarded,
    lint,
};

use super::summary::Summary;
use crate::capture::{
    message::Message,
    record::{Record, Side},
    script::Script,
};

/// How many bytes of a message, and of a body, are part of the detail. The rest is for download.
const SHOWN_MAX: usize = 64 << 10;

/// All about an exchange, except bytes beyond [`SHOWN_MAX`]. `capture` is the name of the capture that it is from, if there
/// are several.
#[must_use]
pub(super) fn detail(record: &Record, capture: Option<&str>) -> Value {
    json!({
        "summary": Summary::from(record),
        "capture": capture,
        // What the handler's random numbers were made from is a secret.
        "record": Record { script: None, ..record.clone() },
        "varied": record.script.as_ref().map(varied),
        "request": side(&record.request, &Message::request(record)),
        "response": side(&record.response, &Message::response(record)),
        "environ": environ(record),
        "lint": lint::check(&record.request_head()).iter().map(|lint::Finding { what, clause }| {
            json!({ "what": escape(what), "clause": clause })
        }).collect::<Vec<_>>(),
    })
}

/// What an exact replay repeats: the requests to other servers, and what varies without being recorded.
fn varied(script: &Script) -> Value {
    let outbound = script.outbound.iter().map(|sent| {
        json!({
            "at": sent.at,
            "took": sent.took,
            "method": escape(sent.method.as_bytes()),
            "url": escape(sent.url.as_bytes()),
            "status": sent.status,
            "error": sent.error.as_ref().map(|error| escape(error.as_bytes())),
        })
    });
    json!({ "outbound": outbound.collect::<Vec<_>>(), "missing": script.missing })
}

fn side(side: &Side, message: &Message) -> Value {
    json!({
        "wire": shown(&side.bytes),
        "wireLength": side.bytes.len(),
        "head": side.head,
        "line": escape(&message.line),
        "fields": fields(&message.fields),
        "body": shown(&message.body),
        "bodyLength": message.body.len(),
        "trailers": fields(&message.trailers),
        "interim": message.interim.iter().map(|head| String::from_utf8_lossy(head)).map(|head| {
            head.lines().map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join("\n")
        }).collect::<Vec<_>>(),
        "isChunked": message.is_chunked,
        "isWhole": message.is_whole,
    })
}

fn shown(bytes: &[u8]) -> String {
    STANDARD.encode(&bytes[..bytes.len().min(SHOWN_MAX)])
}

fn fields(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<[String; 2]> {
    fields.iter().map(|(name, value)| [escape(name), escape(value)]).collect()
}

/// The environ, built anew from what the record has: the handler may never have asked for it. Values of `--env` are not
/// captured, so they are `null`.
fn environ(record: &Record) -> Option<Vec<(String, Option<String>)>> {
    let facts = record.facts.as_ref()?;
    let mount = facts.mount.parse().ok()?;
    let env: Vec<Variable> =
        facts.env.iter().map(|name| Variable { name: name.clone(), value: String::new() }).collect();
    let forwarded = Forwarded { client: facts.forwarded_for, is_https: facts.is_https };
    let built = environ::build(
        &record.request_head(),
        &environ::Facts {
            peer: Peer { remote: record.remote, local: record.local },
            server_name: facts.server_name.as_deref(),
            mount: &mount,
            content_length: facts.content_length,
            forwarded,
            id: record.id,
            timeout: facts.timeout,
            env: &env,
        },
    );
    let shown = built.into_iter().map(|(name, value)| {
        let is_secret = facts.env.iter().any(|secret| *secret == name);
        (escape(name.as_bytes()), (!is_secret).then(|| escape(&value)))
    });
    Some(shown.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::sample;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn every_record_can_be_shown(record in sample::any_record()) {
            let detail = detail(&record, None);
            prop_assert_eq!(&detail["request"]["wireLength"], &json!(record.request.bytes.len()));
            prop_assert_eq!(detail["environ"].is_null(), record.facts.as_ref().is_none_or(|facts| facts.mount.parse::<wasmserve_gateway::mounts::Mount>().is_err()));
        }
    }
}
