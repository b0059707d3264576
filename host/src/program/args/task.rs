//! Converts the parsed command line into a task.

use std::{io, path::PathBuf};

use anyhow::anyhow;
use wasmserve_gateway::mounts::{Mount, Mounts};

use super::{
    command::{
        BuildArgs, Command, ConvertArgs, DumpArgs, ExampleArgs, ExportArgs, InspectArgs, NewArgs, PlatformArg,
        TestArgs, UiArgs,
    },
    flags::Flags,
    line::Args,
    refusal, shell, value,
};
use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    capture::redact::Redaction,
    compose::export::Keep,
    kind::wasm::compile::CompileOptions,
    program::task::{
        Build, Convert, Deploy, Dump, Export, Inspect, Layout, New, Platform, ReplyOptions, Task, Test, Ui,
    },
    source::{
        build::options::{BuildOptions, Messages},
        example::{self, Example},
        locate::Named,
    },
    viewer::ViewerOptions,
};

/// Converts the command line into a task. `program` is the path of this program.
///
/// # Errors
///
/// The handler is a mistyped command, two handlers are mounted at one path, two flags contradict each other, or there is
/// no manual page for a command. Completion scripts and manual pages
/// are returned as errors too ([`Exit::Done`]).
pub(super) fn task(args: Args, program: PathBuf) -> Result<Task, StartError> {
    if let Some(command) = args.command {
        return of_command(command, program);
    }
    let compile = args.flags.compile(program);
    if args.handler.as_ref().is_some_and(|handler| handler.is_empty()) {
        return Err(StartError::new(Exit::Usage, &anyhow!(refusal::NO_HANDLER)));
    }
    if let Some(why) = args.handler.as_deref().and_then(refusal::not_a_handler) {
        return Err(StartError::new(Exit::Handler, &anyhow!(why)));
    }
    let root = args.handler.map(Named::from);
    // Without any handler there is the viewer.
    let root = root.or_else(|| args.mount.is_empty().then_some(Named::Bin { echoes: false }));
    let root = root.map(|named| (Mount::ROOT, named));
    let handlers = Mounts::new(args.mount.into_iter().chain(root))
        .map_err(|mount| {
            anyhow!("two handlers are mounted at `{mount}`; give one of them another path, as in --mount /app=HANDLER")
        })
        .or_exit(Exit::Usage)?;
    serve(args.flags, handlers, compile)
}

fn serve(flags: Flags, handlers: Mounts<Named>, compile: CompileOptions) -> Result<Task, StartError> {
    Ok(Task::Serve(Box::new(flags.into_config(handlers, compile)?)))
}

fn of_command(command: Command, program: PathBuf) -> Result<Task, StartError> {
    match command {
        Command::New(NewArgs { name, template, is_crate }) => {
            Ok(Task::New(New { name, template: example::template(&template), is_crate }))
        }
        Command::Build(BuildArgs { source, output, debug }) => Ok(Task::Build(Build {
            source,
            output,
            options: BuildOptions { lines: debug, messages: messages() },
            compile: CompileOptions::new(program),
        })),
        Command::Export(args) => of_export(args, program).map(Task::Export),
        Command::Inspect(InspectArgs { file, max_component }) => {
            let compile = CompileOptions::new(program);
            Ok(Task::Inspect(Inspect { file, component: max_component, compile, messages: messages() }))
        }
        Command::Convert(ConvertArgs { files, format, only, output, with_secrets, redact }) => {
            let redaction = if with_secrets { Redaction::off() } else { redact.redaction() };
            Ok(Task::Convert(Convert { files, format, only, output, redaction, messages: messages() }))
        }
        Command::Ui(UiArgs { files, addr, ui_host, ui_memory, redact }) => {
            let token = value::viewer_token().map_err(anyhow::Error::msg).or_exit(Exit::Usage)?;
            let viewer = ViewerOptions { addr, flag: "--addr", hosts: ui_host, token };
            Ok(Task::Ui(Ui { files, memory: ui_memory, viewer, redaction: redact.redaction(), messages: messages() }))
        }
        Command::Dump(args) => of_dump(args).map(Task::Dump),
        Command::Logs(args) => of_example(args, &example::LOGS, program),
        Command::Echo(args) if args.flags.has_viewer() && !args.eject => {
            let compile = args.flags.compile(program);
            serve(args.flags, Mounts::root(Named::Bin { echoes: true }), compile)
        }
        Command::Echo(args) => of_example(args, &example::ECHO, program),
        Command::Test(TestArgs { source, arguments }) => {
            Ok(Task::Test(Test { source, arguments, options: BuildOptions { lines: false, messages: messages() } }))
        }
        Command::Replay(args) => super::replay::task(*args, program).map(|replay| Task::Replay(Box::new(replay))),
        Command::Wit { directory } => Ok(Task::Wit(directory)),
        Command::Doc => Ok(Task::Doc { is_colorful: value::is_colorful(&io::stderr()) }),
        Command::Clean => Ok(Task::Clean),
        Command::Completions { shell } => Err(StartError::help(shell::completions(shell))),
        Command::Man { of } => Err(match shell::manual(of.as_deref()) {
            Some(page) => StartError::help(page),
            None => {
                let name = of.unwrap_or_default();
                StartError::new(
                    Exit::Usage,
                    &anyhow!("there is no command `{name}` with a manual page; see `wasmserve man`"),
                )
            }
        }),
    }
}

/// The messages of what builds and installs, on stderr.
fn messages() -> Messages {
    Messages::Stderr { color: value::is_colorful(&io::stderr()) }
}

fn of_export(args: ExportArgs, program: PathBuf) -> Result<Export, StartError> {
    let ExportArgs { handler, output, keep, wrap, with_kv, platform, image, host, allow_net } = args;
    let deploy = platform.map(|platform| match platform {
        PlatformArg::Spin if host.is_some() => {
            Err(anyhow!("--host is for wasmCloud, whose hosts choose a handler by it; leave it out with --for spin"))
        }
        PlatformArg::Spin => Ok(Deploy { platform: Platform::Spin, image, host, net: allow_net }),
        PlatformArg::WasmCloud => Ok(Deploy { platform: Platform::WasmCloud, image, host, net: allow_net }),
    });
    Ok(Export {
        build: Build {
            source: handler,
            output,
            options: BuildOptions { lines: false, messages: messages() },
            compile: CompileOptions::new(program),
        },
        filters: wrap,
        keep: Keep { cli: keep.is_some(), keyvalue: with_kv },
        deploy: deploy.transpose().or_exit(Exit::Usage)?,
    })
}

fn of_dump(args: DumpArgs) -> Result<Dump, StartError> {
    let DumpArgs { reply, reply_file, header, hex, pretty, listen, lifecycle } = args;
    let is_answered = reply.is_some() || reply_file.is_some() || !header.is_empty();
    let reply = ReplyOptions { status: reply.flatten(), file: reply_file, headers: header };
    let layout = match (hex, pretty) {
        (true, _) => Layout::Hex,
        (_, true) => Layout::Pretty,
        _ => Layout::Text,
    };
    Ok(Dump {
        is_narrowed: listen.is_narrowed(),
        addr: listen.address()?,
        reply: is_answered.then_some(reply),
        layout,
        is_colorful: value::is_colorful(&io::stdout()),
        lifecycle: lifecycle.into_options(),
    })
}

fn of_example(args: ExampleArgs, example: &'static Example, program: PathBuf) -> Result<Task, StartError> {
    if args.eject {
        return Ok(Task::Eject(example));
    }
    let compile = args.flags.compile(program);
    serve(args.flags, Mounts::root(Named::Example(example)), compile)
}
