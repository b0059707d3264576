//! Opens a URL in a browser, for `--open` and `wasmserve doc`.

use std::{env, process::Stdio, sync::Arc};

use tokio::process::Command;

use crate::event::{Events, notice::Level};

/// Opens a URL as [`show`] does, in a task of its own. Emits a notice if that fails. Must be called from within a tokio
/// runtime.
pub(super) fn open(url: &str, events: Arc<Events>) {
    let url = url.to_owned();
    tokio::spawn(async move {
        if let Err(note) = show(&url).await {
            events.notice(Level::Info, note);
        }
    });
}

/// Opens a URL in `$BROWSER`, or else in the system's browser, and completes when the command has ended.
///
/// # Errors
///
/// No command has opened it. The text is a note that asks the user to do so.
pub(crate) async fn show(url: &str) -> Result<(), String> {
    // A name that is not UTF-8 is not found, which the note reports.
    let browser = env::var_os("BROWSER").map(|browser| browser.to_string_lossy().into_owned());
    let mut why = "$BROWSER has a quote without an end".to_owned();
    for command in commands(browser.as_deref(), url) {
        match run(&command).await {
            Ok(()) => return Ok(()),
            Err(error) => why = error,
        }
    }
    Err(format!("note: cannot open a browser; open {url} yourself ({why})"))
}

/// Runs a command until it exits.
async fn run(words: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = words else { return Err("the command is empty".into()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C must stop the server, not the browser.
    #[cfg(unix)]
    command.process_group(0);
    match command.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// The commands to try, one after the other. `$BROWSER` is a list of them with colons in between, as for `xdg-open` and
/// Python's `webbrowser`: each is split into words as a shell does, and takes the URL in place of `%s`, or as its last
/// argument.
fn commands(browser: Option<&str>, url: &str) -> Vec<Vec<String>> {
    let system: &[&str] = match () {
        () if cfg!(target_os = "macos") => &["open"],
        () if cfg!(windows) => &["cmd", "/C", "start", ""],
        () => &["xdg-open"],
    };
    let system = || vec![system.iter().map(|word| (*word).to_owned()).chain([url.to_owned()]).collect()];
    let Some(browser) = browser.filter(|browser| !browser.trim().is_empty()) else { return system() };
    // There, paths contain colons and backslashes.
    if cfg!(windows) {
        return vec![vec![browser.to_owned(), url.to_owned()]];
    }
    let alternatives = browser.split(':').filter(|alternative| !alternative.trim().is_empty());
    alternatives.filter_map(shlex::split).map(|words| with_url(words, url)).collect()
}

fn with_url(words: Vec<String>, url: &str) -> Vec<String> {
    let has_place = words.iter().any(|word| word.contains("%s"));
    let last = (!has_place).then(|| url.to_owned());
    words.into_iter().map(|word| word.replace("%s", url)).chain(last).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn browser_is_a_list_of_commands_with_words_and_a_place_for_the_url() {
        for (browser, expected) in [
            ("firefox", &["firefox|URL"][..]),
            ("firefox --new-window", &["firefox|--new-window|URL"]),
            ("  firefox   -P  'my profile' ", &["firefox|-P|my profile|URL"]),
            ("\"/opt/my browser/run\"", &["/opt/my browser/run|URL"]),
            ("/opt/my\\ browser/run", &["/opt/my browser/run|URL"]),
            ("app --url=%s --kiosk", &["app|--url=URL|--kiosk"]),
            ("app %s", &["app|URL"]),
            ("first:second -x:third '%s'", &["first|URL", "second|-x|URL", "third|URL"]),
            (":first:", &["first|URL"]),
            ("first 'open:second", &["second|URL"]),
            ("'open", &[]),
        ] {
            let commands: Vec<String> = commands(Some(browser), "URL").iter().map(|words| words.join("|")).collect();
            assert_eq!(commands, expected, "{browser}");
        }
        for none in [None, Some(""), Some(" ")] {
            assert_eq!(commands(none, "URL")[0].last().map(String::as_str), Some("URL"));
        }
    }
}
