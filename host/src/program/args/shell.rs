//! Completion scripts and manual pages, generated from the command line.

use std::io;

use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::help;

/// A shell's completion script.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::full(), "wasmserve", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program or of one command, in roff. Returns `None` if there is no command with this name.
pub(super) fn manual(command: Option<&str>) -> Option<String> {
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    _ = match command {
        Some(name) => {
            let mut all = help::full();
            // Sets each command's parent, which the synopsis shows.
            all.build();
            Man::new(all.find_subcommand(name)?.clone()).render(&mut page)
        }
        None => write_manual(&mut page),
    };
    Some(String::from_utf8_lossy(&page).into_owned())
}

fn write_manual(page: &mut Vec<u8>) -> io::Result<()> {
    let manual = Man::new(help::full());
    manual.render_title(page)?;
    manual.render_name_section(page)?;
    // The synopsis with all flags would fill a screen.
    Man::new(help::short()).render_synopsis_section(page)?;
    manual.render_description_section(page)?;
    manual.render_options_section(page)?;
    commands().to_writer(page)?;
    manual.render_extra_section(page)
}

/// The commands as they are typed. clap_mangen would list names of manual pages, which are not installed.
fn commands() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["COMMANDS"]);
    section.text([roman("`wasmserve man COMMAND | man -l -` shows the manual page of a command.")]);
    for command in help::full().get_subcommands().filter(|command| !command.is_hide_set()) {
        section.control("TP", []);
        section.text([bold(format!("wasmserve {}", command.get_name()))]);
        section.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    section
}
