//! Lays out lines for people at a terminal.
//!
//! Everything of known width comes first, so columns are aligned at any width of the terminal, and a long path wraps at
//! the end instead of losing its own end.

use std::{fmt::Display, time::Duration};

use anstyle::{AnsiColor, Style};
use qrcode::{QrCode, render::unicode::Dense1x2};
use wasmserve_gateway::escape::escape;

use crate::event::{
    Stream,
    exchange::{CLIENT_LEFT, Exchange, Outcome},
    listening::Listening,
    notice::{Level, Notice},
};

/// Where the text of a request's lines begins: after the time and the id.
const INDENT: &str = "               ";

const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const MOVED: Style = AnsiColor::Cyan.on_default();
const REFUSED: Style = AnsiColor::Yellow.on_default();
const FAILED: Style = AnsiColor::Red.on_default().bold();
const LINK: Style = AnsiColor::Cyan.on_default().bold();
/// A code of black modules on white is what every camera reads, whatever the terminal's colours are.
const CODE: Style = AnsiColor::Black.on_default().bg_color(Some(anstyle::Color::Ansi(AnsiColor::BrightWhite)));

/// A terminal, with or without colours.
pub(super) struct Screen {
    color: bool,
}

impl Screen {
    pub(super) fn new(color: bool) -> Self {
        Self { color }
    }

    /// Appends a message from the server itself.
    pub(super) fn notice(&self, now: &str, notice: &Notice, text: &mut String) {
        let style = match notice.level {
            Level::Status | Level::Info => Style::new(),
            Level::Debug => DIM,
            Level::Warning => REFUSED,
            Level::Error => FAILED,
        };
        let shown = escape(notice.to_string().as_bytes());
        *text += &format!("{} {}\n", self.paint(DIM, now), self.paint(style, shown));
    }

    /// Appends what is served and where, below the line that says that the server listens.
    pub(super) fn listening(&self, listening: &Listening, text: &mut String) {
        let Listening { local, network, handlers, limits, qr, keys, .. } = listening;
        let mut row = |name: &str, value: String| {
            *text += &format!("  {} {value}\n", self.paint(DIM, format_args!("{name:<8}")));
        };
        if !network.is_empty() {
            row("local", self.paint(LINK, local));
            network.iter().for_each(|url| row("network", self.paint(LINK, url)));
        }
        for (mount, handler) in handlers {
            let handler = escape(handler.as_bytes());
            row("serving", if mount == "/" { handler } else { format!("{handler} at {}", escape(mount.as_bytes())) });
        }
        if !limits.is_empty() {
            row("limits", escape(limits.join(" ").as_bytes()));
        }
        if !keys.is_empty() {
            row("keys", (*keys).to_owned());
        }
        if *qr {
            self.qr(network.first().unwrap_or(local), text);
        }
    }

    /// Appends a URL as a QR code, and as text.
    fn qr(&self, url: &str, text: &mut String) {
        // A URL of an address is far shorter than the longest text of a code.
        let Ok(code) = QrCode::new(url) else { return };
        let mut renderer = code.render::<Dense1x2>();
        if !self.color {
            // Most terminals show light text on a dark ground.
            renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
        } else {
            renderer.dark_color(Dense1x2::Dark).light_color(Dense1x2::Light);
        }
        for line in renderer.build().lines() {
            *text += &format!("  {}\n", self.paint(CODE, line));
        }
        *text += &format!("  {}\n", self.paint(LINK, url));
    }

    /// Appends a line that a handler wrote.
    pub(super) fn line(&self, now: &str, id: u64, stream: Stream, line: &str, text: &mut String) {
        let style = match stream {
            Stream::Stdout | Stream::Stderr | Stream::Log => DIM,
            Stream::Exception => FAILED,
            Stream::Note | Stream::Lint => REFUSED,
        };
        *text +=
            &format!("{} {} {line}\n", self.start(now, id), self.paint(style, format_args!("{}:", stream.label())));
    }

    /// Appends the first line of a fault.
    pub(super) fn fault(&self, now: &str, id: u64, line: &str, text: &mut String) {
        *text += &format!("{} {}\n", self.start(now, id), self.paint(FAILED, line));
    }

    /// Appends another line below the first one of a fault or of a handler.
    pub(super) fn more(&self, line: &str, text: &mut String) {
        *text += &format!("{INDENT}  {line}\n");
    }

    /// Appends an exchange's line in the access log.
    pub(super) fn ended(&self, at: &str, exchange: &Exchange, outcome: &Outcome, text: &mut String) {
        let Exchange { id, peer, head, .. } = exchange;
        let Outcome { fault, status, sent, took, .. } = outcome;
        let style = match *status {
            ..300 => GOOD,
            300..400 => MOVED,
            CLIENT_LEFT | 500.. => FAILED,
            _ => REFUSED,
        };
        // Without the version, which says little, and is the last word of the line.
        let line = escape(head.line());
        let (method, target) = match line.strip_suffix(" HTTP/1.1").or(line.strip_suffix(" HTTP/2")).unwrap_or(&line) {
            "" => ("-", ""),
            line => line.split_once(' ').unwrap_or((line, "")),
        };
        let status = self.paint(style, status);
        let used = self.paint(DIM, format_args!("{:>8} {:>9}", duration(*took), bytes(*sent)));
        *text += &format!("{} {status} {used}  {method:<4} {target}", self.start(at, *id));
        if let Some(fault) = fault {
            *text += &format!("  {}", self.paint(style, fault));
        }
        let remote = peer.remote.ip().to_canonical();
        if !remote.is_loopback() {
            *text += &format!("  {}", self.paint(DIM, format_args!("from {remote}")));
        }
        text.push('\n');
    }

    /// The time and the id, in a column that stays as wide as long as the id has at most three digits.
    fn start(&self, now: &str, id: u64) -> String {
        self.paint(DIM, format_args!("{now} {:<5}", format_args!("[{id}]").to_string()))
    }

    fn paint(&self, style: Style, text: impl Display) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// A duration in three digits or a few more.
fn duration(time: Duration) -> String {
    match time.as_micros() {
        micros @ ..1000 => format!("{micros} µs"),
        micros @ ..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros @ ..1_000_000 => format!("{} ms", micros / 1000),
        micros @ ..60_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        micros => format!("{} min", micros / 60_000_000),
    }
}

/// A number of bytes, rounded.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_fit_their_columns() {
        for (number, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (u64::MAX, "16777216 TiB")]
        {
            assert_eq!(bytes(number), shown);
        }
        for (micros, shown) in
            [(7, "7 µs"), (1234, "1.2 ms"), (999_999, "999 ms"), (1_500_000, "1.5 s"), (120_000_000, "2 min")]
        {
            assert_eq!(duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn without_colours_there_are_no_escape_sequences() {
        let mut text = String::new();
        let listening = Listening {
            addrs: vec![([0, 0, 0, 0], 80).into()],
            local: "http://127.0.0.1:80".into(),
            network: vec!["http://192.0.2.1:80".into()],
            viewer: None,
            handlers: vec![("/".into(), "a\x1b[2J.rs".into())],
            limits: vec!["--timeout 5s".into()],
            qr: true,
            keys: "q quit",
        };
        Screen::new(false).listening(&listening, &mut text);
        assert!(!text.contains(|char: char| char.is_control() && char != '\n'), "{text}");
        assert!(text.contains("serving  a\\x1b[2J.rs\n") && text.contains("limits   --timeout 5s\n"), "{text}");
        assert!(text.ends_with("http://192.0.2.1:80\n") && text.lines().count() > 15, "{text}");
    }
}
