//! Receives the records of Python's `logging.handlers.HTTPHandler` and logs them. Times are in UTC, the only time zone
//! that a handler knows.
//!
//! Try it, in Python:
//!
//! ```python
//! import logging.handlers
//! logger = logging.getLogger("my.logger")
//! logger.addHandler(logging.handlers.HTTPHandler("127.0.0.1:8000", "/", method="POST"))
//! logger.error("Received arguments: [%s] [%s]", "abc", "def")
//! ```

use std::io;

use wasmserve_guest::{Environ, Form, handler};

handler!(app);

fn app(environ: Environ) -> io::Result<(u16, ())> {
    let record = if environ.method() == "GET" { environ.query() } else { environ.form()? };
    environ.errors().log(line(&record));
    Ok((204, ()))
}

/// In Python: `'%s  %40s  %9s  %s' % (created, name[:40], levelname, msg)`, followed by arguments and exceptions.
fn line(record: &Form) -> String {
    let field = |name| record.get(name).unwrap_or_default();
    let name: String = field("name").chars().take(40).collect();
    let level = field("levelname");
    let message = field("msg");
    let mut line = format!("{}  {name:>40}  {level:>9}  {message}", time(field("created")));

    // The client sends the arguments separately from the message, converted with `str`.
    if !matches!(field("args"), "" | "()" | "None") {
        line += &format!("  {}", field("args"));
    }
    // The traceback, if another log handler of the client has formatted it, or the bare exception.
    let exceptions = ["exc_text", "exc_info"].map(field);
    if let Some(exception) = exceptions.into_iter().find(|text| !matches!(*text, "" | "None")) {
        line += &format!("\n{exception}");
    }
    line
}

/// Seconds since 1970 as `%Y-%m-%d %H:%M:%S`.
fn time(created: &str) -> String {
    let Ok(seconds) = created.parse::<f64>() else {
        return "-".to_owned();
    };
    let seconds = seconds as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));

    // Count years from March to February, in eras of 400 years, so that leap days come last (Howard Hinnant's
    // `civil_from_days`).
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;

    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    const RECORD: &str = "name=MR_HANDLER.HTTP&levelname=ERROR&created=1413734400.25\
        &msg=Received+arguments%3A+%5B%25s%5D+%5B%25s%5D";
    const LINE: &str = "2014-10-19 16:00:00                           MR_HANDLER.HTTP      ERROR  \
        Received arguments: [%s] [%s]";

    fn logged(record: &str) -> String {
        let environ = Environ::for_test([("REQUEST_METHOD", "POST")]).with_input(record);
        let answer = call(validator(app), environ);
        assert_eq!(answer.status, "204 No Content");
        answer.log.join("\n")
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(logged(RECORD), LINE);
        assert_eq!(logged(&format!("{RECORD}&args=()&exc_info=None&exc_text=None")), LINE);
    }

    #[test]
    fn arguments_and_exceptions_follow() {
        let record = format!("{RECORD}&args=('abc',+'d%C3%A9f')&exc_info=KeyError&exc_text=a%0Ab");
        assert_eq!(logged(&record), format!("{LINE}  ('abc', 'déf')\na\nb"));
    }

    #[test]
    fn a_record_may_be_sent_with_get() {
        let environ = Environ::for_test([("QUERY_STRING", RECORD)]);
        assert_eq!(call(validator(app), environ).log, [LINE]);
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time("0"), "1970-01-01 00:00:00");
        assert_eq!(time("951782399.9"), "2000-02-28 23:59:59");
        assert_eq!(time("951782400"), "2000-02-29 00:00:00");
        assert_eq!(time("4107542400"), "2100-03-01 00:00:00");
        assert_eq!(time("-1"), "1969-12-31 23:59:59");
        assert_eq!(time("soon"), "-");
    }
}
