//! Receives log records and logs them: those of Python's `logging.handlers.HTTPHandler`, and JSON as
//! python-json-logger, structlog and many others write it. Times are in UTC, the only time zone that a handler knows.
//!
//! Try it, in Python:
//!
//! ```python
//! import logging.handlers
//! logger = logging.getLogger("my.logger")
//! logger.addHandler(logging.handlers.HTTPHandler("127.0.0.1:8000", "/", method="POST"))
//! logger.error("Received arguments: [%s] [%s]", "abc", "def")
//! ```
//!
//! Or with curl: `curl --json '{"level": "info", "event": "started", "port": 80}' http://127.0.0.1:8000/`
//!
//! A record is a query string, a form, a JSON object or a line of text. A JSON array, or JSON with one value on each
//! line, has several records. Everything else is refused: what is not shown must not be a success.

use std::{io::ErrorKind, str};

use wasmserve_guest::{
    Environ, Form, Refusal, Result, handler, parse_qs_with_blanks,
    serde_json::{Deserializer, Value},
};

handler!(app);

/// The longest body in bytes.
const BODY_MAX: usize = 1 << 20;

const EXPECTED: &str = "send a log record: as a query string, a form, JSON or plain text, in UTF-8";

/// What Python's `LogRecord` always has. It is shown in its place, or not at all.
const STANDARD: [&str; 23] = [
    "args",
    "created",
    "exc_info",
    "exc_text",
    "filename",
    "funcName",
    "levelname",
    "levelno",
    "lineno",
    "message",
    "module",
    "msecs",
    "msg",
    "name",
    "pathname",
    "process",
    "processName",
    "relativeCreated",
    "stack_info",
    "taskName",
    "thread",
    "threadName",
    "asctime",
];

fn app(environ: Environ) -> Result<(u16, ())> {
    let records = records(&environ)?;
    if records.is_empty() {
        return Err(Refusal::new(400, format!("there is nothing to log; {EXPECTED}")).into());
    }
    for record in records {
        environ.errors().log(record.lines());
    }
    Ok((204, ()))
}

/// All records in the query string and the body.
fn records(environ: &Environ) -> Result<Vec<Record>> {
    let query = parse_qs_with_blanks(environ.get("QUERY_STRING").unwrap_or_default());
    let mut records = in_body(environ)?;
    if !query.is_empty() {
        match &mut records[..] {
            [] => records.push(Record::from(&query)),
            several => several.iter_mut().for_each(|record| record.fields.extend(Record::from(&query).fields)),
        }
    }
    records.retain(|record| record.fields.iter().any(|(_, value)| !says_nothing(value)));
    Ok(records)
}

fn in_body(environ: &Environ) -> Result<Vec<Record>> {
    let content_type = environ.header("Content-Type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "multipart/form-data" {
        return Ok(vec![Record::from(environ.form()?)]);
    }
    let refused = |why: &str| Refusal::new(415, format!("{why}; {EXPECTED}"));
    if !["", "identity"].contains(&environ.header("Content-Encoding").unwrap_or_default()) {
        return Err(refused("the body is compressed").into());
    }
    // UTF-16 may be valid UTF-8 by accident. The others are the same for ASCII, and no UTF-8 beyond it.
    if let Some(charset) =
        charset(content_type).filter(|charset| charset.starts_with("utf-16") || charset.starts_with("utf-32"))
    {
        return Err(refused(&format!("the body is in {}", charset.escape_debug())).into());
    }
    let body = environ.input().read_all(BODY_MAX).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge if error.get_ref().is_some_and(|it| !it.is::<wasmserve_guest::ReadError>()) => {
            Refusal::new(413, error.to_string()).into()
        }
        _ => wasmserve_guest::Error::from(error),
    })?;
    let Ok(text) = str::from_utf8(&body) else {
        return Err(refused("the body is not text").into());
    };
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    let is_form = essence.is_empty() && text.contains('=') && text.bytes().all(|byte| byte.is_ascii_graphic());
    let looks_like_json = matches!(text.as_bytes(), [b'{', .., b'}'] | [b'[', .., b']']);
    match &*essence {
        _ if text.is_empty() => Ok(Vec::new()),
        "application/json" | "application/jsonl" | "application/x-ndjson" | "text/json" => Ok(json(text)?),
        suffixed if suffixed.ends_with("+json") => Ok(json(text)?),
        // curl and others send JSON as a form, unless they are told otherwise.
        "" | "application/x-www-form-urlencoded" if looks_like_json => Ok(json(text)?),
        "text/plain" if looks_like_json => Ok(json(text).unwrap_or_else(|_| vec![text.into()])),
        "application/x-www-form-urlencoded" => Ok(vec![Record::from(&parse_qs_with_blanks(text))]),
        "" if is_form => Ok(vec![Record::from(&parse_qs_with_blanks(text))]),
        "" | "text/plain" => Ok(vec![text.into()]),
        other => Err(refused(&format!("the body is `{}`", other.escape_debug())).into()),
    }
}

