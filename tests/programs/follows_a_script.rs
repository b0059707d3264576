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
            Step::Read(max) => input::read(max).map_or_else(script::error, |part| script::octets(&part)),
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
                Err(error) => return format!("{}, then {}", script::digest(&whole), script::error(error)),
            }
        }
    }
}
