"""Runs a WSGI application (PEP 3333) for the one request of this instance.

What every request passes through is in this file and does little: an instance pays for each page of memory that it
touches. The gateway in the host checks the response; its refusals become Python exceptions here.
"""

import io
from wsgiref.util import FileWrapper

import wasmserve_host as host
import wasmserve_traceback
from componentize_py_types import Err
from wasmserve_host import Failed

#: The most bytes that are read or written at once.
BLOCK = 64 << 10

#: The longest list of chunks, in bytes, that is joined and sent at once.
JOINED = 1 << 20

#: The longest body in chunks, in bytes, that is read ahead for an application that needs its length.
READ_AHEAD = 16 << 20

#: Why a request body cannot be read any further: the exception, and its text.
READ_ERRORS = {
    "disconnected": (ConnectionResetError, "the client disconnected before the request body was complete"),
    "malformed": (OSError, "the request body is malformed"),
    "too-large": (OSError, "the request body is longer than --max-body allows"),
    "timed-out": (TimeoutError, "the request body did not arrive in time; see --body-timeout and --min-rate"),
}


class ClientGone(ConnectionAbortedError):
    """The client takes no more of the response. Not a failure of the application."""


class BodyTooLong(Exception):
    """The body has no length, and is too long to be counted for an application that needs one."""


def read(size):
    """The next 1 to `size` bytes of the request body, or none at its end."""
    try:
        return host.read(size)
    except Failed as failure:
        kind, text = READ_ERRORS[failure.name]
        raise kind(text) from None


class Body(io.RawIOBase):
    """The request body as it arrives. `wsgi.input` adds buffering, and with it lines and full reads."""

    def readable(self):
        """Always."""
        return True

    def readinto(self, buffer):
        """Waits for at least one byte."""
        chunk = read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def readall(self):
        """The rest of the body."""
        chunks = []
        while chunk := read(BLOCK):
            chunks.append(chunk)
        return b"".join(chunks)


class Errors(io.TextIOBase):
    """`wsgi.errors`: the log of the request. A line is logged when it is complete, flushed, or the request ends."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self):
        self._begun = ""

    def writable(self):
        """Always."""
        return True

    def write(self, text):
        """Logs all lines that end in `text`."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines = self._begun + text
        complete, end, self._begun = lines.rpartition("\n")
        if end:
            host.log(complete.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self):
        """Logs the line that was begun."""
        if self._begun:
            begun, self._begun = self._begun, ""
            host.log(begun.encode("utf-8", "backslashreplace"))


#: `wsgi.input` and `wsgi.errors`. They are part of the snapshot, so that no request pays for making them.
BODY, ERRORS = io.BufferedReader(Body(), BLOCK), Errors()


class Response:
    """The response to the request: `start_response`, and the `write` that it returns."""

    __slots__ = ("sent", "reported")

    def __init__(self):
        #: Whether the head has left, so that it cannot be replaced.
        self.sent = False
        #: The exception that is in the log already.
        self.reported = None

    def start(self, status, headers, exc_info=None):
        """`start_response`. Sends nothing yet: the head leaves with the first byte of the body, or at the end."""
        text = None
        if exc_info:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
                text = wasmserve_traceback.of(exc_info[1]).encode("utf-8", "backslashreplace")
                self.reported = exc_info[1]
            finally:
                exc_info = None  # It would keep the frames of the exception in a circle.
        if not isinstance(status, str):
            raise TypeError(f"the status must be str, not {type(status).__name__}: {status!r}")
        if not isinstance(headers, list):
            raise TypeError(f"the headers must be a list, not {type(headers).__name__}")
        try:
            # A text that is not Latin-1 must not reach the host: it may not even be Unicode.
            fields = [(str.encode(name, "latin-1").decode("latin-1"), str.encode(value, "latin-1")) for name, value in headers]
            status.encode("latin-1")
            host.start_response(status, fields, text)
        except Failed as failure:
            raise refused(failure, status) from None
        except (TypeError, ValueError):
            raise unusable(status, headers) from None
        return self.write

    def write(self, data):
        """Sends a chunk of the body. Waits while too much waits for the client."""
        if not isinstance(data, bytes):
            raise not_bytes("the argument of write()", data)
        if data and not self.push(data):
            raise ValueError("write() went beyond the Content-Length of the response")

    def push(self, chunk):
        """Sends a chunk that is not empty. Returns whether all of it was within the `Content-Length`."""
        try:
            host.write(chunk)
        except Failed as failure:
            if failure.name == "not-started":
                raise AssertionError("the body was begun before start_response() was called") from None
            self.sent = True
            if failure.name == "past-content-length":
                return False
            raise ClientGone("the client does not take the rest of the response") from None
        self.sent = True
        return True

    def finish(self, last):
        """Sends the last chunk, which may be empty. The gateway adds a `Content-Length` if it was the only one."""
        try:
            host.finish(last)
        except Failed as failure:
            # Without any body, the host itself reports what is missing.
            if failure.name == "not-started" and last:
                raise AssertionError("the body was begun before start_response() was called") from None
        else:
            self.sent = True

    def send(self, result):
        """Sends what the application returned. `close()` is left to the caller."""
        if type(result) is list or type(result) is tuple:
            for chunk in result:
                if not isinstance(chunk, bytes):
                    raise not_bytes("a chunk of the body", chunk)
            if len(result) == 1:
                self.finish(result[0])
                return
            if sum(map(len, result)) <= JOINED:
                self.finish(b"".join(result))
                return
        elif type(result) is FileWrapper:
            # Reading in the application's own small blocks would only cost more.
            read, size = result.filelike.read, max(BLOCK, result.blksize)
            result = iter(lambda: read(size), b"")
        elif isinstance(result, (str, bytes, bytearray)) or not hasattr(result, "__iter__"):
            raise no_iterable(result)
        for chunk in result:
            if not isinstance(chunk, bytes):
                raise not_bytes("a chunk of the body", chunk)
            if chunk and not self.push(chunk):
                break
        self.finish(b"")


