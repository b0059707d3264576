//! Parses the command line into a task, the only part of it that the rest of the program sees.

mod command;
mod flags;
mod help;
mod line;
mod listen;
mod refusal;
mod shell;
mod task;
mod value;

use std::{env, ffi::OsString};

use clap::{FromArgMatches as _, error::ErrorKind};

use self::line::Args;
use super::task::Task;
use crate::base::exit::{Exit, StartError};

/// Parses this process's command line, and checks everything that can be checked without the handler.
///
/// # Errors
///
/// A flag or a value is invalid ([`Exit::Usage`]). `--help` and `--version` are returned as errors too ([`Exit::Done`]).
pub(crate) fn from_command_line() -> Result<Task, StartError> {
    let program = env::current_exe().unwrap_or_else(|_| "wasmserve".into());
    task::task(parse(env::args_os())?, program)
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, StartError> {
    let matches = help::short().try_get_matches_from(words).map_err(refuse)?;
    match help::all(&matches) {
        Some(help) => Err(StartError::help(help)),
        None => Args::from_arg_matches(&matches).map_err(refuse),
    }
}

/// Converts clap's error, which may be a help text.
fn refuse(error: clap::Error) -> StartError {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => StartError::help(help::text(&error.render())),
        _ => StartError::new(Exit::Usage, &anyhow::Error::msg(refusal::line(&error))),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::program::config::Config;
    use crate::source::locate::Named;
    use wasmserve_gateway::mounts::Mount;

    fn config(words: &[&str]) -> Result<Config, String> {
        let words = ["wasmserve"].iter().chain(words).map(Into::into);
        match parse(words).and_then(|args| task::task(args, PathBuf::new())) {
            Ok(Task::Serve(config)) => Ok(*config),
            Ok(task) => panic!("{task:?} does not serve"),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        help::full().debug_assert();
        help::short().debug_assert();
    }

    #[test]
    fn only_the_handler_is_required() {
        let config = config(&["hello.wasm"]).expect("the defaults are valid");
        assert_eq!(config.addr.to_string(), "127.0.0.1:8000");
        assert_eq!(config.limits.timeout, Duration::from_secs(30));
        assert_eq!(config.limits.memory, 128 << 20);
        assert_eq!(config.limits.body, 32 << 20);
        assert_eq!(config.limits.head, 32 << 10);
        assert!(config.grants.is_empty());
    }

    #[test]
    fn hosts_and_ports_may_be_given_in_every_usual_way() {
        for (flags, expected) in [
            (&[][..], "127.0.0.1:8000"),
            (&["--port", "9000"], "127.0.0.1:9000"),
            (&["-p", "9000"], "127.0.0.1:9000"),
            (&["-p9000"], "127.0.0.1:9000"),
            (&["--port=0"], "127.0.0.1:0"),
            (&["--host", "0.0.0.0"], "0.0.0.0:8000"),
            (&["--host", "::"], "[::]:8000"),
            (&["--host", "[::1]", "-p", "0"], "[::1]:0"),
            (&["--addr", "9000"], "127.0.0.1:9000"),
            (&["--addr", ":9000"], "127.0.0.1:9000"),
            (&["--addr", "localhost"], "localhost:8000"),
            (&["--addr", "::1"], "[::1]:8000"),
            (&["--addr", "[::1]:0"], "[::1]:0"),
            (&["--addr", "0.0.0.0", "--port", "9000"], "0.0.0.0:9000"),
            (&["--addr", "9000", "--host", "localhost"], "localhost:9000"),
            (&["--bind", "0.0.0.0", "--port", "80"], "0.0.0.0:80"),
            (&["-b", "127.0.0.1:80"], "127.0.0.1:80"),
            (&["--listen", ":80"], "127.0.0.1:80"),
            (&["-l", "80"], "127.0.0.1:80"),
        ] {
            let words = [&["hello.wasm"], flags].concat();
            assert_eq!(config(&words).map(|config| config.addr.to_string()).as_deref(), Ok(expected), "{flags:?}");
        }
    }

    #[test]
    fn a_host_or_port_that_is_given_twice_or_wrongly_is_refused() {
        for (flags, part) in [
            (&["--addr", "localhost:80", "--port", "81"][..], "--addr and --port both give a port"),
            (&["--addr", "localhost", "--host", "::1"], "--addr and --host both give a host"),
            (&["--port", "65536"], "--port cannot be `65536`: a port is a number from 0 to 65535"),
            (&["--port", "http"], "--port cannot be `http`"),
            (&["--port", ""], "--port"),
            (&["--host", "127.0.0.1:80"], "--host cannot be `127.0.0.1:80`"),
            (&["--addr", "http://localhost:80"], "localhost:80"),
            (&["--addr", "unix:/run/x"], "UNIX sockets"),
            (&["9000"], "--port 9000"),
            (&[":9000"], "--port 9000"),
            (&["0.0.0.0:9000"], "--addr 0.0.0.0:9000"),
        ] {
            let error = config(&[&["hello.wasm"], flags].concat()).expect_err("it is wrong");
            assert!(error.contains(part), "{flags:?}: {error}");
        }
    }

    #[test]
    fn max_exchanges_is_limited_by_the_systems_mappings() {
        let instances =
            |number| config(&["hello.wasm", "--max-exchanges", number]).map(|config| config.engine_limits.instances);
        assert_eq!(instances("10000"), Ok(10_000));
        assert!(instances("10001").is_err_and(|error| error.contains("from 1 to 10000")));
    }

    #[test]
    fn e3_handlers_are_mounted_at_paths() {
        let mounted = |words: &[&str]| {
            config(words).map(|config| {
                let shown = |(mount, named): &(Mount, Named)| match named {
                    Named::Path { kind, path } => format!("{mount}={kind:?} {}", path.display()),
                    Named::Example(example) => format!("{mount}={}", example.name),
                };
                config.handlers.iter().map(shown).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            mounted(&["a.wasm", "--mount", "/b=b=c.wasm"]),
            Ok(vec!["/b=None b=c.wasm".into(), "/=None a.wasm".into()])
        );
        assert_eq!(mounted(&["--mount", "/b/=b.wasm"]), Ok(vec!["/b=None b.wasm".into()]));
        assert_eq!(mounted(&["--mount", "/b=rust:b"]), Ok(vec!["/b=Some(Rust) b".into()]));
        assert_eq!(mounted(&["crate:b"]), Ok(vec!["/=Some(Crate) b".into()]));
        assert!(mounted(&[]).is_err());
        assert!(mounted(&["--mount", "b=b.wasm"]).is_err());
        assert!(mounted(&["--mount", "/b"]).is_err());
        assert!(mounted(&["a.wasm", "--mount", "/=b.wasm"]).is_err_and(|error| error.contains("`/`")));
    }

    #[test]
    fn e15_env_cannot_override_variables_of_the_gateway() {
        for name in ["PATH_INFO", "HTTP_HOST", "wsgi.input", "wasmserve.request_id", "HTTPS"] {
            let error = config(&["hello.wasm", "--env", &format!("{name}=x")]).expect_err("the name is reserved");
            assert!(error.contains(name) && error.contains("--env"), "{error}");
        }
        assert!(config(&["hello.wasm", "--env", "GREETING=hi=there"]).is_ok());
        assert!(config(&["hello.wasm", "--env", "GREETING"]).is_err());
    }
}
