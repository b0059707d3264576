"""Answers with a report of its request, one item per line, as `tells_its_request.rs` does, in the words of WSGI."""

import sys
import types

# It reads bodies up to their ends, as applications of this framework do. For others, bodies in chunks are counted first.
sys.modules["pyramid"] = types.ModuleType("pyramid")


def escaped(text):
    """The backslash and everything but printable ASCII as escapes, so that different requests have different reports."""
    return "".join(
        "\\\\" if letter == "\\" else letter if " " <= letter <= "~" else f"\\x{ord(letter):02x}" for letter in text
    )


def told(value):
    """A variable of WSGI in the form that it has in the contract."""
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else value


def app(environ, start_response):
    print("handled", file=environ["wsgi.errors"])
    report = []
    for name, value in environ.items():
        if isinstance(value, (str, bool, tuple)):
            report.append(f"environ {name} {escaped(told(value))}")
    for name, value in environ["wasmserve.headers"]():
        report.append(f"header {name} {escaped(value)}")
    report.append(f"raw-head {escaped(environ['wasmserve.raw_head']().decode('latin-1'))}")
    if not environ["PATH_INFO"].startswith("/unread"):
        body = environ["wsgi.input"].read()
        report.append(f"body {escaped(body.decode('latin-1'))}")
        for name, value in environ["wasmserve.trailers"]():
            report.append(f"trailer {name} {escaped(value)}")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join(f"{line}\n" for line in report).encode()]
