//! From an application to a component.

/// Makes a component of an [`Application`](crate::Application): a program's one handler.
///
/// ```
/// use wasmserve_guest::{Environ, handler};
///
/// handler!(app);
///
/// fn app(_environ: Environ) -> &'static str {
///     "Hello, World!\n"
/// }
/// ```
///
/// What it is given stays as it is, so that tests can call it. It adds the component's export, and a `main`, because a
/// program must have one: natively this only tells how to serve the handler.
#[macro_export]
macro_rules! handler {
    ($application:expr $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::wasmserve::gateway::handler::Guest for Exported {
                fn handle() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::entry::handle($application)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };

        #[cfg(target_family = "wasm")]
        fn main() {}

        #[cfg(not(target_family = "wasm"))]
        fn main() -> ::std::process::ExitCode {
            $crate::entry::explain(|| $application, ::core::option_env!("CARGO_BIN_NAME"))
        }
    };
}

/// What [`handler!`](crate::handler) calls.
#[doc(hidden)]
pub mod entry {
    #[cfg(target_family = "wasm")]
    pub use super::hosted::handle;
    #[cfg(not(target_family = "wasm"))]
    pub use super::native::explain;
}

#[cfg(target_family = "wasm")]
mod hosted {
    use std::panic::{self, PanicHookInfo};

    use crate::{
        Application, Environ, application,
        gateway::{Gateway, Host},
    };

    /// The component's export.
    pub fn handle<M>(application: impl Application<M>) -> Result<(), String> {
        panic::set_hook(Box::new(report));
        application::handle(application, Environ::new(Gateway::new(Host)))
    }

    /// A panic ends the instance in a trap, too late to tell why. So it is told before, and in the way in which PEP 3333
    /// has an application tell of an exception; the default hook would tell it a second time.
    fn report(panic: &PanicHookInfo<'_>) {
        let text = panic.to_string().replacen(":\n", ": ", 1);
        // Refused if the head has left; then too the host logs the text.
        let _ = Host.start_response("500 Internal Server Error", &[], Some(text.as_bytes()));
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::process::ExitCode;

    use crate::Application;

    /// Tells how to serve a handler that was started as a native program.
    #[expect(clippy::print_stderr, reason = "this is a program's whole work")]
    pub fn explain<A: Application<M>, M>(_application: fn() -> A, name: Option<&str>) -> ExitCode {
        let name = name.unwrap_or("NAME");
        eprintln!(
            "this is a handler, which wasmserve serves as a wasm component:\n\n    \
             cargo build --release --target wasm32-wasip2 --bin {name}\n    \
             wasmserve target/wasm32-wasip2/release/{name}.wasm\n"
        );
        ExitCode::from(2)
    }
}