/// The parameter `charset` of a media type, in lower case.
fn charset(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"').to_ascii_lowercase())
}

/// The records in JSON: one, an array of them, or one on each line.
fn json(text: &str) -> Result<Vec<Record>, Refusal> {
    let mut records = Vec::new();
    for value in Deserializer::from_str(text).into_iter() {
        match value.map_err(|error| Refusal::new(400, format!("the body is not JSON: {error}")))? {
            Value::Array(values) => records.extend(values.into_iter().map(Record::from)),
            value => records.push(value.into()),
        }
    }
    Ok(records)
}

/// A log record: its fields, as text or as JSON.
struct Record {
    fields: Vec<(String, Value)>,
}

impl From<&Form> for Record {
    fn from(form: &Form) -> Self {
        let of = |(name, values): (&str, &[String])| {
            let value = match values {
                [value] => Value::from(value.as_str()),
                values => values.into(),
            };
            (name.to_owned(), value)
        };
        let file = |file: &wasmserve_guest::FormFile| {
            let content = match str::from_utf8(file.content()) {
                Ok(text) => text.to_owned(),
                Err(_) => format!("{} bytes", file.content().len()),
            };
            (file.name().to_owned(), Value::from(format!("{}: {content}", file.file_name())))
        };
        Self { fields: form.iter().map(of).chain(form.files().iter().map(file)).collect() }
    }
}

impl From<&str> for Record {
    fn from(message: &str) -> Self {
        Self { fields: vec![("message".to_owned(), message.into())] }
    }
}

impl From<Value> for Record {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self { fields: fields.into_iter().collect() },
            value => shown(&value).as_str().into(),
        }
    }
}

impl Record {
    /// Takes the first of these fields that says something.
    fn take(&mut self, names: &[&str]) -> Option<Value> {
        let place = names
            .iter()
            .find_map(|name| self.fields.iter().position(|(other, value)| other == name && !says_nothing(value)))?;
        Some(self.fields.remove(place).1)
    }

    /// In Python: `'%s  %40s  %9s  %s' % (created, name[:40], levelname, msg)`, followed by the arguments, the other
    /// fields, the exception and the stack.
    fn lines(mut self) -> String {
        let is_of_python =
            ["args", "levelno", "msg"].iter().all(|name| self.fields.iter().any(|(other, _)| other == name));
        let created = self.take(&["created", "timestamp", "@timestamp", "asctime", "time", "ts"]);
        let mut one_line = |names: &[&str]| self.take(names).map(|value| escaped(&shown(&value))).unwrap_or_default();
        let name: String = one_line(&["name", "logger", "target"]).chars().take(40).collect();
        let level = one_line(&["levelname", "level", "severity", "log.level"]);
        let message = self.take(&["msg", "message", "event", "short_message"]).map(|value| shown(&value));
        // Indented, so that a message cannot look like another record.
        let message = message.unwrap_or_default().replace('\n', "\n    ");
        let time = created.map_or("-".to_owned(), |created| time(&shown(&created)));
        let mut lines = format!("{time}  {name:>40}  {level:>9}  {message}");

        // The client sends the arguments separately from the message, converted with `str`.
        if let Some(args) = self.take(&["args"]) {
            lines += &format!("  {}", escaped(&shown(&args)));
        }
        // The traceback, if another log handler of the client has formatted it, or the bare exception.
        let exception = self.take(&["exc_text", "exc_info", "exception"]);
        let stack = self.take(&["stack_info", "stack", "stacktrace", "stack_trace"]);
        for (name, value) in &self.fields {
            // What is left of `exc_info` is the exception again.
            let is_hidden = is_of_python || says_nothing(value) || name == "exc_info";
            if !(is_hidden && STANDARD.contains(&&**name)) {
                lines += &format!("  {}={}", plain(name), field(value));
            }
        }
        for block in [exception, stack].into_iter().flatten() {
            lines += &format!("\n{}", shown(&block));
        }
        lines
    }
}

