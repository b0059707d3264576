//! A native handler that follows scripts.

use wasmserve::{Answering, Call, Stream, gateway::input::Input};
use wasmserve_test_programs::{self as script, Step};

/// Follows the script in the request, and reports to its log.
pub(super) fn follow(call: &mut Call) -> Answering<'_> {
    Box::pin(async move {
        let field = call.exchange.head.values(script::FIELD).next().ok_or("the request has no script")?;
        let steps = script::from_field(std::str::from_utf8(field).map_err(|error| error.to_string())?)?;
        for step in steps {
            let line = perform(call, step).await?;
            call.log(Stream::Log, line.as_bytes());
        }
        Ok(())
    })
}

async fn perform(call: &mut Call, step: Step) -> Result<String, String> {
    Ok(match step {
        Step::Start { status, fields, exc_info } => {
            script::outcome(call.writer.start(&status, fields, exc_info.map(String::into_bytes)))
        }
        Step::Write(chunk) => script::outcome(call.writer.write(chunk.into()).await),
        Step::Finish(last) => script::outcome(call.writer.finish(last.into())),
        Step::Respond { status, fields, body } => match call.writer.start(&status, fields, None) {
            Ok(()) => {
                _ = call.writer.finish(body.into());
                script::OK.into()
            }
            error => script::outcome(error),
        },
        Step::Read(max) => {
            let part = call.input.read(usize::try_from(max).unwrap_or(usize::MAX)).await;
            part.map_or_else(script::error, |part| script::escaped(&part))
        }
        Step::ReadAll => read_all(&mut call.input).await,
        Step::Trailers => {
            let trailers = call.input.trailers();
            let lines = trailers.iter().map(|(name, value)| format!("{name}: {}", script::escaped(value)));
            lines.collect::<Vec<_>>().join("; ")
        }
        Step::Get(name) => {
            let found = call.environ().iter().find(|(known, _)| *known == name);
            found.map_or_else(|| "absent".into(), |(_, value)| script::escaped(value))
        }
        Step::Fail(text) => return Err(text),
        // There is no sandbox to trap in. An exception comes closest.
        Step::Trap => return Err("a trap".into()),
    })
}

async fn read_all(input: &mut Input) -> String {
    let mut whole = Vec::new();
    loop {
        match input.read(usize::MAX).await {
            Ok(part) if part.is_empty() => return script::digest(&whole),
            Ok(part) => whole.extend_from_slice(&part),
            Err(error) => return format!("{}, then {}", script::digest(&whole), script::error(error)),
        }
    }
}
