//! Help, completions, manual pages and the version.

use wasmserve_tests::{
    real::{run, system},
    server::Launch,
};

/// The output of a command, which must succeed and print nothing on stderr.
fn prints(words: &[&str]) -> String {
    stdout_of(Launch::bare().flags(words))
}

fn stdout_of(launch: Launch) -> String {
    let ended = launch.run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    ended.stdout
}

const COMMANDS: [&str; 15] = [
    "new",
    "build",
    "export",
    "inspect",
    "dump",
    "convert",
    "ui",
    "logs",
    "echo",
    "test",
    "doc",
    "wit",
    "clean",
    "completions",
    "man",
];

#[test]
fn help_is_one_screen() {
    let help = prints(&["--help"]);
    assert!(help.lines().count() <= 50, "{help}");
    for word in
        ["HANDLER", "--addr", "--timeout", "--max-memory", "--dir", "--env", "--wrap", "--allow-net", "--help-all"]
    {
        assert!(help.contains(word), "{word}");
    }
    assert!(!help.contains("--max-fields"), "rarely needed flags are left out");
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(help.contains("Exit codes: 0"));
    assert_eq!(prints(&["-h"]), help);
}

#[test]
fn all_help_has_every_flag_in_its_group() {
    let help = prints(&["--help-all"]);
    let at = |word: &str| help.find(word).unwrap_or_else(|| panic!("{word} is not in {help}"));
    let in_order =
        ["Commands:", "  completions", "Options:", "--linger", "Limits:", "--max-fields", "Grants:", "--env"];
    assert!(in_order.map(at).is_sorted(), "{help}");
    assert!(!help.contains("--compile-only"), "--compile-only is internal");

    let help = prints(&["logs", "--help-all"]);
    assert!(help.contains("--max-fields") && help.contains("Usage: wasmserve logs"), "{help}");
    assert!(!prints(&["logs", "--help"]).contains("--max-fields"));
}

#[test]
fn every_command_has_help() {
    for command in COMMANDS {
        assert!(prints(&[command, "--help"]).contains(&format!("Usage: wasmserve {command}")));
    }
}

#[test]
fn version_is_not_an_error() {
    assert_eq!(prints(&["--version"]), "wasmserve 0.1.0\n");
}

#[test]
fn help_has_colours_only_where_they_are_wanted() {
    let bare = || Launch::bare().flags(["--help"]);
    assert!(!stdout_of(bare()).contains('\x1b'), "into a pipe");
    assert!(!stdout_of(bare().env("CLICOLOR_FORCE", "0").env("CI", "true")).contains('\x1b'), "not demanded");
    assert!(stdout_of(bare().env("FORCE_COLOR", "1")).contains('\x1b'));
    assert!(!stdout_of(bare().env("FORCE_COLOR", "0").env("CLICOLOR_FORCE", "1")).contains('\x1b'));
    // As in a terminal.
    assert!(stdout_of(bare().env("CLICOLOR_FORCE", "1")).contains('\x1b'));
    assert!(!stdout_of(bare().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).contains('\x1b'));
    assert!(!stdout_of(Launch::bare().flags(["--help-all"]).env("NO_COLOR", "1")).contains('\x1b'));
}

#[test]
fn completions_have_all_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = prints(&["completions", shell]);
        for word in COMMANDS.iter().chain(&["max-fields", "reply", "crate", "help-all"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("compile-only"), "{shell}: it is internal");
    }
    let script = prints(&["completions", "bash"]);
    let ended = run(system("bash").arg("-s"), format!("{script}\ncomplete -p wasmserve\n"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout.ends_with(" -F _wasmserve wasmserve\n"), "{}", ended.stdout);
}

#[test]
fn the_manual_has_all_commands_and_flags() {
    let page = prints(&["man"]).replace('\\', "");
    assert!(page.contains("\n.TH wasmserve 1 "), "{page}");
    for word in ["--addr", "--max-fields", "--allow-net"] {
        assert!(page.contains(word), "{word}");
    }
    for command in COMMANDS {
        assert!(page.contains(&format!("\nfBwasmserve {command}fR\n")), "{command}: {page}");
        let of_it = prints(&["man", command]).replace('\\', "");
        assert!(of_it.contains(&format!("\n.TH wasmserve-{command} 1 ")), "{of_it}");
    }
    assert!(!page.contains("(1)"), "it refers to no missing page: {page}");
    let refused = Launch::bare().flags(["man", "nonsense"]).run();
    assert_eq!(refused.stderr, "wasmserve: there is no command `nonsense` with a manual page; see `wasmserve man`\n");
}
