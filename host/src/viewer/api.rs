//! The viewer's API, as docs/see.md describes it. The door has checked each request before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;
use wasmserve_gateway::{environ::SOFTWARE, escape::escape};

use super::{
    assets,
    detail::detail,
    door::{self, Refusal},
    hub::{Change, Hub, STREAMS_MAX, wait},
    live,
    summary::{Filter, Summary},
};
use crate::{
    base::stack::Stack,
    capture::{
        export::{Exported, Exporter, Format},
        message::Message,
        redact::Redaction,
    },
    kind::bin::Answer,
    replay::{
        compare::comparison::Comparison,
        replayer::{self, Pace},
    },
};

/// How many exchanges one request can list.
const LIST_MAX: usize = 1000;

/// How many it lists unless it says otherwise.
const LIST_DEFAULT: usize = 200;

/// How long one request may search.
const SEARCH_MAX: Duration = Duration::from_secs(2);

/// How many records are looked at before others may use the thread.
const STEP: usize = 50;

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a stream without events shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Shared = State<Arc<Hub>>;

/// The routes of the API and of the page.
pub(super) fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/api/state", get(state))
        .route("/api/exchanges", get(exchanges))
        .route("/api/exchanges/{seq}", get(exchange))
        .route("/api/exchanges/{seq}/{side}/{part}", get(bytes))
        .route("/api/exchanges/{seq}/keep", post(keep))
        .route("/api/exchanges/{seq}/replay", post(replay))
        .route("/api/exchanges/{seq}/export/{format}", get(export))
        .route("/api/export/{format}", get(export_all))
        .route("/api/compare", get(compare))
        .route("/api/saved", get(saved))
        .route("/api/running", get(list_running))
        .route("/api/running/{id}/stack", post(stack))
        .route("/api/running/{id}/end", post(end))
        .route("/api/pause", post(pause))
        .route("/api/clear", post(clear))
        .route("/api/bin", get(bin).put(set_bin))
        .route("/api/events", get(events))
        .fallback(page)
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this part of the API does not know the method")
        })
        .with_state(hub)
}

async fn page(uri: Uri) -> Result<Response, Refusal> {
    match assets::find(uri.path()) {
        Some(asset) => Ok(([(header::CONTENT_TYPE, asset.media_type())], asset.content()).into_response()),
        None => Err(Refusal::not_found("there is nothing here")),
    }
}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query.map(|Query(query)| query).map_err(|error| Refusal::bad_request(error.body_text()))
}

/// The body of a request.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let body = timeout(BODY_TIMEOUT, to_bytes(body, door::BODY_MAX)).await;
    let body = body.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?;
    let body = body.map_err(|_| door::too_large())?;
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("the body is not what is expected: {error}")))
}

async fn state(State(hub): Shared) -> Json<Value> {
    let (store, server) = (&hub.subject.store, hub.server());
    let (counts, (used, max)) = (store.counts(), store.memory());
    let (why_no_replay, why_not_on_save) = (hub.why_no_replay(), hub.why_not_on_save());
    Json(json!({
        "version": SOFTWARE,
        "url": server.map(|server| &server.url),
        "captures": hub.captures(),
        "handlers": hub.handlers(),
        "paused": store.is_paused(),
        "counts": { "seen": counts.seen, "removed": counts.removed },
        "memory": { "used": used, "max": max },
        "files": hub.files(),
        "replay": { "isAllowed": why_no_replay.is_none(), "why": why_no_replay },
        "onSave": { "isOn": why_not_on_save.is_none(), "why": why_not_on_save },
        "bin": server.and_then(|server| server.bin.as_ref()).map(|bin| json!(*bin.answer())),
    }))
}

#[derive(Deserialize)]
struct List {
    q: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// The newest exchanges that a filter lets through. Searches for a limited time, and says how far it came: older ones are
/// those before `next`.
async fn exchanges(State(hub): Shared, asked: Result<Query<List>, QueryRejection>) -> Result<Json<Value>, Refusal> {
    let List { q, before, limit } = query(asked)?;
    let filter: Filter = q.unwrap_or_default().parse().map_err(Refusal::bad_request)?;
    let limit = limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX);
    let store = &hub.subject.store;
    let total = store.len();
    let (begun, mut before) = (Instant::now(), before.unwrap_or(u64::MAX));
    let (mut found, mut searched, mut is_end) = (Vec::new(), 0, false);
    while found.len() < limit && !is_end && begun.elapsed() < SEARCH_MAX {
        let records = store.before(before, STEP);
        is_end = records.is_empty();
        for record in &records {
            if found.len() == limit {
                break;
            }
            (before, searched) = (record.seq, searched + 1);
            if filter.applies(record) {
                found.push(json!(Summary::from(&**record)));
            }
        }
        tokio::task::yield_now().await;
    }
    let next = (!is_end).then_some(before);
    Ok(Json(json!({ "exchanges": found, "searched": searched, "total": total, "next": next })))
}

