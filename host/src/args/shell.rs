//! What shells and manuals make of the command line.

use std::io;

use clap_complete::Shell;

use super::help;

/// A script by which a shell completes the command.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::full(), "wasmserve", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page, for `man`.
pub(super) fn manual() -> String {
    let mut page = Vec::new();
    // Memory takes whatever is written.
    _ = write_manual(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

fn write_manual(page: &mut Vec<u8>) -> io::Result<()> {
    let manual = clap_mangen::Man::new(help::full());
    manual.render_title(page)?;
    manual.render_name_section(page)?;
    // With all flags it would be a screen of brackets.
    clap_mangen::Man::new(help::short()).render_synopsis_section(page)?;
    manual.render_description_section(page)?;
    manual.render_options_section(page)?;
    manual.render_subcommands_section(page)?;
    manual.render_extra_section(page)
}
