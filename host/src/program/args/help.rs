//! The help texts: a short one for `--help`, and all flags for `--help-all`.

use std::io;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, builder::StyledStr, parser::ValueSource};

use super::{
    line::{Args, EXIT_CODES},
    value::is_colorful,
};

/// The flag for the full help.
const ALL: &str = "help-all";

/// The flags of serving commands that `--help` shows. `--help-all` shows the others as well.
const FIRST: [&str; 21] = [
    "captured",
    "only",
    "pace",
    "ignore",
    "accept",
    "json",
    "handler",
    "mount",
    "addr",
    "port",
    "host",
    "wrap",
    "env",
    "dir",
    "allow_net",
    "timeout",
    "max_memory",
    "debug",
    "ui",
    "eject",
    ALL,
];

/// The command that has all flags of a server, and uses some.
const REPLAY: &str = "replay";

/// The flags that it does not use.
const UNUSED: [&str; 24] = [
    "addr",
    "port",
    "host",
    "linger",
    "stats",
    "ui",
    "ui_host",
    "ui_memory",
    "capture",
    "capture_size",
    "capture_body",
    "redact",
    "no_watch",
    "no_replay_on_save",
    "qr",
    "once",
    "requests",
    "ttl",
    "idle_exit",
    "exec",
    "open",
    "port_file",
    "drain",
    "max_connections",
];

/// The command line, with `--help-all` added to commands that have more flags than `--help` shows.
pub(super) fn full() -> Command {
    with_all(Args::command())
}

fn with_all(command: Command) -> Command {
    let command = command.mut_subcommands(with_all);
    let command = if command.get_name() == REPLAY { command.mut_args(without_unused) } else { command };
    if !serves(&command) {
        return command;
    }
    let all = Arg::new(ALL).long(ALL).action(ArgAction::SetTrue).exclusive(true).help("Print help with all flags");
    command.arg(all)
}

/// The command line with rarely used flags hidden.
pub(super) fn short() -> Command {
    without_rest(full().mut_subcommands(without_rest)).after_help(EXIT_CODES)
}

fn without_rest(command: Command) -> Command {
    if !serves(&command) {
        return command;
    }
    command.mut_args(|arg| {
        let is_first = FIRST.iter().any(|first| arg.get_id() == *first);
        if is_first { arg } else { arg.hide(true) }
    })
}

/// Hides a flag that `wasmserve replay` has no use for.
fn without_unused(arg: Arg) -> Arg {
    let is_unused = UNUSED.iter().any(|unused| arg.get_id() == *unused);
    if is_unused { arg.hide(true) } else { arg }
}

/// The flag that the user gave to `wasmserve replay` although it has no use for it, because it does not listen.
pub(super) fn unused(matches: &ArgMatches) -> Option<String> {
    let (REPLAY, matches) = matches.subcommand()? else { return None };
    let is_given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    UNUSED.iter().find(is_given).map(|id| format!("--{}", id.replace('_', "-")))
}

/// Whether a command serves handlers.
fn serves(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "timeout")
}

/// Whether there is a command with this name.
pub(super) fn is_command(word: &str) -> bool {
    full().find_subcommand(word).is_some()
}

/// The names of all commands.
pub(super) fn commands() -> Vec<String> {
    full().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// The full help for the command with `--help-all`, if the user gave that flag.
pub(super) fn all(matches: &ArgMatches) -> Option<String> {
    let (name, matches) = matches.subcommand().map_or((None, matches), |(name, matches)| (Some(name), matches));
    let is_asked = matches.try_get_one(ALL).ok().flatten().copied().unwrap_or(false);
    if !is_asked {
        return None;
    }
    let mut command = full();
    // Sets each command's parent, which usage lines show.
    command.build();
    let command = match name {
        Some(name) => command.find_subcommand_mut(name)?,
        None => &mut command,
    };
    Some(text(&command.render_help()))
}

/// Renders a help text, in colours if stdout supports them and the environment allows them.
pub(super) fn text(help: &StyledStr) -> String {
    if is_colorful(&io::stdout()) { help.ansi().to_string() } else { help.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_lists_exists() {
        let full = full();
        let commands = || [&full].into_iter().chain(full.get_subcommands());
        for name in FIRST.into_iter().chain(UNUSED) {
            let has_it = |command: &Command| command.get_arguments().any(|arg| arg.get_id() == name);
            assert!(commands().any(has_it), "{name}");
        }
    }
}