async fn exchange(State(hub): Shared, Path(seq): Path<String>) -> Result<Json<Value>, Refusal> {
    let record = hub.record(&seq)?;
    Ok(Json(detail(&record, hub.capture(record.seq).as_deref())))
}

/// Bytes as they were captured, which no browser shows or runs.
async fn bytes(
    State(hub): Shared,
    Path((seq, side, part)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let record = hub.record(&seq)?;
    let bytes = match (&*side, &*part) {
        ("request", "wire") => record.request.bytes.clone(),
        ("response", "wire") => record.response.bytes.clone(),
        ("request", "body") => Message::request(&record).body.into(),
        ("response", "body") => Message::response(&record).body.into(),
        _ => {
            return Err(Refusal::not_found(format!(
                "an exchange has no {side}/{part}, but request and response, each with wire and body"
            )));
        }
    };
    let ending = if part == "body" { "-body" } else { "" };
    Ok(attachment(&format!("{seq}.{side}{ending}"), "application/octet-stream", bytes))
}

/// A file to save.
fn attachment(name: &str, media_type: &'static str, bytes: Bytes) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], bytes).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    note: Option<String>,
}

async fn keep(State(hub): Shared, Path(seq): Path<String>, body: Body) -> Result<Response, Refusal> {
    let Keep { note } = read(body).await?;
    let record = hub.record(&seq)?;
    hub.asked("files are only read; `wasmserve convert --as warc --only ID` makes a file of one exchange")?;
    if note.as_ref().is_some_and(|note| note.len() > NOTE_MAX) {
        return Err(Refusal::bad_request(format!("the note is longer than {NOTE_MAX} bytes")));
    }
    let kept = hub.subject.store.keep(record.seq, note);
    let kept =
        kept.map_err(|why| Refusal::new(StatusCode::CONFLICT, format!("{why}; stop keeping another one first")))?;
    // Removed in the meantime.
    let record = kept.map_or_else(|| hub.record(&seq), Ok)?;
    hub.changed(Change::Kept(Arc::clone(&record)));
    Ok(Json(Summary::from(&*record)).into_response())
}

/// How long the note of an exchange that is kept may be, in bytes.
const NOTE_MAX: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    /// What to send in place of the original request, as base64.
    bytes: Option<String>,
    pace: Option<PaceName>,
    /// Whether time, randomness and other servers answer the handler as they did then.
    #[serde(default)]
    exact: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PaceName {
    Fast,
    Recorded,
}

async fn replay(State(hub): Shared, Path(seq): Path<String>, body: Body) -> Result<Json<Value>, Refusal> {
    let Again { bytes, pace, exact } = read(body).await?;
    let original = hub.record(&seq)?;
    let bytes = bytes.map(|bytes| STANDARD.decode(bytes)).transpose();
    let bytes = bytes.map_err(|error| Refusal::bad_request(format!("`bytes` is not base64: {error}")))?;
    let pace = match pace {
        None | Some(PaceName::Fast) => Pace::Fast,
        Some(PaceName::Recorded) => Pace::Recorded,
    };
    let replayer = hub.replayer()?;
    let replayed = match (bytes, exact) {
        (Some(_), true) => return Err(Refusal::bad_request("only the request as it was can be replayed exactly")),
        (None, true) => replayer.repeat(&original, pace).await,
        (bytes, false) => replayer.replay(&original, bytes.map(Bytes::from), pace).await,
    };
    let replayed = replayed.map_err(|replayer::Refusal { status, text }| {
        Refusal::new(StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT), text)
    })?;
    Ok(Json(json!({ "seq": replayed.seq })))
}

#[derive(Deserialize)]
struct Pair {
    a: u64,
    b: u64,
}

async fn compare(State(hub): Shared, asked: Result<Query<Pair>, QueryRejection>) -> Result<Json<Comparison>, Refusal> {
    let Pair { a, b } = query(asked)?;
    let (a, b) = (hub.record(&a.to_string())?, hub.record(&b.to_string())?);
    Ok(Json(replayer::compare_stored(&hub.subject.store, &a, &b)))
}

async fn saved(State(hub): Shared) -> Json<Value> {
    Json(json!(hub.server().and_then(|server| server.saved.latest.borrow().clone()).as_deref()))
}

#[derive(Deserialize)]
struct Exporting {
    q: Option<String>,
    /// Whether the export contains secrets: 1 for yes.
    secrets: Option<String>,
    /// Which of the files beside the export is meant; the export itself if `None`.
    file: Option<String>,
}

impl Exporting {
    fn exporter(&self, hub: &Hub, format: &str) -> Result<(Exporter, Format), Refusal> {
        let format: Format = format.parse().map_err(Refusal::not_found)?;
        let redaction = match self.secrets.as_deref() {
            Some("1") => Redaction::off(),
            _ => hub.subject.redaction.clone(),
        };
        Ok((Exporter::new(format, redaction), format))
    }

