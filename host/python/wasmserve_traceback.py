"""Exceptions as text: one screen, without the adapter's own frames, and with a remedy where there is one."""

import os
import sys
import traceback

#: The most lines of a traceback. What is more is left out of its middle.
LINES = 50

#: How many of them are from its beginning.
FIRST = 14


def of(error):
    """The traceback of an exception. Never fails: it describes exceptions of any kind, also out of memory."""
    try:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # Their variables may have all of it.
        return _text(error)
    except BaseException:
        return f"{type(error).__name__} (its traceback could not be printed)"


def summary(error):
    """The kind of an exception, and the first line of its message."""
    try:
        message = str(error).partition("\n")[0]
    except BaseException:
        message = ""
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def report(error):
    """A summary of an exception, and below it the traceback, if there is more in it."""
    text = of(error)
    return f"{summary(error)}\n{text}" if "\n" in text else text


def _text(error):
    found = traceback.TracebackException.from_exception(error, compact=True)
    seen = []
    remaining = [found]
    while remaining:
        each = remaining.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        each.stack[:] = [frame for frame in each.stack if not _is_own(frame.filename)]
        remaining += [each.__cause__, each.__context__, *(each.exceptions or ())]
    lines = "".join(found.format()).splitlines()
    if not found.stack and lines and lines[0].startswith("Traceback "):
        del lines[0]
    if len(lines) > LINES:
        calls = [at for at, line in enumerate(lines) if line.startswith("  File ")]
        first = max((at for at in calls if at <= FIRST), default=FIRST)
        last = min((at for at in calls if at >= len(lines) - LINES + FIRST), default=len(lines) - LINES + FIRST)
        lines[first:last] = [f"  … {last - first} lines left out …"]
    remedy = _remedy(error)
    if remedy:
        lines[-1] += f"; {remedy}"
    return "\n".join(lines)


def _is_own(path):
    """Whether a file is of the adapter, or of the import system that it calls."""
    return (
        os.path.basename(path).startswith("wasmserve_")
        or path.startswith("<frozen importlib")
        or path.endswith("/importlib/__init__.py")
    )


def _remedy(error):
    """What to do about an exception, if that is known."""
    while not isinstance(error, ImportError):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or cause is error:
            return None
        error = cause
    name = error.name or ""
    compiled = _compiled(name, getattr(error, "name_from", None))
    if compiled:
        return (
            f"`{compiled}` is compiled for another platform, and wasmserve runs pure Python only: use a package without "
            "compiled parts"
        )
    if not isinstance(error, ModuleNotFoundError):
        return None
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return "this part of the standard library is missing because WebAssembly lacks what it needs"
    if top in sys.modules:
        return None
    return (
        "to install it, name its package in requirements.txt, pyproject.toml or a `# /// script` block, or activate the "
        "virtual environment that has it"
    )


def _compiled(name, member):
    """The file of a module that is there, but compiled for another platform."""
    names = [part for part in (name, f"{name}.{member}" if member else None) if part]
    for name in names:
        *parents, last = name.split(".")
        for directory in sys.path:
            directory = os.path.join(directory, *parents)
            for found in (directory, os.path.join(directory, last)):
                try:
                    files = os.listdir(found)
                except OSError:
                    continue
                stem = last if found is directory else "__init__"
                for file in files:
                    if file.startswith(stem + ".") and file.endswith((".so", ".pyd")):
                        return os.path.join(found, file)
    return None
