//! What a person sees at a terminal, and which keys do something.

use std::net::SocketAddr;

use wasmserve_tests::{client::Client, terminal::Terminal};

const SERVE: &str = "$WASMSERVE $HANDLER --addr 127.0.0.1:0";

fn get(addr: SocketAddr, path: &str) -> u16 {
    let mut client = Client::connect(addr);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.response().status
}

/// Whether the shell's prompt is the last thing on the screen.
fn is_at_prompt(screen: &str) -> bool {
    screen.trim_end().lines().next_back() == Some("$")
}

/// The modes of the terminal that matter to a shell, as `stty` shows them.
fn modes(terminal: &mut Terminal) -> String {
    // So that nothing on the screen is taken for what comes.
    terminal.press("clear\n");
    terminal.wait(|screen| screen.trim() == "$");
    terminal.press("stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo|isig);?$' | tr '\\n' ' '; echo do''ne\n");
    terminal.wait(|screen| screen.contains(" done") && is_at_prompt(screen))
}

#[test]
fn a_line_has_time_id_status_duration_size_method_and_path() {
    let mut terminal = Terminal::open("misbehaves", &[]);
    let addr = terminal.serve(SERVE);
    let path = format!("/plain?{}", "x".repeat(150));
    assert_eq!(get(addr, &path), 200);
    let screen = terminal.wait(|screen| screen.contains(" GET  /plain"));
    let line = screen.lines().find(|line| line.contains(" GET  /plain")).expect("the line is there");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0].len(), "12:34:56".len(), "{line}");
    assert_eq!((words[1], words[2], words[7]), ("[1]", "200", "GET"), "{line}");
    assert!(["µs", "ms", "s"].contains(&words[4]) && words[6] == "B", "{line}");
    assert!(screen.replace('\n', "").contains(&path), "a long path is not cut: {screen}");
    assert_eq!(terminal.style("200 "), Some((vt100::Color::Idx(2), false)));
}

#[test]
fn a_fault_stands_out_and_its_stack_is_below_it() {
    let mut terminal = Terminal::open("misbehaves", &[]);
    let addr = terminal.serve(SERVE);
    assert_eq!(get(addr, "/traps"), 500);
    let screen = terminal.wait(|screen| screen.contains(" GET  /traps  trap"));
    assert_eq!(terminal.style("500 trap: "), Some((vt100::Color::Idx(1), true)));
    let mut below = screen.lines().skip_while(|line| !line.contains("500 trap: "));
    assert!(
        below.any(|line| line.starts_with("     ") && line.trim_start().starts_with("at misbehaves::app")),
        "{screen}"
    );
}