    /// The file that was asked for. Its fields name what was replaced, and the files that belong beside it.
    fn file(&self, name: &str, format: Format, exporter: Exporter) -> Result<Response, Refusal> {
        let Exported { bytes, beside, replaced, .. } = exporter.finish();
        let list = |names: Vec<&str>| HeaderValue::from_str(&names.join(",")).ok().filter(|list| !list.is_empty());
        let fields = [
            ("wasmserve-replaced", list(replaced.iter().map(|name| &**name).collect())),
            ("wasmserve-beside", list(beside.iter().map(|(name, _)| &**name).collect())),
        ];
        let mut response = match &self.file {
            None => attachment(&format!("{name}.{}", format.extension()), format.media_type(), bytes.into()),
            Some(wanted) => {
                let found = beside.into_iter().find(|(name, _)| name == wanted);
                let (_, bytes) = found.ok_or_else(|| Refusal::not_found(format!("there is no file `{wanted}`")))?;
                attachment("file", "application/octet-stream", bytes.into())
            }
        };
        for (name, value) in fields {
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

async fn export(
    State(hub): Shared,
    Path((seq, format)): Path<(String, String)>,
    asked: Result<Query<Exporting>, QueryRejection>,
) -> Result<Response, Refusal> {
    let asked = query(asked)?;
    let record = hub.record(&seq)?;
    let (mut exporter, format) = asked.exporter(&hub, &format)?;
    exporter.add(&record);
    asked.file(&seq, format, exporter)
}

/// All exchanges that a filter lets through, in one file.
async fn export_all(
    State(hub): Shared,
    Path(format): Path<String>,
    asked: Result<Query<Exporting>, QueryRejection>,
) -> Result<Response, Refusal> {
    let asked = query(asked)?;
    let filter: Filter = asked.q.as_deref().unwrap_or_default().parse().map_err(Refusal::bad_request)?;
    let (mut exporter, format) = asked.exporter(&hub, &format)?;
    let mut after = 0;
    loop {
        let records = hub.subject.store.after(after, STEP);
        let Some(newest) = records.last() else { break };
        after = newest.seq;
        records.iter().filter(|record| filter.applies(record)).for_each(|record| exporter.add(record));
        tokio::task::yield_now().await;
    }
    asked.file("exchanges", format, exporter)
}

async fn list_running(State(hub): Shared) -> Json<Vec<Value>> {
    Json(hub.running())
}

fn not_running(id: &str) -> Refusal {
    Refusal::not_found(format!("no handler of exchange {id} is running; it may have ended"))
}

async fn stack(State(hub): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let known = id.parse().map_err(|_| not_running(&id))?;
    let admission = hub.admission().ok_or_else(|| not_running(&id))?;
    let snapshot = admission.snapshot(known).await.ok_or_else(|| not_running(&id))?;
    let lines = snapshot.stack.as_ref().map(Stack::lines).unwrap_or_default();
    let lines: Vec<String> = lines.iter().map(|line| escape(line.as_bytes())).collect();
    Ok(Json(json!({ "stack": lines, "wait": wait(&snapshot) })))
}

async fn end(State(hub): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let known = id.parse().map_err(|_| not_running(&id))?;
    match hub.admission().ok_or_else(|| not_running(&id))?.end(known).await {
        true => Ok(Json(json!({}))),
        false => Err(not_running(&id)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    paused: bool,
}

async fn pause(State(hub): Shared, body: Body) -> Result<Json<Value>, Refusal> {
    let Pause { paused } = read(body).await?;
    hub.asked("nothing is being captured: these exchanges were read from files")?;
    hub.subject.store.pause(paused);
    hub.changed(Change::Paused(paused));
    Ok(Json(json!({ "paused": paused })))
}

async fn clear(State(hub): Shared) -> Result<Json<Value>, Refusal> {
    hub.asked("these exchanges were read from files; end the viewer to be rid of them")?;
    hub.subject.store.clear();
    hub.changed(Change::Cleared);
    Ok(Json(json!({})))
}

async fn bin(State(hub): Shared) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!(*hub.bin()?.answer())))
}

async fn set_bin(State(hub): Shared, body: Body) -> Result<Json<Value>, Refusal> {
    let bin = hub.bin()?;
    let answer: Answer = read(body).await?;
    answer.check().map_err(Refusal::bad_request)?;
    bin.set(answer);
    Ok(Json(json!(*bin.answer())))
}

#[derive(Deserialize)]
struct After {
    after: Option<u64>,
}

async fn events(State(hub): Shared, asked: Result<Query<After>, QueryRejection>) -> Result<Response, Refusal> {
    let After { after } = query(asked)?;
    let permit = hub.stream().ok_or_else(|| {
        let text = format!("{STREAMS_MAX} pages follow already; close one of them");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let events = live::events(Arc::clone(&hub), after, permit);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