/// Whether a value is empty, as JSON or as Python's `str` of it.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => matches!(&**text, "" | "()" | "None"),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Text as it is, everything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value after `name=`: text in quotes, unless it is plain.
fn field(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), plain)
}

/// A text without quotes if it is one word, and otherwise as JSON.
fn plain(text: &str) -> String {
    let is_word = |char: char| char.is_alphanumeric() || "._-+:/@%".contains(char);
    if !text.is_empty() && text.chars().all(is_word) { text.to_owned() } else { Value::from(text).to_string() }
}

/// On one line.
fn escaped(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

/// Seconds since 1970, or milliseconds as some write them, as `%Y-%m-%d %H:%M:%S`. Other times stay as they are.
fn time(created: &str) -> String {
    let Ok(seconds) = created.parse::<f64>() else {
        return escaped(created);
    };
    let seconds = if seconds > 1e11 { seconds / 1e3 } else { seconds };
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

    /// The status, and what was logged or answered.
    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        let environ = Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]);
        let answer = call(validator(app), environ.with_input(body));
        let status = answer.status[..3].parse().unwrap();
        (status, if status == 204 { answer.log.join("\n") } else { String::from_utf8(answer.body).unwrap() })
    }

    fn logged(content_type: &str, body: &str) -> String {
        let (status, log) = post(content_type, body);
        assert_eq!(status, 204, "{body}: {log}");
        log
    }

    /// A line without a time.
    fn line(name: &str, level: &str, rest: &str) -> String {
        format!("-  {name:>40}  {level:>9}  {rest}")
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(logged("", RECORD), LINE);
        assert_eq!(logged("", &format!("{RECORD}&args=()&exc_info=None&exc_text=None")), LINE);
    }

    #[test]
    fn arguments_and_exceptions_follow() {
        let record = format!("{RECORD}&args=('abc',+'d%C3%A9f')&exc_info=KeyError&exc_text=a%0Ab");
        let first = format!("{LINE}  ('abc', 'déf')");
        assert_eq!(logged("", &record), format!("{first}\na\nb"));
        let python = "&levelno=40&relativeCreated=1.5&thread=1&taskName=None";
        let stack = "&stack_info=Stack+(most+recent+call+last):%0A++File&user=alice&ip=10.0.0.1&note=a+b";
        assert_eq!(
            logged("", &format!("{record}{python}{stack}")),
            format!("{first}  user=alice  ip=10.0.0.1  note=\"a b\"\na\nb\nStack (most recent call last):\n  File")
        );
    }

    #[test]
    fn a_record_may_be_sent_with_get() {
        let environ = Environ::for_test([("QUERY_STRING", RECORD)]);
        assert_eq!(call(validator(app), environ).log, [LINE]);
    }

    #[test]
    fn json_is_shown() {
        const JSON: &str = "application/json; charset=utf-8";
        for (record, expected) in [
            // python-json-logger
            (
                r#"{"message": "broken", "levelname": "ERROR", "name": "my.logger", "exc_info": "Traceback:\nKeyError", "user": {"id": 7}}"#,
                line("my.logger", "ERROR", "broken  user={\"id\":7}\nTraceback:\nKeyError"),
            ),
            // structlog
            (
                r#"{"event": "started", "level": "info", "timestamp": "2026-11-21T10:58:37Z", "port": 80, "stack": "Stack:\n a"}"#,
                line("", "info", "started  port=80\nStack:\n a").replacen('-', "2026-11-21T10:58:37Z", 1),
            ),
            // pino
            (
                r#"{"level": 30, "time": 1413734400250, "pid": 1, "msg": "hello"}"#,
                line("", "30", "hello  pid=1").replacen('-', "2014-10-19 16:00:00", 1),
            ),
            (r#"{"other": "only"}"#, line("", "", "  other=only")),
            (r#"{"msg": null, "message": "b", "args": [1, "x"]}"#, line("", "", "b  [1,\"x\"]")),
            (r#""text""#, line("", "", "text")),
            ("12.5", line("", "", "12.5")),
            (r#"[{"msg": "a"}, {"msg": "b"}]"#, line("", "", "a") + "\n" + &line("", "", "b")),
            ("{\"msg\": \"a\"}\n{\"msg\": \"b\"}\n", line("", "", "a") + "\n" + &line("", "", "b")),
        ] {
            assert_eq!(logged(JSON, record), expected);
        }
        let record = r#"{"msg": "a&b=c"}"#;
        for content_type in ["", "application/x-www-form-urlencoded", "application/ld+json", "application/x-ndjson"] {
            assert_eq!(logged(content_type, record), line("", "", "a&b=c"), "{content_type}");
        }
    }

    #[test]
    fn multipart_and_text_are_shown() {
        let part = |head: &str, content: &str| {
            format!("--x\r\nContent-Disposition: form-data; name={head}\r\n\r\n{content}\r\n")
        };
        let body = [part("msg", "broken"), part("n", "1"), part("f; filename=a.txt", "two words"), "--x--".to_owned()];
        let body = body.concat();
        let expected = line("", "", "broken  n=1  f=\"a.txt: two words\"");
        assert_eq!(logged("multipart/form-data; boundary=\"x\"", &body), expected);
        assert_eq!(logged("text/plain; charset=utf-8", "it is 1\n"), line("", "", "it is 1"));
        assert_eq!(logged("text/plain", "[error]"), line("", "", "[error]"));
        assert_eq!(logged("", "it is 1"), line("", "", "it is 1"));
    }

    #[test]
    fn what_is_not_understood_is_not_a_success() {
        for (content_type, body, status) in [
            ("", &b""[..], 400),
            ("application/x-www-form-urlencoded", b"", 400),
            ("application/json", b"", 400),
            ("application/json", b"{}", 400),
            ("application/json", b"{\"msg\": null, \"args\": []}", 400),
            ("application/x-www-form-urlencoded", b"msg=&args=None", 400),
            ("application/json", b"[]", 400),
            ("application/json", b"{\"msg\": ", 400),
            ("application/json", b"msg=a", 400),
            ("application/x-www-form-urlencoded", b"{\"msg\": ", 400),
            ("multipart/form-data", b"--x--", 400),
            ("multipart/form-data; boundary=x", b"--x--", 400),
            ("application/json", b"\"\xff\"", 415),
            ("application/octet-stream", b"\x00", 415),
            ("application/xml", b"<a/>", 415),
            ("", b"\x00\xff", 415),
        ] {
            let (answered, text) = post(content_type, body);
            assert_eq!(answered, status, "{content_type}: {text}");
            assert!(text.len() > 20 && text.ends_with('\n'), "the client learns why: {text}");
        }
        let environ = Environ::for_test([("HTTP_CONTENT_ENCODING", "gzip")]).with_input("a=b");
        assert_eq!(call(validator(app), environ).status, "415 Unsupported Media Type");
        assert_eq!(call(validator(app), Environ::for_test([])).status, "400 Bad Request");
        assert_eq!(post("text/plain", vec![b'a'; BODY_MAX + 1]).0, 413);
    }

    #[test]
    fn a_record_cannot_look_like_two() {
        let record = r#"{"msg": "a\n2014-10-19 16:00:00 b", "name": "c\nd", "level": "\r", "e\nf": "g\nh"}"#;
        let expected = line("c\\nd", "\\r", "a\n    2014-10-19 16:00:00 b  \"e\\nf\"=\"g\\nh\"");
        assert_eq!(logged("application/json", record), expected);
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time("0"), "1970-01-01 00:00:00");
        assert_eq!(time("951782399.9"), "2000-02-28 23:59:59");
        assert_eq!(time("951782400"), "2000-02-29 00:00:00");
        assert_eq!(time("4107542400"), "2100-03-01 00:00:00");
        assert_eq!(time("-1"), "1969-12-31 23:59:59");
        assert_eq!(time("soon"), "soon");
    }
}
