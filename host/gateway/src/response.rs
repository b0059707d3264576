//! `start_response`, `write` and the end of a response: a channel from the handler to the transport.
//!
//! The [`Writer`] is moved into the instance's store, so that the [`Reader`] sees every way in which a handler can end:
//! a call of [`Writer::finish`], or the drop of the writer without it.

mod reader;
mod state;
mod trailers;
mod writer;

use std::sync::{Arc, Mutex};

use self::state::State;
pub use self::{
    reader::{Cut, Reader},
    state::{ResponseRules, WriteError},
    trailers::Takes,
    writer::{EndError, Unsent, Writer},
};

/// Creates the two ends of a response that has not started.
#[must_use]
pub fn channel(rules: ResponseRules) -> (Writer, Reader) {
    let shared = Arc::new(Mutex::new(State::new(rules)));
    (Writer::new(&shared), Reader::new(shared))
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        task::{Context, Poll, Waker},
    };

    use bytes::Bytes;

    use super::{state::HIGH_WATER, *};
    use crate::{Field, head::HeadLimits};

    const RULES: ResponseRules =
        ResponseRules { is_head: false, trailers: Takes::Nothing, limits: HeadLimits { bytes: 32 << 10, fields: 100 } };

    /// A call made by a handler.
    #[derive(Clone, Copy, Debug)]
    enum Call {
        Start(&'static str, &'static [(&'static str, &'static str)]),
        Restart(&'static str),
        Redirect(&'static str),
        Write(&'static str),
        Finish(&'static str),
        Announce(&'static str),
        FinishWith(&'static str, &'static [(&'static str, &'static str)]),
        End,
        Trap,
    }
    use Call::{Announce, End as Done, Finish, FinishWith, Redirect, Restart, Start, Trap, Write};

    fn fields(of: &[(&str, &str)]) -> Vec<Field> {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    /// Makes the calls, and returns what an HTTP/1.1 client would get and what each call returned.
    fn run(is_head: bool, calls: &[Call]) -> (String, Vec<String>) {
        run_with(ResponseRules { is_head, ..RULES }, calls)
    }

    /// The same for a client that is not of HTTP/1.1, or takes trailers.
    fn run_with(rules: ResponseRules, calls: &[Call]) -> (String, Vec<String>) {
        let (mut writer, mut reader) = channel(rules);
        let mut cx = Context::from_waker(Waker::noop());
        let mut returned = Vec::new();
        for call in calls {
            let result = match *call {
                Start(status, fields) => {
                    writer.start(status, self::fields(fields), None).map_err(|error| format!("{error:?}"))
                }
                Restart(status) => {
                    writer.start(status, Vec::new(), Some(b"boom".to_vec())).map_err(|error| format!("{error:?}"))
                }
                Redirect(location) => {
                    writer.redirect(Bytes::from_static(location.as_bytes()));
                    Ok(())
                }
                Write(chunk) => {
                    let mut write = std::pin::pin!(writer.write(Bytes::from_static(chunk.as_bytes())));
                    match write.as_mut().poll(&mut cx) {
                        Poll::Ready(result) => result.map_err(|error| format!("{error:?}")),
                        Poll::Pending => Err("blocks".to_owned()),
                    }
                }
                Finish(chunk) => {
                    writer.finish(Bytes::from_static(chunk.as_bytes())).map_err(|error| format!("{error:?}"))
                }
                Announce(list) => {
                    writer.announce_trailers(list.as_bytes());
                    Ok(())
                }
                FinishWith(chunk, trailers) => writer
                    .finish_with(Bytes::from_static(chunk.as_bytes()), fields(trailers))
                    .map_err(|error| format!("{error:?}")),
                Done => writer.end().map_err(|error| format!("{error:?}")),
                Trap => break,
            };
            returned.push(result.err().unwrap_or_else(|| "ok".to_owned()));
        }
        drop(writer);
        let Poll::Ready(Some(head)) = reader.poll_head(&mut cx) else { return ("nothing".to_owned(), returned) };
        let mut got = head.status.as_u16().to_string();
        for (name, value) in &head.headers {
            got += &format!(" {name}={}", value.to_str().expect("ASCII"));
        }
        got += " |";
        loop {
            match reader.poll_chunk(&mut cx) {
                Poll::Ready(Some(Ok(chunk))) => got += &format!("{}|", String::from_utf8_lossy(&chunk)),
                Poll::Ready(Some(Err(Cut))) => return (got + "cut", returned),
                Poll::Ready(None) => {
                    got += "end";
                    for (name, value) in reader.take_trailers().iter().flatten() {
                        got += &format!(" {name}={}", value.to_str().expect("ASCII"));
                    }
                    assert!(reader.is_at_end());
                    return (got, returned);
                }
                Poll::Pending => unreachable!("the writer is gone"),
            }
        }
    }

    #[test]
    fn calls_become_a_response() {
        const LENGTH_3: &[(&str, &str)] = &[("Content-Length", "3")];
        /// The rule, whether the request is a HEAD, the calls, the response, and what the calls returned.
        type Case = (&'static str, bool, &'static [Call], &'static str, &'static [&'static str]);
        let cases: &[Case] = &[
            ("B3", false, &[Start("200 OK", &[]), Finish("abc"), Done], "200 content-length=3 |abc|end", &["ok"; 3]),
            ("B4", false, &[Start("200 OK", &[]), Write("a"), Write("b"), Done], "200 |a|b|end", &["ok"; 4]),
            ("B5", false, &[Start("200 OK", &[]), Write(""), Done], "200 content-length=0 |end", &["ok"; 3]),
            ("B5", false, &[Start("200 OK", &[]), Write(""), Trap], "nothing", &["ok"; 2]),
            ("B6", false, &[Start("200 OK", &[]), Done], "200 content-length=0 |end", &["ok"; 2]),
            (
                "B1",
                false,
                &[Start("200 OK", LENGTH_3), Write("ab"), Write("cd"), Write("e"), Done],
                "200 content-length=3 |ab|c|end",
                &["ok", "ok", "PastContentLength", "PastContentLength", "ok"],
            ),
            (
                "B2",
                false,
                &[Start("200 OK", LENGTH_3), Write("ab"), Done],
                "200 content-length=3 |ab|cut",
                &["ok", "ok", "ShortBody { missing: 1 }"],
            ),
            (
                "B2",
                false,
                &[Start("200 OK", LENGTH_3), Finish("ab"), Done],
                "200 content-length=3 |ab|cut",
                &["ok", "ok", "ShortBody { missing: 1 }"],
            ),
            ("B9", true, &[Start("200 OK", &[]), Finish("abc"), Done], "200 content-length=3 |end", &["ok"; 3]),
            ("B9", true, &[Start("200 OK", LENGTH_3), Done], "200 content-length=3 |end", &["ok"; 2]),
            ("B10", false, &[Start("204 No Content", LENGTH_3), Write("abc"), Done], "204 |end", &["ok"; 3]),
            ("B10", false, &[Start("205 Reset", &[]), Finish("abc"), Done], "205 content-length=0 |end", &["ok"; 3]),
            ("B10", false, &[Start("304 Same", LENGTH_3), Done], "304 content-length=3 |end", &["ok"; 2]),
            ("S1", false, &[Start("200 OK", &[]), Trap], "nothing", &["ok"]),
            (
                "S2",
                false,
                &[Start("200 OK", &[]), Start("201 No", &[]), Done],
                "200 content-length=0 |end",
                &["ok", "AlreadyStarted", "ok"],
            ),
            (
                "S3",
                false,
                &[Start("200 OK", &[("X", "1")]), Restart("500 No"), Done],
                "500 content-length=0 |end",
                &["ok"; 3],
            ),
            (
                "S4",
                false,
                &[Start("200 OK", &[]), Write("a"), Restart("500 No"), Done],
                "200 |a|cut",
                &["ok", "ok", "HeadersSent", "Exception(\"boom\")"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Start("200 OK", &[]), Done],
                "nothing",
                &["BadStatus", "AlreadyStarted", "BadHead(BadStatus)"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Restart("200 OK"), Done],
                "200 content-length=0 |end",
                &["BadStatus", "ok", "ok"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Write("a"), Done],
                "nothing",
                &["BadStatus", "NotStarted", "BadHead(BadStatus)"],
            ),
            (
                "G3",
                false,
                &[Redirect("/a"), Start("200 OK", &[]), Finish("b"), Done],
                "nothing",
                &["ok", "AlreadyStarted", "NotStarted", "ok"],
            ),
            ("X2", false, &[Done], "nothing", &["NoStartResponse"]),
            ("X3", false, &[Start("200 OK", &[]), Write("a"), Trap], "200 |a|cut", &["ok", "ok"]),
            ("X3", false, &[Start("200 OK", &[]), Finish("a"), Trap], "200 content-length=1 |a|end", &["ok", "ok"]),
            (
                "F11",
                false,
                &[Write("a"), Start("200 OK", &[]), Finish("b"), Write("c"), Done],
                "200 content-length=1 |b|end",
                &["NotStarted", "ok", "ok", "Disconnected", "ok"],
            ),
        ];
        for (rule, is_head, calls, got, returned) in cases {
            let (response, results) = run(*is_head, calls);
            assert_eq!(response, *got, "{rule}: {calls:?}");
            assert_eq!(results, *returned, "{rule}: {calls:?}");
        }
    }

    #[test]
    fn b13_trailers_reach_clients_that_take_them() {
        use Takes::{Announced, Anything, Nothing};
        const SUM: &[(&str, &str)] = &[("X-Sum", "7")];
        const TWO: &[(&str, &str)] = &[("X-Sum", "7"), ("x-sum", "8"), ("X-Other", "9")];
        const BAD: &[(&str, &str)] = &[("Host", "x"), ("If-Match", "x"), ("a b", "x"), ("X", "\n"), ("X-Sum", "7")];
        const LENGTH_3: &[(&str, &str)] = &[("Content-Length", "3")];
        let start = Start("200 OK", &[]);
        let cases: &[(Takes, &[Call], &str)] = &[
            (Nothing, &[start, FinishWith("abc", SUM)], "200 content-length=3 |abc|end"),
            (Nothing, &[start, Announce("X-Sum"), Write("a"), FinishWith("", SUM)], "200 |a|end"),
            (Announced, &[start, FinishWith("abc", SUM)], "200 trailer=x-sum |abc|end x-sum=7"),
            (Announced, &[start, FinishWith("", SUM)], "200 trailer=x-sum |end x-sum=7"),
            (Announced, &[start, Announce("X-Sum"), Finish("abc")], "200 content-length=3 |abc|end"),
            (Announced, &[start, Announce("X-Sum"), Done], "200 content-length=0 |end"),
            (Announced, &[start, Write("a"), FinishWith("b", SUM)], "200 |a|b|end"),
            (
                Announced,
                &[start, Announce("a, X-Sum,Host, ="), Write("a"), FinishWith("b", TWO)],
                "200 trailer=a, x-sum |a|b|end x-sum=7 x-sum=8",
            ),
            (Anything, &[start, Write("a"), FinishWith("b", TWO)], "200 |a|b|end x-sum=7 x-sum=8 x-other=9"),
            (Anything, &[start, FinishWith("abc", BAD)], "200 trailer=x-sum |abc|end x-sum=7"),
            (Anything, &[start, Write("a"), Announce("X-Sum"), Trap], "200 |a|cut"),
            (Anything, &[Start("200 OK", LENGTH_3), FinishWith("abc", SUM)], "200 content-length=3 |abc|end"),
            (Anything, &[Start("200 OK", LENGTH_3), FinishWith("ab", SUM)], "200 content-length=3 |ab|cut"),
            (Anything, &[Start("204 No Content", &[]), Announce("X-Sum"), FinishWith("", SUM)], "204 |end"),
        ];
        for (trailers, calls, got) in cases {
            let rules = ResponseRules { trailers: *trailers, ..RULES };
            assert_eq!(run_with(rules, calls).0, *got, "{trailers:?}: {calls:?}");
        }
    }

    #[test]
    fn b13_trailers_that_are_not_sent_are_reported() {
        let unsent = |trailers, started: &[(&str, &str)], passed: &[(&str, &str)]| {
            let limits = HeadLimits { bytes: 100, fields: 2 };
            let (mut writer, _reader) = channel(ResponseRules { trailers, limits, ..RULES });
            writer.start("200 OK", fields(started), None).expect("valid");
            _ = writer.push(Bytes::from_static(b"a"));
            _ = writer.finish_with(Bytes::new(), fields(passed));
            writer.unsent().trailers.join("; ")
        };
        let long = "x".repeat(100);
        for (trailers, started, passed, report) in [
            (Takes::Nothing, &[][..], &[("X", "1")][..], "the trailers were not sent: the client takes none"),
            (
                Takes::Anything,
                &[("Content-Length", "1")],
                &[("X", "1")],
                "not sent: a body with a Content-Length has none",
            ),
            (Takes::Announced, &[], &[("X", "1")], "the trailer `X` was not sent: name it in a `Trailer` field"),
            (
                Takes::Anything,
                &[],
                &[("Set-Cookie", "1")],
                "`Set-Cookie` was not sent: this field has no meaning after",
            ),
            (Takes::Anything, &[], &[("a b", "1")], "`a b` was not sent: its name is not a token"),
            (Takes::Anything, &[], &[("X", "\r")], "`X` was not sent: its value has a control character"),
            (Takes::Anything, &[], &[("X", &long)], "too large: 1 fields with 105 bytes"),
            (Takes::Anything, &[], &[("X", "1"), ("X", "2"), ("X", "3")], "too large: 3 fields"),
        ] {
            let reported = unsent(trailers, started, passed);
            assert!(reported.contains(report), "{reported:?} is not {report:?}");
        }
        assert_eq!(unsent(Takes::Anything, &[], &[("X", "1")]), "");
    }

    #[test]
    fn b1_a_response_of_a_given_length_is_complete_with_its_last_byte() {
        let (mut writer, mut reader) = channel(RULES);
        let mut cx = Context::from_waker(Waker::noop());
        writer.start("200 OK", vec![("Content-Length".to_owned(), b"3".to_vec())], None).expect("valid");
        assert!(std::pin::pin!(writer.write(Bytes::from_static(b"abc"))).poll(&mut cx).is_ready());
        assert!(!reader.is_at_end());
        assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Ok(_)))));
        assert!(reader.is_at_end());
        assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn b8_write_blocks_while_too_much_data_waits_until_the_reader_takes_some() {
        let (mut writer, mut reader) = channel(RULES);
        let mut cx = Context::from_waker(Waker::noop());
        writer.start("200 OK", Vec::new(), None).expect("valid");
        let chunk = Bytes::from(vec![0; HIGH_WATER]);
        assert!(std::pin::pin!(writer.write(chunk.clone())).poll(&mut cx).is_ready());
        {
            let mut write = std::pin::pin!(writer.write(chunk));
            assert!(write.as_mut().poll(&mut cx).is_pending());
            assert!(reader.poll_chunk(&mut cx).is_ready());
            assert_eq!(write.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
        }
        drop(reader);
        assert!(!writer.is_connected());
        assert_eq!(writer.finish(Bytes::new()), Err(WriteError::Disconnected));
    }
}
