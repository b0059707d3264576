//! Parses the command line into a task, the only part of it that the rest of the program sees.

mod capture;
mod command;
mod directory;
mod env_file;
mod flags;
mod help;
mod lifecycle;
mod line;
mod listen;
mod refusal;
mod replay;
mod scope;
mod shell;
mod task;
mod value;
mod wrap;

use std::{env, ffi::OsString};

use clap::{ArgMatches, FromArgMatches as _, error::ErrorKind, parser::ValueSource};

use self::line::Args;
use super::task::Task;
use crate::{
    base::exit::{Exit, StartError},
    kind::wasm::compile,
};

/// Parses this process's command line, and checks everything that can be checked without the handler.
///
/// # Errors
///
/// A flag or a value is invalid ([`Exit::Usage`]). `--help` and `--version` are returned as errors too ([`Exit::Done`]).
pub(crate) fn from_command_line() -> Result<Task, StartError> {
    let program = env::current_exe().unwrap_or_else(|_| "wasmserve".into());
    let mut words: Vec<OsString> = env::args_os().collect();
    if let Some(first) = words.get_mut(1)
        && let Some(abi) = compile::is_child(first)
    {
        // The component is on stdin.
        *first = "-".into();
        return Ok(Task::Compile(abi, parse(words)?.flags.compile(program)));
    }
    task::task(parse(words)?, program)
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, StartError> {
    let words: Vec<OsString> = words.into_iter().collect();
    let refuse = |error| refuse(&error, &words);
    let matches = help::short().try_get_matches_from(&words).map_err(refuse)?;
    if let Some(flag) = help::unused(&matches) {
        let why = anyhow::anyhow!("{flag} cannot be used with replay, which does not listen; leave it out");
        return Err(StartError::new(Exit::Usage, &why));
    }
    match help::all(&matches) {
        Some(help) => Err(StartError::help(help)),
        None => {
            let mut args = Args::from_arg_matches(&matches).map_err(refuse)?;
            args.set_limits(&limits(&matches));
            Ok(args)
        }
    }
}

/// The limits that the user gave, as flags.
fn limits(matches: &ArgMatches) -> Vec<String> {
    let full = help::full();
    let (command, matches) = match matches.subcommand() {
        Some((name, matches)) => (full.find_subcommand(name).unwrap_or(&full), matches),
        None => (&full, matches),
    };
    let arguments = command.get_arguments().filter(|arg| arg.get_help_heading() == Some("Limits"));
    let given = arguments.filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine));
    given
        .flat_map(|arg| {
            let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            values.filter_map(|value| Some(format!("--{} {}", arg.get_long()?, value.display())))
        })
        .collect()
}

