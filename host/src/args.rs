//! What the user typed. Nothing after [`Task`] sees it.

mod command;
mod flags;
mod help;
mod refusal;
mod shell;
mod value;

use std::{env, ffi::OsString, path::PathBuf};

use clap::{FromArgMatches as _, Parser, error::ErrorKind};

use self::{command::Command, flags::Flags};
use crate::{
    config::{Source, Task},
    exit::{Exit, StartError},
    gateway::mounts::{Mount, Mounts},
};

/// Serve a wasm component, with a fresh instance for every request.
#[derive(Debug, Parser)]
#[command(name = "wasmserve", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub struct Args {
    /// The handler: a component that exports `wasmserve:gateway/handler`, a Rust file to build one from, or a crate
    #[arg(value_name = "HANDLER", required_unless_present_any = ["mount", "compile_only"])]
    handler: Option<PathBuf>,

    /// Serve another handler for a path and all below it; the longest path wins
    #[arg(long, value_name = "PATH=HANDLER", value_parser = value::mount)]
    mount: Vec<(Mount, PathBuf)>,

    #[command(flatten)]
    flags: Flags,

    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage, 3 the address cannot be used, \
                          4 the handler cannot be served, 130 stopped at once by a second Ctrl-C. With --once or --requests: \
                          0 answered, 10 the handler failed, 11 the client left, 12 the request was refused, 13 stopped \
                          before they had come. With --exec: the command's.";

impl Args {
    /// Reads this process's command line and checks all that can be checked without the handler.
    ///
    /// # Errors
    ///
    /// A flag or a value that is wrong ([`Exit::Usage`]); `--help` and `--version` also arrive here ([`Exit::Done`]).
    pub fn from_command_line() -> Result<Task, StartError> {
        let program = env::current_exe().unwrap_or_else(|_| "wasmserve".into());
        Self::parse_from_iter(env::args_os())?.into_task(program)
    }

    fn parse_from_iter(words: impl IntoIterator<Item = OsString>) -> Result<Self, StartError> {
        let matches = help::short().try_get_matches_from(words).map_err(refuse)?;
        match help::all(&matches) {
            Some(help) => Err(StartError::help(help)),
            None => Self::from_arg_matches(&matches).map_err(refuse),
        }
    }

    fn into_task(self, program: PathBuf) -> Result<Task, StartError> {
        if let Some(command) = self.command {
            return command.into_task(program);
        }
        let compile = self.flags.compile(program);
        if self.flags.compile_only {
            return Ok(Task::Compile(compile));
        }
        let root = self.handler.map(|handler| (Mount::ROOT, handler));
        let handlers = self.mount.into_iter().chain(root).map(|(mount, file)| (mount, Source::File(file)));
        let handlers = Mounts::new(handlers)
            .map_err(|mount| usage(format!("two handlers are mounted at `{mount}`; see --help")))?;
        Ok(Task::Serve(Box::new(self.flags.into_config(handlers, compile))))
    }
}

/// What clap has to say instead of a result.
fn refuse(error: clap::Error) -> StartError {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => StartError::help(help::text(&error.render())),
        _ => usage(refusal::line(&error)),
    }
}

fn usage(what: String) -> StartError {
    StartError::new(Exit::Usage, &anyhow::Error::msg(what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn config(words: &[&str]) -> Result<Config, String> {
        let words = ["wasmserve"].iter().chain(words).map(Into::into);
        match Args::parse_from_iter(words).and_then(|args| args.into_task(PathBuf::new())) {
            Ok(Task::Serve(config)) => Ok(*config),
            Ok(task) => panic!("{task:?} is no server"),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        help::full().debug_assert();
        help::short().debug_assert();
    }

    #[test]
    fn a_handler_is_all_that_must_be_given() {
        let config = config(&["hello.wasm"]).expect("the defaults are valid");
        assert_eq!(config.addr, "127.0.0.1:8000");
        assert_eq!(config.limits.timeout, Duration::from_secs(30));
        assert_eq!(config.limits.memory, 128 << 20);
        assert_eq!(config.limits.body, 32 << 20);
        assert_eq!(config.limits.head, 32 << 10);
        assert!(config.grants.is_empty());
    }

    #[test]
    fn as_many_handlers_may_run_as_the_system_has_mappings_for() {
        let room = |number| config(&["hello.wasm", "--max-exchanges", number]).map(|config| config.room.instances);
        assert_eq!(room("10000"), Ok(10_000));
        assert!(room("10001").is_err_and(|error| error.contains("from 1 to 10000")));
    }

    #[test]
    fn e3_handlers_are_mounted_at_paths() {
        let mounted = |words: &[&str]| {
            config(words).map(|config| {
                config.handlers.iter().map(|(mount, file)| format!("{mount}={file:?}")).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            mounted(&["a.wasm", "--mount", "/b=b=c.wasm"]),
            Ok(vec![r#"/b=File("b=c.wasm")"#.into(), r#"/=File("a.wasm")"#.into()])
        );
        assert_eq!(mounted(&["--mount", "/b/=b.wasm"]), Ok(vec![r#"/b=File("b.wasm")"#.into()]));
        assert!(mounted(&[]).is_err());
        assert!(mounted(&["--mount", "b=b.wasm"]).is_err());
        assert!(mounted(&["--mount", "/b"]).is_err());
        assert!(mounted(&["a.wasm", "--mount", "/=b.wasm"]).is_err_and(|error| error.contains("`/`")));
    }

    #[test]
    fn e15_env_may_not_override_what_the_gateway_says() {
        for name in ["PATH_INFO", "HTTP_HOST", "wsgi.input", "wasmserve.request_id", "HTTPS"] {
            let error = config(&["hello.wasm", "--env", &format!("{name}=x")]).expect_err("it is reserved");
            assert!(error.contains(name) && error.contains("--env"), "{error}");
        }
        assert!(config(&["hello.wasm", "--env", "GREETING=hi=there"]).is_ok());
        assert!(config(&["hello.wasm", "--env", "GREETING"]).is_err());
    }
}
