//! Response bodies, and the writer that sends them.

use std::{borrow::Cow, fmt::Display, marker::PhantomData};

use crate::{Result, Value, gateway::Gateway};

/// The body of a response. PEP 3333 calls it the iterable.
///
/// | body | sent as |
/// |---|---|
/// | any `AsRef<[u8]>`: `&str`, `String`, `Vec<u8>`, [`Value`], ... | one piece, with one call to the host |
/// | an iterator, an array or a `Vec` of these, or of results with these | one chunk at a time |
/// | [`Sse`](crate::Sse) | one event at a time |
/// | `()` | an empty body, or nothing after what [`Write`](crate::Write) has sent |
/// | an [`Option`] with any of these | the body, or an empty one |
/// | a [`Result`] with any of these | the body, or the error |
///
/// Each chunk is sent before the iterator is advanced to the next one. The parameter `M` distinguishes these
/// implementations. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the body of a response",
    label = "not a body",
    note = "a body is text or bytes, an iterator, an array or a `Vec` of these, `()`, or an `Option` or a `Result` with any of these"
)]
pub trait Body<M> {
    /// Sends the body.
    ///
    /// # Errors
    ///
    /// Returns the error of an iterator, a [`StartError`](crate::StartError) or a [`WriteError`](crate::WriteError).
    fn send(self, writer: BodyWriter) -> Result<()>;
}

/// Sends the chunks of a [`Body`] to the client. In the short form, the response starts with the first byte, so that an
/// error before it can still become an error response.
///
/// ```
/// # use wasmserve_guest::{Body, Environ, BodyWriter, Result, StartResponse, testing::call};
/// /// A body that counts down.
/// struct Down(u32);
///
/// /// Distinguishes this implementation from those of the SDK.
/// enum Countdown {}
///
/// impl Body<Countdown> for Down {
///     fn send(self, mut writer: BodyWriter) -> Result<()> {
///         for number in (1..self.0).rev() {
///             writer.write(format!("{number}\n").as_bytes())?;
///         }
///         writer.finish(b"go!\n")
///     }
/// }
///
/// let app = |_: Environ, start_response: StartResponse| {
///     start_response("200 OK", &[("Content-Type", "text/plain")]);
///     Down(3)
/// };
/// assert_eq!(call(app, Environ::for_test([])).body, b"2\n1\ngo!\n");
/// ```
pub struct BodyWriter {
    gateway: Gateway,
    /// The head, until it has been passed to the host.
    head: Option<Head>,
}

pub(crate) struct Head {
    pub(crate) status: Cow<'static, str>,
    pub(crate) headers: Vec<(Cow<'static, str>, Value)>,
}

impl BodyWriter {
    /// A writer for a response that `start_response` starts.
    pub(crate) fn started(gateway: Gateway) -> Self {
        Self { gateway, head: None }
    }

    /// A writer that starts the response itself, with its first chunk.
    pub(crate) fn with_head(gateway: Gateway, head: Head) -> Self {
        Self { gateway, head: Some(head) }
    }

    /// Sends a chunk. Does nothing if the chunk is empty.
    ///
    /// # Errors
    ///
    /// Fails with a [`StartError`](crate::StartError) if the head is invalid, and with a
    /// [`WriteError`](crate::WriteError) if the chunk was not accepted.
    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        if let Some(head) = self.head.take() {
            head.with(|status, headers| self.gateway.start_response(status, headers, None))?;
        }
        Ok(self.gateway.write(chunk)?)
    }

    /// Sends the last chunk, which may be empty.
    ///
    /// # Errors
    ///
    /// Fails for the same reasons as [`write`](Self::write).
    pub fn finish(self, last: &[u8]) -> Result<()> {
        match self.head {
            Some(head) => Ok(head.with(|status, headers| self.gateway.respond(status, headers, last))?),
            None => Ok(self.gateway.finish(last)?),
        }
    }
}

impl Head {
    /// Calls a function with the head in the form that the host takes.
    fn with<T>(&self, call: impl FnOnce(&str, &[(&str, &[u8])]) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (&**name, value.as_bytes())).collect();
        call(&self.status, &headers)
    }
}

/// An iterator over chunks of the kind `N`.
pub struct Chunked<N>(PhantomData<N>);

/// A `Result` with a chunk or a body.
pub struct Fallible<N>(PhantomData<N>);

