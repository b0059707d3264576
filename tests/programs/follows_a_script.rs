//! Does what the request's script says, with the gateway's functions themselves, and reports into its log.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};

handler!(Actor);

/// A function's result would be sent too.
struct Actor;

impl Application<()> for Actor {
    #[cfg(target_family = "wasm")]
    fn run(self, _: Environ, _: StartResponse) -> Result<()> {
        acting::run()
    }

    /// There is no gateway to be reached.
    #[cfg(not(target_family = "wasm"))]
    fn run(self, _: Environ, _: StartResponse) -> Result<()> {
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
mod acting {
    use wasmserve_guest::{
        ReadError, Result, StartError, WriteError,
        bindings::wasmserve::gateway::{environ, errors, input, response},
    };
    use wasmserve_test_programs::{self as script, Step};

    pub(super) fn run() -> Result<()> {
        let fields = environ::headers();
        let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(script::FIELD));
        let (_, field) = field.ok_or("the request has no script")?;
        for step in script::from_field(std::str::from_utf8(field)?)? {
            let reported = perform(step)?;
            errors::log(reported.as_bytes());
        }
        Ok(())
    }

    fn perform(step: Step) -> Result<String> {
        Ok(match step {
            Step::Start { status, fields, exc_info } => {
                let exc_info = exc_info.as_deref().map(str::as_bytes);
                started(response::start_response(&status, &borrowed(&fields), exc_info))
            }
            Step::Write(chunk) => written(response::write(&chunk)),
            Step::Finish(last) => written(response::finish(&last)),
            Step::Respond { status, fields, body } => started(response::respond(&status, &borrowed(&fields), &body)),
            Step::Read(max) => input::read(max).map_or_else(failed, |part| script::octets(&part)),
            Step::ReadAll => read_all(),
            Step::Trailers => {
                let trailers = input::trailers();
                let lines = trailers.iter().map(|(name, value)| format!("{name}: {}", script::octets(value)));
                lines.collect::<Vec<_>>().join("; ")
            }
            Step::Get(name) => environ::get(&name).map_or_else(|| "absent".into(), |value| script::octets(&value)),
            Step::Fail(text) => return Err(text.into()),
            Step::Trap => std::process::abort(),
        })
    }

    fn borrowed(fields: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
        fields.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    fn read_all() -> String {
        let mut whole = Vec::new();
        loop {
            match input::read(u32::MAX) {
                Ok(part) if part.is_empty() => return script::digest(&whole),
                Ok(part) => whole.extend_from_slice(&part),
                Err(error) => return format!("{}, then {}", script::digest(&whole), failed(error)),
            }
        }
    }

    fn started(result: Result<(), StartError>) -> String {
        match result {
            Ok(()) => script::OK,
            Err(StartError::AlreadyStarted) => "already-started",
            Err(StartError::HeadersSent) => "headers-sent",
            Err(StartError::BadStatus) => "bad-status",
            Err(StartError::BadHeader(_)) => "bad-header",
            Err(StartError::HopByHop(_)) => "hop-by-hop",
        }
        .into()
    }

    fn written(result: Result<(), WriteError>) -> String {
        match result {
            Ok(()) => script::OK,
            Err(WriteError::NotStarted) => "not-started",
            Err(WriteError::Disconnected) => "disconnected",
            Err(WriteError::PastContentLength) => "past-content-length",
            Err(WriteError::TimedOut) => "timed-out",
        }
        .into()
    }

    fn failed(error: ReadError) -> String {
        match error {
            ReadError::Disconnected => "disconnected",
            ReadError::Malformed => "malformed",
            ReadError::TooLarge => "too-large",
            ReadError::TimedOut => "timed-out",
        }
        .into()
    }
}
