"""Follows the script in the request as a WSGI application. See `follows_a_script.rs`.

It reports what it reads. What it would pass to `finish` is what it returns.
"""

import os
import sys
import types

# It reads bodies up to their ends, as applications of this framework do. For others, bodies in chunks are counted first.
sys.modules["pyramid"] = types.ModuleType("pyramid")


class Failed(Exception):
    """The exception of the step `fail`, and the one that replaces a response."""


def argument(text):
    """The bytes of an argument: `%61` is a byte, and `%61*3.` three of them."""
    data = bytearray()
    while text:
        if not text.startswith("%"):
            data += text[0].encode()
            text = text[1:]
            continue
        byte, text, count = bytes([int(text[1:3], 16)]), text[3:], 1
        if text.startswith("*"):
            count, _, text = text[1:].partition(".")
        data += byte * int(count)
    return bytes(data)


def fields(arguments):
    """Names and values in turn."""
    return [(name.decode(), value.decode("latin-1")) for name, value in zip(arguments[::2], arguments[1::2])]


def escaped(data):
    """As Rust's `escape_ascii`."""
    special = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 39: "\\'", 92: "\\\\"}
    return "".join(special.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in data)


def digest(data):
    """The length and a checksum (FNV-1a)."""
    checksum = 0xCBF29CE484222325
    for byte in data:
        checksum = (checksum ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{len(data)} octets, {checksum:016x}"


def name_of(error):
    """What the contract calls an error of reading."""
    for part, name in (("malformed", "malformed"), ("longer", "too-large"), ("in time", "timed-out")):
        if part in str(error):
            return name
    return "disconnected"


def read_all(body):
    """A digest of the whole body, or of what there is of it."""
    whole = bytearray()
    try:
        while part := body.read1(65536):
            whole += part
    except OSError as error:
        return f"{digest(whole)}, then {name_of(error)}"
    return digest(whole)


def started(start_response, status, fields, failure=None):
    """Starts the response, or replaces it because of a failure. Returns `write`, unless that is refused."""
    try:
        if failure is None:
            return start_response(status.decode(), fields)
        try:
            raise Failed(failure.decode())
        except Failed:
            return start_response(status.decode(), fields, sys.exc_info())
    except (AssertionError, ValueError):
        return None


def app(environ, start_response):
    write, result = None, []
    body, log = environ["wsgi.input"], environ["wsgi.errors"]
    for word in environ["HTTP_X_SCRIPT"].split():
        name, *arguments = word.split(",")
        arguments = [argument(each) for each in arguments]
        match name:
            case "start":
                write = started(start_response, arguments[0], fields(arguments[1:])) or write
            case "restart":
                write = started(start_response, arguments[1], fields(arguments[2:]), arguments[0]) or write
            case "write" if write is not None and not result:
                try:
                    write(arguments[0])
                except ValueError:
                    pass  # It is longer than its Content-Length.
            case "finish" if write is not None and not result:
                result = [arguments[0]]
            case "respond" if not result:
                if started(start_response, arguments[1], fields(arguments[2:])):
                    result = [arguments[0]]
            case "read":
                try:
                    print(escaped(body.read1(min(int(arguments[0]), 65536))), file=log)
                except OSError as error:
                    print(name_of(error), file=log)
            case "read-all":
                print(read_all(body), file=log)
            case "trailers":
                trailers = environ["wasmserve.trailers"]()
                lines = [f"{name}: {escaped(value.encode('latin-1'))}" for name, value in trailers]
                print("; ".join(lines), file=log)
            case "get":
                value = environ.get(arguments[0].decode())
                print("absent" if value is None else escaped(told(value).encode("latin-1")), file=log)
            case "fail":
                raise Failed(arguments[0].decode())
            case "trap":
                os.abort()
    return result


def told(value):
    """A variable of WSGI in the form that it has in the contract."""
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else value