#[test]
fn no_color_and_a_dumb_terminal_get_no_escape_sequences() {
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0"), ("FORCE_COLOR", "0")] {
        // Continuous integration shows colours in its logs, which says nothing about this terminal.
        let mut terminal = Terminal::open("misbehaves", &[("CI", "true"), variable]);
        let addr = terminal.serve(SERVE);
        get(addr, "/plain");
        terminal.wait(|screen| screen.contains(" GET  /plain"));
        let bytes = terminal.bytes();
        let begin = bytes.windows(9).position(|bytes| bytes == b"listening").expect("it listens");
        assert!(!bytes[begin..].contains(&0x1b), "{variable:?}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_format_that_is_named_is_the_same_on_a_terminal() {
    let mut terminal = Terminal::open("hello", &[]);
    let addr = terminal.serve(&format!("{SERVE} --access-log-format basehttp"));
    get(addr, "/");
    let screen = terminal.wait(|screen| screen.contains("\"GET / HTTP/1.1\" 200 -"));
    assert!(!screen.contains("serving") && screen.contains("127.0.0.1 - - ["), "{screen}");
}

#[test]
fn the_lines_after_the_start_say_what_is_served_and_what_differs() {
    let mut terminal = Terminal::open("hello", &[]);
    terminal.serve(&format!("{SERVE} --timeout 5s --max-memory 64MiB --env KEY=secret"));
    let screen = terminal.wait(|screen| screen.contains("? all keys"));
    assert!(screen.contains("  limits   --timeout 5s --max-memory 64MiB\n"), "{screen}");
    assert!(screen.contains("  serving  "), "{screen}");
    let shown = screen.split_once("listening on").expect("it listens").1;
    assert!(!shown.contains("secret") && !shown.contains("network"), "{screen}");
}

#[test]
fn a_server_on_all_addresses_shows_a_qr_code_for_another_machine() {
    let mut terminal = Terminal::open("hello", &[]);
    terminal.serve("$WASMSERVE $HANDLER --addr 0.0.0.0:0 --qr");
    let screen = terminal.wait(|screen| screen.contains('█'));
    assert!(screen.contains("  local    http://127.0.0.1:"), "{screen}");
}

#[test]
fn a_qr_code_that_no_other_machine_can_use_is_explained() {
    let mut terminal = Terminal::open("hello", &[]);
    terminal.serve(&format!("{SERVE} --qr"));
    terminal.wait(|screen| screen.contains("only this machine can open"));
}

#[test]
fn keys_work_without_enter_and_are_not_echoed() {
    let mut terminal = Terminal::open("hello", &[]);
    terminal.serve(SERVE);
    terminal.wait(|screen| screen.contains("? all keys"));
    terminal.press("xyz?");
    let screen = terminal.wait(|screen| screen.contains("?  show the keys"));
    assert!(!screen.contains("xyz"), "{screen}");
    terminal.press("s");
    terminal.wait(|screen| screen.contains("no handler is running"));
    terminal.press("r");
    terminal.wait(|screen| screen.contains("is the same as before"));
    terminal.press("u");
    terminal.wait(|screen| screen.contains('█'));
    terminal.press("c");
    terminal.wait(|screen| screen.trim().is_empty());
    terminal.press("q");
    terminal.wait(is_at_prompt);
    let modes = modes(&mut terminal);
    assert!(modes.contains("isig icanon") && modes.contains(" echo done"), "{modes}");
}

#[test]
fn the_terminal_is_as_before_however_the_server_ends() {
    let mut terminal = Terminal::open("sleeps", &[]);
    for end in ["q", "\x03", "kill -TERM", "kill -HUP"] {
        terminal.serve(SERVE);
        terminal.wait(|screen| screen.contains("? all keys"));
        if end.starts_with("kill") {
            // From within the terminal, with the server suspended.
            terminal.press("\x1a");
            terminal.wait(|screen| screen.contains("Stopped") && is_at_prompt(screen));
            terminal.press(&format!("clear; {end} %1; fg; echo ended-$((1+1))\n"));
            terminal.wait(|screen| screen.contains("ended-2") && is_at_prompt(screen));
        } else {
            terminal.press(end);
            terminal.wait(is_at_prompt);
        }
        let modes = modes(&mut terminal);
        assert!(modes.contains("isig icanon") && modes.contains(" echo done"), "{end:?}: {modes}");
    }
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back() {
    let mut terminal = Terminal::open("hello", &[]);
    let addr = terminal.serve(SERVE);
    terminal.wait(|screen| screen.contains("? all keys"));
    terminal.press("\x1a");
    terminal.wait(|screen| screen.contains("Stopped") && is_at_prompt(screen));
    let shown = modes(&mut terminal);
    assert!(shown.contains("isig icanon") && shown.contains(" echo done"), "{shown}");
    // In the background it serves, and leaves what is typed to the shell.
    terminal.press("bg\n");
    assert_eq!(get(addr, "/"), 200);
    terminal.press("clear; echo typed-$((1+1))\n");
    terminal.wait(|screen| screen.contains("typed-2"));
    terminal.press("fg\n");
    terminal.wait(|screen| screen.contains("--addr"));
    terminal.press("?");
    terminal.wait(|screen| screen.contains("?  show the keys"));
    terminal.press("q");
    terminal.wait(is_at_prompt);
}

#[test]
fn keys_are_not_read_from_a_pipe_nor_beside_a_command() {
    let mut terminal = Terminal::open("hello", &[]);
    let addr = terminal.serve(&format!("echo q | {SERVE}"));
    assert_eq!(get(addr, "/"), 200);
    let screen = terminal.wait(|screen| screen.contains(" GET  /"));
    assert!(!screen.contains("all keys"), "{screen}");
    terminal.press("\x03");
    terminal.wait(is_at_prompt);
    terminal.press(&format!("clear; {SERVE} --exec 'read word; echo got $word'\n"));
    terminal.wait(|screen| screen.contains("listening on"));
    terminal.press("queue\n");
    let screen = terminal.wait(|screen| screen.contains("got queue"));
    assert!(!screen.contains("all keys"), "{screen}");
}
