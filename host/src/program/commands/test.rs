//! `wasmserve test`: runs the tests in a handler's source.

use std::process::ExitStatus;

use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    program::task::Test,
    source::{
        build::Failure,
        locate::{Named, Source},
    },
};

/// Runs the tests natively, and returns their exit code.
///
/// # Errors
///
/// The source has no tests to run, or they do not build.
pub(crate) fn run(task: Test) -> Result<Exit, StartError> {
    let source = Source::new(Named::from(task.source));
    if !source.is_python() {
        source.check().or_exit(Exit::Handler)?;
    }
    let ended = source.test(&task.arguments, &task.options).map_err(|Failure { line, .. }| line);
    Ok(exit(ended.or_exit(Exit::Handler)?))
}

/// The exit code of the tests; 128 plus the number of the signal that killed them, as in a shell.
fn exit(status: ExitStatus) -> Exit {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    if status.success() { Exit::Done } else { Exit::Command(code.unwrap_or_else(|| 128 + signal(status))) }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0) & 0x7f
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> u8 {
    0
}