/// An array or a `Vec` of chunks of the kind `N`.
pub struct Listed<N>(PhantomData<N>);

/// An `Option` with a body or a response.
pub struct Optional<N>(PhantomData<N>);

/// An empty body.
pub enum Nothing {}

/// An item of an iterator that is a body.
pub trait Chunk<N> {
    /// The bytes of the chunk.
    fn into_bytes(self) -> Result<impl AsRef<[u8]>>;
}

impl<T: AsRef<[u8]>> Chunk<()> for T {
    fn into_bytes(self) -> Result<impl AsRef<[u8]>> {
        Ok(self)
    }
}

impl<T: AsRef<[u8]>, E: Display> Chunk<Fallible<()>> for Result<T, E> {
    fn into_bytes(self) -> Result<impl AsRef<[u8]>> {
        self.map_err(|error| error.to_string().into())
    }
}

impl<B: AsRef<[u8]>> Body<()> for B {
    fn send(self, writer: BodyWriter) -> Result<()> {
        writer.finish(self.as_ref())
    }
}

// For `Iterator`, not `IntoIterator`, which `Result` implements too: its errors would be dropped.
impl<I, N> Body<Chunked<N>> for I
where
    I: Iterator<Item: Chunk<N>>,
{
    fn send(mut self, mut writer: BodyWriter) -> Result<()> {
        while let Some(chunk) = self.next() {
            let chunk = chunk.into_bytes()?;
            // Finish early only if the iterator knows that it is at its end. Asking it for another chunk could take
            // long and would delay this one.
            if self.size_hint() == (0, Some(0)) {
                return writer.finish(chunk.as_ref());
            }
            writer.write(chunk.as_ref())?;
        }
        writer.finish(&[])
    }
}

impl<C: Chunk<N>, N> Body<Listed<N>> for Vec<C> {
    fn send(self, writer: BodyWriter) -> Result<()> {
        self.into_iter().send(writer)
    }
}

impl<C: Chunk<N>, N, const LENGTH: usize> Body<Listed<N>> for [C; LENGTH] {
    fn send(self, writer: BodyWriter) -> Result<()> {
        self.into_iter().send(writer)
    }
}

impl<B: Body<N>, N> Body<Optional<N>> for Option<B> {
    fn send(self, writer: BodyWriter) -> Result<()> {
        match self {
            Some(body) => body.send(writer),
            None => writer.finish(&[]),
        }
    }
}

impl Body<Nothing> for () {
    fn send(self, writer: BodyWriter) -> Result<()> {
        writer.finish(&[])
    }
}

impl<B, E, N> Body<Fallible<N>> for Result<B, E>
where
    B: Body<N>,
    E: Display,
{
    fn send(self, writer: BodyWriter) -> Result<()> {
        match self {
            Ok(body) => body.send(writer),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use crate::{Environ, StartResponse, testing::call};

    /// The chunks that reach the host, and whether the host knows the length of the body.
    fn sent<M>(body: impl crate::Body<M>) -> (Vec<String>, bool) {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            body
        };
        let answer = call(app, Environ::for_test([]));
        let chunks = answer.chunks.iter();
        (chunks.map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect(), answer.length_known)
    }

    #[test]
    fn a_whole_body_is_one_chunk() {
        assert_eq!(sent("whole"), (vec!["whole".to_owned()], true));
    }

    #[test]
    fn an_iterator_that_knows_its_end_finishes_with_its_last_chunk() {
        assert_eq!(sent(["only"].into_iter()), (vec!["only".to_owned()], true));
        assert_eq!(sent(["a", "b"].into_iter()), (vec!["a".to_owned(), "b".to_owned()], false));
    }

    #[test]
    fn a_chunk_is_sent_before_the_next_one_is_requested() {
        let unknown = iter::once("a").chain(iter::from_fn(|| None));
        assert_eq!(sent(unknown), (vec!["a".to_owned()], false));
    }

    #[test]
    fn b5_an_empty_chunk_starts_and_sends_nothing() {
        assert_eq!(sent(["", "a", "", "b"].into_iter()).0, ["a", "b"]);
        assert_eq!(sent(["", "only"].into_iter()), (vec!["only".to_owned()], true));
        let short = |_: Environ| (200, [("not a name", "1")], [Ok(""), Err("failed")].into_iter());
        assert_eq!(call(short, Environ::for_test([])).fault.as_deref(), Some("failed"));
    }
}
