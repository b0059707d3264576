//! What an application returns, and where it goes.

use std::{borrow::Cow, fmt::Display, marker::PhantomData};

use crate::{Result, Value, gateway::Gateway};

/// The body of a response: what PEP 3333 calls the iterable.
///
/// | body | sent as |
/// |---|---|
/// | anything that is `AsRef<[u8]>`: `&str`, `String`, `Vec<u8>`, [`Value`], ... | a whole, with one call of the host |
/// | an iterator over such, or over results with such | one chunk at a time |
/// | `()` | an empty body, or nothing more than what [`Write`](crate::Write) has pushed |
/// | a [`Result`] with any of these | that, or the error |
///
/// A chunk is on its way before the next one is asked for. `M` tells these apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the body of a response",
    label = "not a body",
    note = "a body is text or bytes, an iterator over these or over results with these, `()`, or a `Result` with any of these"
)]
pub trait Body<M> {
    /// Sends the body.
    fn send(self, outlet: Outlet) -> Result<()>;
}

/// Where a [`Body`] goes. The short form starts the response only with the first octet, so that until then an error can
/// still have an answer of its own.
///
/// ```
/// # use wasmserve_guest::{Body, Environ, Outlet, Result, StartResponse, testing::call};
/// /// Counts down.
/// struct Down(u32);
///
/// /// What tells this impl from those of the SDK.
/// enum Mine {}
///
/// impl Body<Mine> for Down {
///     fn send(self, mut outlet: Outlet) -> Result<()> {
///         for number in (1..self.0).rev() {
///             outlet.write(format!("{number}\n").as_bytes())?;
///         }
///         outlet.finish(b"go!\n")
///     }
/// }
///
/// let app = |_: Environ, start_response: StartResponse| {
///     start_response("200 OK", &[("Content-Type", "text/plain")]);
///     Down(3)
/// };
/// assert_eq!(call(app, Environ::made([])).body, b"2\n1\ngo!\n");
/// ```
pub struct Outlet {
    gateway: Gateway,
    /// What has not been given to the host yet.
    head: Option<Head>,
}

pub(crate) struct Head {
    pub(crate) status: Cow<'static, str>,
    pub(crate) headers: Vec<(Cow<'static, str>, Value)>,
}

impl Outlet {
    /// For a response that `start_response` starts.
    pub(crate) fn started(gateway: Gateway) -> Self {
        Self { gateway, head: None }
    }

    pub(crate) fn held(gateway: Gateway, head: Head) -> Self {
        Self { gateway, head: Some(head) }
    }

    /// Sends a chunk. An empty one does nothing.
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
    pub fn finish(self, last: &[u8]) -> Result<()> {
        match self.head {
            Some(head) => Ok(head.with(|status, headers| self.gateway.respond(status, headers, last))?),
            None => Ok(self.gateway.finish(last)?),
        }
    }
}

impl Head {
    /// Lends the head in the shape that the host takes.
    fn with<T>(&self, call: impl FnOnce(&str, &[(&str, &[u8])]) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        call(&self.status, &headers)
    }
}

/// An iterator over chunks of the kind `N`.
pub struct Chunked<N>(PhantomData<N>);

/// A chunk, or a body, that may be an error instead.
pub struct Fallible<N>(PhantomData<N>);

/// No body.
pub enum Nothing {}

/// What an iterator gives.
pub trait Chunk<N> {
    /// The octets, or why there are none.
    fn octets(self) -> Result<impl AsRef<[u8]>>;
}

impl<T: AsRef<[u8]>> Chunk<()> for T {
    fn octets(self) -> Result<impl AsRef<[u8]>> {
        Ok(self)
    }
}

impl<T: AsRef<[u8]>, E: Display> Chunk<Fallible<()>> for Result<T, E> {
    fn octets(self) -> Result<impl AsRef<[u8]>> {
        self.map_err(|error| error.to_string().into())
    }
}

impl<B: AsRef<[u8]>> Body<()> for B {
    fn send(self, outlet: Outlet) -> Result<()> {
        outlet.finish(self.as_ref())
    }
}

// For `Iterator`, not for `IntoIterator`: that would include `Result`, and drop its errors.
impl<I, N> Body<Chunked<N>> for I
where
    I: Iterator<Item: Chunk<N>>,
{
    fn send(mut self, mut outlet: Outlet) -> Result<()> {
        while let Some(chunk) = self.next() {
            let chunk = chunk.octets()?;
            // Only an iterator that knows it is done saves the call: to ask for the next chunk could take its time, and
            // this one would wait.
            if self.size_hint() == (0, Some(0)) {
                return outlet.finish(chunk.as_ref());
            }
            outlet.write(chunk.as_ref())?;
        }
        outlet.finish(&[])
    }
}

impl Body<Nothing> for () {
    fn send(self, outlet: Outlet) -> Result<()> {
        outlet.finish(&[])
    }
}

impl<B, E, N> Body<Fallible<N>> for Result<B, E>
where
    B: Body<N>,
    E: Display,
{
    fn send(self, outlet: Outlet) -> Result<()> {
        match self {
            Ok(body) => body.send(outlet),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use crate::{Environ, StartResponse, testing::call};

    /// The chunks that reach the host, and whether the last one was known to be the last.
    fn sent<M>(body: impl crate::Body<M>) -> (Vec<String>, bool) {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            body
        };
        let answer = call(app, Environ::made([]));
        let chunks = answer.chunks.iter();
        (chunks.map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect(), answer.length_known)
    }

    #[test]
    fn a_whole_body_is_one_chunk() {
        assert_eq!(sent("whole"), (vec!["whole".to_owned()], true));
    }

    #[test]
    fn an_iterator_that_knows_its_end_says_so_with_its_last_chunk() {
        assert_eq!(sent(["only"].into_iter()), (vec!["only".to_owned()], true));
        assert_eq!(sent(["a", "b"].into_iter()), (vec!["a".to_owned(), "b".to_owned()], false));
    }

    #[test]
    fn no_chunk_waits_for_the_next_one() {
        let unknown = iter::once("a").chain(iter::from_fn(|| None));
        assert_eq!(sent(unknown), (vec!["a".to_owned()], false));
    }

    #[test]
    fn b5_an_empty_chunk_starts_and_sends_nothing() {
        assert_eq!(sent(["", "a", "", "b"].into_iter()).0, ["a", "b"]);
        assert_eq!(sent(["", "only"].into_iter()), (vec!["only".to_owned()], true));
        let short = |_: Environ| (200, [("not a name", "1")], [Ok(""), Err("failed")].into_iter());
        assert_eq!(call(short, Environ::made([])).fault.as_deref(), Some("failed"));
    }
}