def refused(failure, status):
    """The exception for a head that the gateway refused."""
    match failure.name:
        case "already-started":
            return AssertionError("start_response() was called again without exc_info")
        case "bad-status":
            return ValueError(f"bad status {status!r}: it must be three digits from 200 to 999, a space and a reason")
        case "bad-header":
            return ValueError(f"bad header: {failure.value}")
        case "hop-by-hop":
            return ValueError(f"bad header: `{failure.value}` is a hop-by-hop field, which only the server may set")
        case name:
            return AssertionError(f"start_response() failed: {name}")


def unusable(status, headers):
    """The exception for a head that is not made of native strings."""
    try:
        status.encode("latin-1")
    except UnicodeError:
        return ValueError(f"bad status {status!r}: it has characters beyond Latin-1")
    for field in headers:
        if not isinstance(field, tuple) or len(field) != 2:
            return TypeError(f"bad header: {field!r}: it must be a tuple of a name and a value")
        name, value = field
        for part, text in (("name", name), ("value", value)):
            if not isinstance(text, str):
                return TypeError(f"bad header: {name!r}: the {part} must be str, not {type(text).__name__}: {text!r}")
            try:
                text.encode("latin-1")
            except UnicodeError:
                return ValueError(f"bad header: {name!r}: the {part} has characters beyond Latin-1; encode it: {text!r}")
    return ValueError(f"bad status or headers: {status!r}, {headers!r}")


def not_bytes(what, data):
    """The exception for a part of the body that is not bytes."""
    text = f"{what} must be bytes, not {type(data).__name__}: {data!r:.60}"
    return TypeError(text + "; encode it" if isinstance(data, str) else text)


def no_iterable(result):
    """The exception for a result that is not an iterable of bytes."""
    if isinstance(result, bytes):
        return TypeError("the application returned bytes; return a list with them: [body]")
    if isinstance(result, str):
        return TypeError("the application returned str; return a list of bytes: [body.encode()]")
    if hasattr(result, "__await__") or hasattr(result, "__aiter__"):
        if hasattr(result, "close"):
            result.close()  # It would be reported a second time, as never awaited.
        return TypeError("the application is async, so not a WSGI application")
    return TypeError(f"the application returned {type(result).__name__}; it must return an iterable of bytes")


def headers():
    """The fields of the request as they were sent: with their case, their order, and repeated ones apart."""
    return native(host.headers())


def trailers():
    """The fields behind a body in chunks. There are none before its end was read."""
    return native(host.trailers())


def native(fields):
    """Fields as native strings: text with one character for each byte (PEP 3333)."""
    return [(name, str(value, "latin-1")) for name, value in fields]


def environ(streams):
    """The variables of the request, as native strings."""
    variables = {name: str(value, "latin-1") for name, value in host.copy_all()}
    variables["wsgi.version"] = (1, 0)
    variables["wsgi.multithread"] = False
    variables["wsgi.multiprocess"] = True  # Other instances may run now. This one is never called again.
    variables["wsgi.run_once"] = True
    variables["wsgi.input_terminated"] = True
    variables["wsgi.errors"] = ERRORS
    variables["wsgi.file_wrapper"] = FileWrapper
    variables["wasmserve.headers"] = headers
    variables["wasmserve.trailers"] = trailers
    variables["wasmserve.raw_head"] = host.raw_head
    if (
        streams
        or "CONTENT_LENGTH" in variables
        or ("HTTP_TRANSFER_ENCODING" not in variables and variables["SERVER_PROTOCOL"] != "HTTP/2")
    ):
        variables["wsgi.input"] = BODY
    else:
        count(variables)
    return variables


def count(variables):
    """Reads a body of unknown length, and gives it one: the application looks at `CONTENT_LENGTH`."""
    body = io.BytesIO()
    while chunk := read(BLOCK):
        if body.tell() + len(chunk) > READ_AHEAD:
            raise BodyTooLong
        body.write(chunk)
    # A body that has a length is not in chunks. Bottle would look for them.
    if variables.pop("HTTP_TRANSFER_ENCODING", None) is not None or body.tell():
        variables["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)
    variables["wsgi.input"] = body


def run(application, streams):
    """Runs an application for the request.

    `streams` is whether it reads bodies of unknown length up to their ends, because of `wsgi.input_terminated`.

    Raises `Err` with the traceback if the application fails. Then the host answers in its place, or cuts its response.
    """
    response = Response()
    try:
        result = application(environ(streams), response.start)
        try:
            response.send(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
    except ClientGone:
        pass
    except BodyTooLong:
        text = (
            f"this application needs a Content-Length; without one, a request body may have {READ_AHEAD >> 20} MiB: "
            "allow more with --buffer-body SIZE"
        )
        ERRORS.write(text + "\n")
        response.start("413 Content Too Large", [("Content-Type", "text/plain")])
        response.finish(f"{text}\n".encode())
    except BaseException as error:
        # Also SystemExit, which would end the instance, and what runs out of memory or stack.
        describe = wasmserve_traceback.summary if error is response.reported else wasmserve_traceback.report
        raise Err(describe(error)) from None
    finally:
        ERRORS.flush()