/// Converts clap's error, which may be a help text.
fn refuse(error: &clap::Error, words: &[OsString]) -> StartError {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => StartError::help(help::text(&error.render())),
        _ => StartError::new(Exit::Usage, &anyhow::Error::msg(refusal::line(error, words))),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::source::locate::Named;
    use crate::{
        base::grants::Allowance,
        program::config::{Config, Mounted},
    };
    use wasmserve_gateway::mounts::Mount;

    fn config(words: &[&str]) -> Result<Config, String> {
        let words = ["wasmserve"].iter().chain(words).map(Into::into);
        match parse(words).and_then(|args| task::task(args, PathBuf::new())) {
            Ok(Task::Serve(config)) => Ok(*config),
            Ok(task) => panic!("{task:?} does not serve"),
            Err(error) => Err(error.message().trim_start_matches("wasmserve: ").trim_end().to_owned()),
        }
    }

    fn allowance<'a>(config: &'a Config, path: &str) -> &'a Allowance {
        &config.handlers.find(path.as_bytes()).expect("a handler is mounted there").1.allowance
    }

    const MOUNTED: [&str; 5] = ["a.wasm", "--mount", "/api=b.wasm", "--mount", "/data=c.wasm"];

    #[test]
    fn a_limit_for_a_mount_wins_over_the_one_for_all_handlers() {
        let config = |flags: &[&str]| config(&[&MOUNTED[..], flags].concat());
        let timeouts = |flags: &[&str]| {
            let config = config(flags).expect("the flags are valid");
            ["/", "/api", "/data"].map(|path| allowance(&config, path).limits.timeout.as_secs())
        };
        assert_eq!(timeouts(&[]), [30, 30, 30]);
        assert_eq!(timeouts(&["--timeout", "1s"]), [1, 1, 1]);
        assert_eq!(timeouts(&["--timeout", "/api:2s"]), [30, 2, 30]);
        assert_eq!(timeouts(&["--timeout", "/api/:2s", "--timeout", "1s", "--timeout", "/:3s"]), [3, 2, 1]);
        let all = config(&[
            "--cpu-time=/api:1s",
            "--max-memory=/api:1MiB",
            "--max-arguments=/api:1KiB",
            "--max-handles=/api:7",
            "--max-log=/api:1KiB",
            "--max-log-line=/api:100",
            "--max-body=/api:2KiB",
            "--buffer-body=/api:3KiB",
        ]);
        let all = all.expect("the flags are valid");
        let limits = &allowance(&all, "/api").limits;
        assert_eq!((limits.cpu_time, limits.memory, limits.arguments), (Duration::from_secs(1), 1 << 20, Some(1024)));
        assert_eq!((limits.handles, limits.log, limits.log_line), (7, 1024, 100));
        assert_eq!((limits.body, limits.buffer_body), (2048, 3072));
        assert_eq!(allowance(&all, "/").limits.memory, 128 << 20);
    }

    #[test]
    fn a_grant_for_a_mount_is_added_to_those_for_all_handlers() {
        let config = config(
            &[&MOUNTED[..], &["--env=A=1", "--env=B=1", "--env=/api:B=/x:2", "--allow-net=/api:127.0.0.1:5432"]]
                .concat(),
        );
        let config = config.expect("the flags are valid");
        let env = |path| {
            let env = allowance(&config, path).grants.env.iter();
            env.map(|variable| format!("{}={}", variable.name, variable.value)).collect::<Vec<_>>()
        };
        assert_eq!((env("/"), env("/api")), (vec!["A=1".into(), "B=1".into()], vec!["A=1".into(), "B=/x:2".into()]));
        assert_eq!(["/", "/api", "/data"].map(|path| allowance(&config, path).grants.net.len()), [0, 1, 0]);
        assert_eq!(
            config.grants,
            [
                "granted: --env A",
                "granted: --env B",
                "granted: --env /api:B",
                "granted: --allow-net /api:127.0.0.1:5432"
            ]
        );
    }

    #[test]
    fn a_path_before_a_colon_is_a_mount_only_if_a_handler_is_mounted_there() {
        let dirs = |flag: &str| {
            let config = config(&[&MOUNTED[..], &["--dir", flag]].concat())?;
            Ok::<_, String>(["/", "/api", "/data"].map(|path| {
                let dirs = allowance(&config, path).grants.dirs.iter();
                dirs.map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }))
        };
        let own = |dir: &str| Ok([String::new(), dir.to_owned(), String::new()]);
        assert_eq!(dirs("/api:.::/data:ro"), own(".::/data:ro"));
        assert_eq!(dirs("/api:/::/data"), own("/::/data"));
        assert_eq!(dirs("/::/data"), Ok(["/::/data"; 3].map(Into::into)));
        assert_eq!(dirs("/:/::/data"), Ok(["/::/data".into(), String::new(), String::new()]));
        // `/data` is a mount, but is followed by two colons: it is a directory, which does not exist here.
        assert!(dirs("/data::/data").is_err_and(|error| error.contains("`/data`") && !error.contains("mounted")));
        let error = dirs("/ap:.::/data").expect_err("nothing is mounted there");
        assert_eq!(
            error,
            "--dir cannot be `/ap:.::/data`: no handler is mounted at `/ap`; mounted are `/data`, `/api`, `/`"
        );
        let error = config(&["a.wasm", "--timeout", "/api:1s"]).expect_err("nothing is mounted there");
        assert_eq!(error, "--timeout cannot be `/api:1s`: no handler is mounted at `/api`; mounted are `/`");
        let error = config(&[&MOUNTED[..], &["--timeout", "/api:1"]].concat()).expect_err("there is no unit");
        assert!(error.starts_with("--timeout cannot be `/api:1`: add a unit, as in 1s"), "{error}");
    }

    #[test]
    fn a_limit_is_given_once_for_each_handler() {
        let error = |flags: &[&str]| config(&[&MOUNTED[..], flags].concat()).expect_err("a flag is given twice");
        assert_eq!(error(&["--timeout=1s", "--timeout=2s"]), "--timeout can be given only once; see --help");
        assert_eq!(
            error(&["--max-body=/api:1", "--max-body=2", "--max-body=/api/:3"]),
            "--max-body can be given only once for `/api`; see --help"
        );
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
        let allowance = allowance(&config, "/");
        assert_eq!(allowance.limits.timeout, Duration::from_secs(30));
        assert_eq!(allowance.limits.memory, 128 << 20);
        assert_eq!(allowance.limits.body, 32 << 20);
        assert_eq!(config.limits.head, 32 << 10);
        assert!(allowance.grants.is_empty() && config.grants.is_empty());
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
                let shown = |(mount, mounted): &(Mount, Mounted)| match &mounted.named {
                    Named::Path { kind, path, .. } => format!("{mount}={kind:?} {}", path.display()),
                    named @ (Named::Example(_) | Named::Bin { .. }) => format!("{mount}={named}"),
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
        assert_eq!(mounted(&["--ui"]), Ok(vec!["/=a request bin".into()]));
        assert_eq!(mounted(&["--ui", "a.wasm"]), Ok(vec!["/=None a.wasm".into()]));
        assert_eq!(mounted(&["--ui=8100", "--mount", "/b=b.wasm"]), Ok(vec!["/b=None b.wasm".into()]));
        assert_eq!(mounted(&["echo", "--ui"]), Ok(vec!["/=a request bin".into()]));
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
        assert!(config(&["hello.wasm", "--env", "GREETING_THAT_IS_NOT_SET"]).is_err());
    }
}
