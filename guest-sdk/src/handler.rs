//! The `handler!` macro, which makes an application a component.

/// Exports an [`Application`](crate::Application) as the handler of this component. Use it once in a program.
///
/// ```
/// use wasmserve_guest::{Environ, handler};
///
/// handler!(app);
///
/// fn app(environ: Environ) -> String {
///     format!("Hello, {}!\n", environ.get("REMOTE_ADDR").unwrap_or_default())
/// }
/// ```
///
/// The application itself stays as it is, so unit tests can call it. The macro adds the component's export, and a
/// `main`, because every program needs one. In a native build, `main` only prints how to serve the handler.
#[macro_export]
macro_rules! handler {
    ($application:expr $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::wasmserve::gateway::handler::Guest for Exported {
                fn handle() -> ::core::result::Result<(), ::std::string::String> {
                    // Cargo sets the variable for programs only: a library has no `main` to run.
                    const IS_PROGRAM: bool = ::core::option_env!("CARGO_BIN_NAME").is_some();
                    if IS_PROGRAM {
                        $crate::entry::unbuffer_stdout();
                    }
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

/// The functions that [`handler!`](crate::handler) expands to.
#[doc(hidden)]
pub mod entry {
    #[cfg(target_family = "wasm")]
    pub use super::hosted::{handle, unbuffer_stdout};
    #[cfg(not(target_family = "wasm"))]
    pub use super::native::explain;
}

#[cfg(target_family = "wasm")]
pub(crate) use self::hosted::{flush_stdout, report};

#[cfg(target_family = "wasm")]
mod hosted {
    use std::{
        io::{self, Write as _},
        panic::{self, PanicHookInfo},
    };

    use crate::{
        Application, Environ, application,
        gateway::{Gateway, Host},
    };

    /// The component's export. Not inlined, because its name in stacks contains that of the application.
    #[inline(never)]
    pub fn handle<M>(application: impl Application<M>) -> Result<(), String> {
        panic::set_hook(Box::new(report));
        let outcome = application::handle(application, Environ::new(Gateway::new(Host)));
        flush_stdout();
        outcome
    }

    /// Turns off the buffer of `std::io::stdout`, so that the host has every byte when it is written. Otherwise a trap or
    /// a time limit, after which nothing runs in the instance, would lose what was printed without a line end.
    ///
    /// This runs the program's empty `main` with its runtime, which turns the buffer off when `main` returns: normally
    /// the program would end there. There is no other way to that in stable Rust. It also costs less than the buffer.
    #[expect(unsafe_code, reason = "`main` has no name in Rust by which a library could call it")]
    #[inline(never)]
    pub fn unbuffer_stdout() {
        unsafe extern "C" {
            fn __main_void() -> i32;
        }
        // SAFETY: this is the C entry point that rustc generates for the `main` of every program for WASI, with this
        // type. `handler!` calls this function in programs only, and defines their `main`, which is empty. The host does
        // not start the program, so it runs once in an instance, before anything else.
        unsafe { __main_void() };
    }

    /// Writes what is left in the buffer of `std::io::stdout`: a component that is not a program still has one.
    pub(crate) fn flush_stdout() {
        // There is no place left to report that the log cannot be written.
        let _ = io::stdout().flush();
    }

    /// Passes the panic message to the host as `exc_info`, which is how PEP 3333 reports an exception: the trap that
    /// follows carries no message. This replaces the default hook, which would print the message a second time.
    pub(crate) fn report(panic: &PanicHookInfo<'_>) {
        flush_stdout();
        let text = panic.to_string().replacen(":\n", ": ", 1);
        // Fails if the head has been sent. The host logs the text in that case, too.
        let _ = Host.start_response("500 Internal Server Error", &[], Some(text.as_bytes()));
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::process::ExitCode;

    use crate::Application;

    /// Prints how to serve a handler that was started as a native program.
    #[expect(clippy::print_stderr, reason = "printing this is all that the program does")]
    pub fn explain<A: Application<M>, M>(_application: fn() -> A, name: Option<&str>) -> ExitCode {
        let name = name.unwrap_or("NAME");
        eprintln!(
            "this is a wasmserve handler, not a native program; build it as a wasm component and serve it:\n\n    \
             cargo build --release --target wasm32-wasip2 --bin {name}\n    \
             wasmserve target/wasm32-wasip2/release/{name}.wasm\n"
        );
        ExitCode::from(2)
    }
}
