//! Follows the script in the request, through the gateway's raw functions, and reports to its log.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};

handler!(Actor);

/// A type, because the result of a function would be sent as well.
struct Actor;

impl Application<()> for Actor {
    #[cfg(target_family = "wasm")]
    fn run(self, _: Environ, _: StartResponse) -> Result<()> {
        acting::run()
    }

    /// There is no gateway outside of wasm.
    #[cfg(not(target_family = "wasm"))]
    fn run(self, _: Environ, _: StartResponse) -> Result<()> {
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
mod acting {
    use wasmserve_guest::{
        Result,
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
                script::outcome(response::start_response(&status, &borrowed(&fields), exc_info))
            }
            Step::Write(chunk) => script::outcome(response::write(&chunk)),
            Step::Finish(last) => script::outcome(response::finish(&last)),
            Step::Respond { status, fields, body } => {
                script::outcome(response::respond(&status, &borrowed(&fields), &body))
            }
            Step::Read(max) => input::read(max).map_or_else(script::error, |part| script::escaped(&part)),
            Step::ReadAll => read_all(),
            Step::Trailers => {
                let trailers = input::trailers();
                let lines = trailers.iter().map(|(name, value)| format!("{name}: {}", script::escaped(value)));
                lines.collect::<Vec<_>>().join("; ")
            }
            Step::Get(name) => environ::get(&name).map_or_else(|| "absent".into(), |value| script::escaped(&value)),
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
                Err(error) => return format!("{}, then {}", script::digest(&whole), script::error(error)),
            }
        }
    }
}
