//! Server-sent events.

use std::{
    fmt::{self, Display, Formatter},
    marker::PhantomData,
    time::Duration,
};

use crate::{
    Body, IntoResponse, Response, Result, Value,
    body::{BodyWriter, Fallible},
};

/// A stream of server-sent events, which a browser reads with `new EventSource(url)`: an iterator over [`Event`]s or
/// texts, or over results with these.
///
/// The response is a `200 OK` with `Content-Type: text/event-stream`, and is not cached. Each event is sent before the
/// iterator is advanced to the next one. If the client disconnects, the next event is the last.
///
/// ```
/// use wasmserve_guest::{Environ, Event, Sse, testing::call};
///
/// fn app(_environ: Environ) -> Sse<impl Iterator<Item = Event>> {
///     Sse((1..=2).map(|number| Event::new(format!("tick {number}")).id(number.to_string())))
/// }
///
/// let answer = call(app, Environ::for_test([]));
/// assert_eq!(answer.header("Content-Type").unwrap(), "text/event-stream");
/// assert_eq!(answer.chunks, [b"id: 1\ndata: tick 1\n\n", b"id: 2\ndata: tick 2\n\n"]);
/// ```
///
/// The server ends a response after its `--timeout`. The browser then connects again, with the last id in the field
/// `Last-Event-ID`.
#[derive(Clone, Debug)]
pub struct Sse<I>(pub I);

/// The kind of body that an `Sse` with items of the kind `N` is.
pub struct Events<N>(PhantomData<N>);

impl<I, N> Body<Events<N>> for Sse<I>
where
    I: Iterator<Item: IntoEvent<N>>,
{
    fn send(self, mut writer: BodyWriter) -> Result<()> {
        for event in self.0 {
            writer.write(event.into_event()?.to_string().as_bytes())?;
        }
        writer.finish(&[])
    }
}

impl<I, N> IntoResponse<Events<N>> for Sse<I>
where
    I: Iterator<Item: IntoEvent<N>> + 'static,
{
    fn into_response(self) -> Result<Response> {
        // The last one is for nginx, which would collect events in its buffer.
        let headers =
            [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")];
        let headers = headers.map(|(name, value)| (name, Value::from_static(value)));
        Ok(Response::new(200, headers, self))
    }
}

/// An item of an [`Sse`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "an event is an `Event`, text, or a `Result` with either"
)]
pub trait IntoEvent<N> {
    /// The event.
    fn into_event(self) -> Result<Event>;
}

impl<T: Into<Event>> IntoEvent<()> for T {
    fn into_event(self) -> Result<Event> {
        Ok(self.into())
    }
}

impl<T: Into<Event>, E: Display> IntoEvent<Fallible<()>> for Result<T, E> {
    fn into_event(self) -> Result<Event> {
        self.map(Into::into).map_err(|error| error.to_string().into())
    }
}

/// A server-sent event. It displays as its lines, with the empty line at its end.
///
/// Nothing in it can start another line or event: data is sent line by line, and line ends in the other parts become
/// spaces.
///
/// ```
/// # use {std::time::Duration, wasmserve_guest::Event};
/// let event = Event::new("one\ntwo").id("7").name("count").retry(Duration::from_secs(3));
/// assert_eq!(event.to_string(), "event: count\nid: 7\nretry: 3000\ndata: one\ndata: two\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    comment: Option<String>,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: Option<String>,
}

impl Event {
    /// Creates an event with data, which may have several lines.
    ///
    /// ```
    /// # use wasmserve_guest::Event;
    /// assert_eq!(Event::new("a").to_string(), "data: a\n\n");
    /// ```
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// Creates a comment, which clients ignore. Send one from time to time to keep the connection alive through proxies.
    ///
    /// ```
    /// # use wasmserve_guest::Event;
    /// assert_eq!(Event::comment("still here").to_string(), ": still here\n\n");
    /// ```
    pub fn comment(text: impl Into<String>) -> Self {
        Self { comment: Some(text.into()), ..Self::default() }
    }

    /// Sets the name of the event. Without one, it is a `message`.
    ///
    /// ```
    /// # use wasmserve_guest::Event;
    /// assert_eq!(Event::new("a").name("tick\ndata: b").to_string(), "event: tick data: b\ndata: a\n\n");
    /// ```
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets the id, which the client sends in `Last-Event-ID` when it connects again.
    ///
    /// ```
    /// # use wasmserve_guest::Event;
    /// assert_eq!(Event::new("a").id("7").to_string(), "id: 7\ndata: a\n\n");
    /// ```
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Sets how long the client waits before it connects again, in whole milliseconds.
    ///
    /// ```
    /// # use {std::time::Duration, wasmserve_guest::Event};
    /// assert_eq!(Event::new("a").retry(Duration::from_secs(1)).to_string(), "retry: 1000\ndata: a\n\n");
    /// ```
    pub fn retry(self, delay: Duration) -> Self {
        Self { retry: Some(delay), ..self }
    }
}

impl From<String> for Event {
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

impl From<&str> for Event {
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (field, value) in [(": ", &self.comment), ("event: ", &self.name), ("id: ", &self.id)] {
            if let Some(value) = value {
                // A client ignores an id with a NUL.
                writeln!(f, "{field}{}", value.replace(['\r', '\n', '\0'], " "))?;
            }
        }
        if let Some(retry) = self.retry {
            writeln!(f, "retry: {}", retry.as_millis())?;
        }
        if let Some(data) = &self.data {
            for line in data.replace("\r\n", "\n").split(['\r', '\n']) {
                writeln!(f, "data: {line}")?;
            }
        }
        f.write_str("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, testing::call};

    #[test]
    fn every_line_of_the_data_is_a_field() {
        for (data, expected) in [
            ("", "data: \n\n"),
            ("a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("a\n\nid: 1\n", "data: a\ndata: \ndata: id: 1\ndata: \n\n"),
            (" a", "data:  a\n\n"),
        ] {
            assert_eq!(Event::new(data).to_string(), expected);
        }
    }

    #[test]
    fn other_fields_have_one_line() {
        let event = Event::comment("a\r\ndata: b").name("c\nd").id("e\rf\0");
        assert_eq!(event.to_string(), ": a  data: b\nevent: c d\nid: e f \n\n");
    }

    #[test]
    fn an_event_is_a_chunk_and_an_error_ends_the_stream() {
        let answer = call(|_: Environ| Sse([Ok("a"), Err("failed"), Ok("b")].into_iter()), Environ::for_test([]));
        assert_eq!((&*answer.body, answer.fault.as_deref()), (&b"data: a\n\n"[..], Some("failed")));
        assert!(!answer.length_known);
    }
}
