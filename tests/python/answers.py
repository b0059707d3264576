"""Answers in all the ways in which a WSGI application can: one function for each path, right ones and wrong ones."""

import asyncio
import gc
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zoneinfo
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]

imported_at = time.time()
calls = 0
at_import = random.random()
os.environ["SET_BY_THE_APPLICATION"] = "kept"


def app(environ, start_response):
    global calls
    calls += 1
    return globals()[environ["PATH_INFO"].strip("/").replace("-", "_") or "hello"](environ, start_response)


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"Hello, World!\n"]


def says(start_response, *lines):
    """A whole response with these lines."""
    start_response("200 OK", TEXT)
    return ["".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")]


def counts_calls(environ, start_response):
    return says(start_response, calls, at_import == random.random(), time.time() > imported_at)


# What the request is.


def describes(environ, start_response):
    return says(start_response, *(f"{name}={value!r}" for name, value in environ.items()))


def is_typed(environ, start_response):
    assert type(environ) is dict
    for name, value in environ.items():
        if "." not in name:
            assert type(value) is str and value.encode("latin-1") is not None, name
    for name in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"):
        assert type(environ[name]) is bool, name
    assert environ["wsgi.version"] == (1, 0)
    assert not environ["wsgi.multithread"] and environ["wsgi.multiprocess"] and environ["wsgi.run_once"]
    return says(start_response, environ["wsgi.url_scheme"], environ["HTTP_X_A"].encode("latin-1"))


# What wsgiref.validate watches.


@validator
def validated(environ, start_response):
    body, errors = environ["wsgi.input"], environ["wsgi.errors"]
    errors.write("one\n")
    errors.writelines(["two\n", "three\n"])
    errors.flush()
    parts = [body.readline(), body.readline(2), body.read(3), *body.readlines(1), *iter(body), body.read(10)]
    write = start_response("200 OK", TEXT)
    write(b"[")
    return iter([repr(parts).encode(), b"", b"]"])


# How the body is read.


def reads(environ, start_response):
    body = environ["wsgi.input"].read()
    return says(start_response, environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"), len(body), body[:50])


def reads_by_length(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    return says(start_response, len(body), hashlib.sha256(body).hexdigest())


def reads_lines(environ, start_response):
    start_response("200 OK", TEXT)
    for line in environ["wsgi.input"]:
        yield b"<" + line.strip() + b">"


def does_not_read(environ, start_response):
    return says(start_response, "unread")


def survives_a_bad_body(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        return says(start_response, type(error).__name__, error)
    return says(start_response, "whole")


# What a response may be.


class Iterable:
    """A body that reports when it is closed."""

    def __init__(self, environ, *parts):
        self.errors, self.parts = environ["wsgi.errors"], parts

    def __iter__(self):
        for part in self.parts:
            if isinstance(part, BaseException):
                raise part
            yield part

    def close(self):
        print("closed", file=self.errors)


def yields(environ, start_response):
    start_response("200 OK", TEXT)
    return Iterable(environ, b"", b"one ", b"", b"two")


def yields_late(environ, start_response):
    yield b""
    start_response("200 OK", TEXT)
    yield b"late"


def yields_with_length(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    return Iterable(environ, b"one ", b"two")


def yields_too_much(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return Iterable(environ, b"one ", b"two", ValueError("not reached"))


def yields_too_little(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return Iterable(environ, b"one ")


def yields_for_ever(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        while True:
            yield b"x" * 65536
    finally:
        print("closed", file=environ["wsgi.errors"])


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"")
    return [b"two"]


def returns_a_list(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"one ", b"", b"two"]


def returns_nothing(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def returns_a_file(environ, start_response):
    start_response("200 OK", TEXT)
    with open(__file__, "rb") as source:
        length = len(source.read())
    return environ["wsgi.file_wrapper"](open(__file__, "rb"), length // 3)


def says_not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def says_no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def sets_cookies(environ, start_response):
    start_response("200 OK", [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9")])
    return [b"cookies"]


# What comes after the head is held back.


def replaces(environ, start_response):
    try:
        start_response("200 OK", [("X-First", "1")])
        raise ValueError("replaced")
    except ValueError:
        start_response("503 Sorry", TEXT, sys.exc_info())
        return [b"sorry\n"]


def replaces_and_raises(environ, start_response):
    try:
        raise ValueError("reported once")
    except ValueError:
        start_response("503 Sorry", TEXT, sys.exc_info())
        raise


def replaces_too_late(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"some")
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("503 Sorry", TEXT, sys.exc_info())
    return [b"not reached"]


def survives_a_refusal(environ, start_response):
    try:
        start_response("200 OK", [("X", "a\nSet-Cookie: evil")])
    except ValueError:
        start_response("400 Refused", TEXT, sys.exc_info())
    return [b"refused\n"]


# What is wrong.


def raises(environ, start_response):
    raise ValueError("no luck \xe9")


def raises_in_a_list(environ, start_response):
    start_response("200 OK", TEXT)
    return Iterable(environ, ValueError("no first part"))


def raises_on_close(environ, start_response):
    start_response("200 OK", TEXT)

    class Closes:
        def __iter__(self):
            return iter([b"whole"])

        def close(self):
            raise ValueError("cannot be closed")

    return Closes()


def raises_in_the_middle(environ, start_response):
    start_response("200 OK", TEXT)
    return Iterable(environ, b"some", ValueError("in the middle"))


def exits(environ, start_response):
    sys.exit(3)


def exits_in_the_middle(environ, start_response):
    start_response("200 OK", TEXT)
    return Iterable(environ, b"some", SystemExit(3))


def is_interrupted(environ, start_response):
    raise KeyboardInterrupt


def recurses(environ, start_response):
    return recurses(environ, start_response)


def recurses_in_two_functions(environ, start_response):
    return recurses_with(environ, start_response)


def recurses_with(environ, start_response):
    return recurses_in_two_functions(environ, start_response)


def recurses_in_c(environ, start_response):
    import json

    nested = []
    for _ in range(100_000):
        nested = [nested]
    return says(start_response, len(json.dumps(nested)))


def fills_memory(environ, start_response):
    hoard = []
    while True:
        hoard.append(bytearray(1 << 20))


def fills_memory_with_small_objects(environ, start_response):
    hoard = []
    while True:
        hoard.append([None])


def asks_for_too_much(environ, start_response):
    return says(start_response, len(bytearray(1 << 30)))


def survives_too_much(environ, start_response):
    try:
        bytearray(1 << 30)
    except MemoryError:
        return says(start_response, "survived")


def starts_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return []


def does_not_start(environ, start_response):
    return []


def writes_before_starting(environ, start_response):
    return [b"body"]


def returns_none(environ, start_response):
    start_response("200 OK", TEXT)


def returns_text(environ, start_response):
    start_response("200 OK", TEXT)
    return "text"


def returns_bytes(environ, start_response):
    start_response("200 OK", TEXT)
    return b"bytes"


def returns_a_list_of_text(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"one", "two"]


def writes_text(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def writes_too_much(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "4")])
    write(b"some")
    write(b" more")
    return []


async def is_async(environ, start_response):
    return []


def starts_with(status, headers):
    def application(environ, start_response):
        start_response(status, headers)
        return [b"x"]

    return application


status_of_100 = starts_with("100 Continue", [])
status_without_a_code = starts_with("OK", [])
status_of_two_lines = starts_with("200 OK\r\nX: y", [])
status_as_a_number = starts_with(200, [])
status_beyond_latin_1 = starts_with("200 \u20ac", [])
header_of_two_lines = starts_with("200 OK", [("X-A", "a\r\nSet-Cookie: evil")])
header_with_a_number = starts_with("200 OK", [("Content-Length", 5)])
header_with_bytes = starts_with("200 OK", [(b"X-A", "a")])
header_with_a_bad_name = starts_with("200 OK", [("X A", "a")])
header_beyond_latin_1 = starts_with("200 OK", [("X-A", "\u20ac")])
header_that_is_not_unicode = starts_with("200 OK", [("X\udc80", "a")])
header_of_the_connection = starts_with("200 OK", [("Connection", "close")])
headers_in_a_tuple = starts_with("200 OK", (("X-A", "a"),))
headers_that_are_no_pairs = starts_with("200 OK", [("X-A",)])
many_headers = starts_with("200 OK", [(f"X-{at}", "a") for at in range(200)])


# What it prints.


def logs(environ, start_response):
    errors = environ["wsgi.errors"]
    print("a", "line", file=errors)
    errors.write("begun, ")
    errors.write("ended\ntwo lines\nat once\n")
    print("printed")
    print("to stderr", file=sys.stderr)
    sys.stdout.write("without an end")
    errors.write("flushed")
    errors.flush()
    errors.write("unfinished \u20ac")
    try:
        errors.write(b"bytes")
    except TypeError as error:
        return says(start_response, error)


# What this platform has.


def keeps_temporary_files(environ, start_response):
    with tempfile.TemporaryFile() as file:
        file.write(b"a\nb\n")
        file.seek(0)
        assert file.readlines() == [b"a\n", b"b\n"]
    spooled = tempfile.SpooledTemporaryFile(max_size=10)
    spooled.write(b"0123456789" * 100_000)
    spooled.seek(500_000)
    assert spooled.read(10) == b"0123456789"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("named")
        file.flush()
        assert os.path.getsize(file.name) == 5
        assert open(file.name).read() == "named"
    assert not os.path.exists(file.name)
    descriptor, path = tempfile.mkstemp()
    with os.fdopen(descriptor, "w") as file:
        file.write("made")
    assert open(path).read() == "made"
    os.remove(path)
    try:
        open(path)
    except FileNotFoundError:
        return says(start_response, "kept and removed")


def fills_temporary_files(environ, start_response):
    with tempfile.TemporaryFile() as file:
        while True:
            file.write(bytes(1 << 20))


def makes_a_directory(environ, start_response):
    return says(start_response, tempfile.mkdtemp())


def hashes_passwords(environ, start_response):
    outcomes = [
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 4096).hex(),
        hashlib.pbkdf2_hmac("sha1", b"password", b"salt", 2, 20).hex(),
        hashlib.scrypt(b"password", salt=b"NaCl", n=1024, r=8, p=16, dklen=64).hex(),
    ]
    for call in (
        lambda: hashlib.pbkdf2_hmac("sha256", "text", b"", 1),
        lambda: hashlib.pbkdf2_hmac("nonsense", b"", b"", 1),
        lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 0),
        lambda: hashlib.scrypt(b"", salt=b"", n=3, r=8, p=1),
        lambda: hashlib.scrypt(b"", salt=b"", n=1 << 20, r=8, p=1),
    ):
        try:
            call()
        except Exception as error:
            outcomes.append(f"{type(error).__name__}: {error}")
    return says(start_response, *outcomes)


def is_random(environ, start_response):
    return says(start_response, random.random(), uuid.uuid4(), os.urandom(8).hex(), random.Random().random())


def reads_the_environment(environ, start_response):
    names = ("GREETING", "SET_BY_THE_APPLICATION", "PATH")
    return says(start_response, *(f"{name}={os.environ.get(name)}" for name in names))


def runs_a_loop(environ, start_response):
    async def double(number):
        await asyncio.sleep(0.001)
        return 2 * number

    async def main():
        return await asyncio.gather(*map(double, range(3)))

    return says(start_response, asyncio.run(main()))


def knows_utc(environ, start_response):
    return says(start_response, zoneinfo.ZoneInfo("UTC").utcoffset(None), time.strftime("%Z"), os.getuid(), os.getcwd())


def starts_a_thread(environ, start_response):
    threading.Thread(target=print).start()


def runs_a_function_in_a_thread(environ, start_response):
    asyncio.run(asyncio.to_thread(print))


def opens_a_socket(environ, start_response):
    socket.create_connection(("127.0.0.1", 1))


def runs_a_program(environ, start_response):
    subprocess.run(["true"])


def knows_no_zone(environ, start_response):
    zoneinfo.ZoneInfo("Europe/Berlin")


def imports_ssl(environ, start_response):
    import ssl


def imports_nothing(environ, start_response):
    import no_such_module


def imports_lazily(environ, start_response):
    import colorsys
    import this_is_imported_late

    return says(start_response, this_is_imported_late.TEXT, colorsys.__name__, gc.get_freeze_count() > 1000)
