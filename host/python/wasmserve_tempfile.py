"""Temporary files in memory, because an instance has no directory for them.

Their memory is the instance's, so --max-memory bounds it. A directory that the user grants as /tmp, or names in TMPDIR, is
used instead, and so is one that the caller names.

A file with a name can be opened again, renamed over another one and removed; the functions for that are replaced when the
first such file is made, so that requests without one pay nothing. Directories cannot be made.

Importing this module replaces the functions of `tempfile`.
"""

import builtins
import errno
import io
import itertools
import os
import stat
import tempfile

#: The first descriptor of a file in memory, far from those of the system.
FIRST_DESCRIPTOR = 1 << 24

_plain = {name: getattr(tempfile, name) for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp")}

#: The contents of named files.
_contents = {}

#: The next descriptors.
_numbers = itertools.count(FIRST_DESCRIPTOR)

#: The open files that `mkstemp` and `os.open` returned the descriptors of.
_descriptors = {}


class Memory(io.RawIOBase):
    """An open file in memory. Files with the same content have positions of their own."""

    def __init__(self, content, mode="r+", name=None):
        self._content = content
        self._position = 0
        self._reads = "r" in mode or "+" in mode
        self._writes = any(letter in mode for letter in "wax+")
        self._appends = "a" in mode
        self.mode = mode.replace("t", "").replace("b", "") + "b"
        if name is not None:
            self.name = name

    def readable(self):
        return self._reads

    def writable(self):
        return self._writes

    def seekable(self):
        return True

    def readinto(self, buffer):
        if not self._reads:
            raise io.UnsupportedOperation("read")
        part = self._content[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def write(self, data):
        if not self._writes:
            raise io.UnsupportedOperation("write")
        data = memoryview(data).cast("B")
        length = len(self._content)
        if self._appends:
            self._position = length
        try:
            if self._position > length:
                self._content.extend(bytes(self._position - length))
            self._content[self._position : self._position + len(data)] = data
        except MemoryError:
            text = "no memory left for temporary files: raise --max-memory, or grant a directory with --dir DIRECTORY::/tmp"
            raise OSError(errno.ENOSPC, text) from None
        self._position += len(data)
        return len(data)

    def seek(self, offset, whence=os.SEEK_SET):
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "Invalid argument")
        self._position = start + offset
        return self._position

    def truncate(self, size=None):
        size = self._position if size is None else size
        missing = size - len(self._content)
        if missing > 0:
            self._content.extend(bytes(missing))
        else:
            del self._content[size:]
        return size


def _opened(raw, mode, buffering=-1, encoding=None, errors=None, newline=None):
    """An open file with the layers that `open` would add."""
    binary = "b" in mode
    if buffering == 0:
        if not binary:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    kind = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
    buffered = kind(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
    if binary:
        return buffered
    text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, buffering == 1)
    text.mode = mode
    return text


def _is_real(directory=None):
    """Whether there is a directory for temporary files."""
    return directory is not None or os.path.isdir(_gettempdir())


def _gettempdir():
    """The directory for temporary files, whether it is granted or not."""
    return os.fspath(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")


def _temporary_file(
    mode="w+b", buffering=-1, encoding=None, newline=None, suffix=None, prefix=None, dir=None, *, errors=None
):
    if _is_real(dir):
        return _plain["TemporaryFile"](mode, buffering, encoding, newline, suffix, prefix, dir, errors=errors)
    return _opened(Memory(bytearray(), mode), mode, buffering, encoding, errors, newline)


def _named_temporary_file(
    mode="w+b", buffering=-1, encoding=None, newline=None, suffix=None, prefix=None, dir=None, delete=True, *,
    errors=None, delete_on_close=True,
):
    if _is_real(dir):
        return _plain["NamedTemporaryFile"](
            mode, buffering, encoding, newline, suffix, prefix, dir, delete, errors=errors, delete_on_close=delete_on_close
        )
    name = _create(suffix, prefix)
    file = _opened(Memory(_contents[name], mode, name), mode, buffering, encoding, errors, newline)
    wrapper = tempfile._TemporaryFileWrapper(file, name, delete, delete_on_close)
    wrapper._closer.__class__ = _Closer
    return wrapper


class _Closer(tempfile._TemporaryFileCloser):
    """Closes a named file in memory, and removes it."""

    def cleanup(self, windows=False, unlink=lambda name: _contents.pop(name, None)):
        super().cleanup(windows, unlink)


def _mkstemp(suffix=None, prefix=None, dir=None, text=False):
    if _is_real(dir):
        return _plain["mkstemp"](suffix, prefix, dir, text)
    name = _create(suffix, prefix)
    return _descriptor(name, "r+"), (os.fsencode(name) if isinstance(suffix or prefix, bytes) else name)


def _mkdtemp(suffix=None, prefix=None, dir=None):
    if _is_real(dir):
        return _plain["mkdtemp"](suffix, prefix, dir)
    text = "no directory for temporary directories: grant one with --dir DIRECTORY::/tmp"
    raise FileNotFoundError(errno.ENOENT, text, _gettempdir())


def _create(suffix, prefix):
    """Makes an empty file with a new name."""
    if not _contents:
        _install()
    suffix, prefix = os.fsdecode(suffix or ""), os.fsdecode(prefix or tempfile.template)
    for part in tempfile._get_candidate_names():
        name = os.path.join(_gettempdir(), prefix + part + suffix)
        if name not in _contents:
            _contents[name] = bytearray()
            return name


def _descriptor(name, mode):
    """Opens a file, and returns a descriptor of it."""
    number = next(_numbers)
    _descriptors[number] = Memory(_contents[name], mode, name)
    return number


def _in_memory(path):
    """The name of a file in memory, or nothing if the path is not one."""
    if isinstance(path, int):
        return None
    path = os.path.normpath(os.fsdecode(path)) if path else None
    return path if path in _contents else None


def _stat_of(content):
    times = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), 0)
    return os.stat_result((stat.S_IFREG | 0o600, 1, 0, 1, 0, 0, len(content), 0, 0, 0), times)


def _install():
    """Makes the functions for files and their names know those in memory."""
    if builtins.open is _open:
        return
    builtins.open = io.open = _open
    os.open = _on_path(os.open, lambda name, flags, *_, **__: _descriptor(name, _mode_of(name, flags)))
    for function in ("stat", "lstat"):
        setattr(os, function, _on_path(getattr(os, function), lambda name, **_: _stat_of(_contents[name])))
    for function in ("unlink", "remove"):
        setattr(os, function, _on_path(getattr(os, function), lambda name, **_: _contents.pop(name) and None))
    for function in ("rename", "replace"):
        setattr(os, function, _on_path(getattr(os, function), _rename))
    for function in ("utime", "chmod"):
        if hasattr(os, function):
            setattr(os, function, _on_path(getattr(os, function), lambda name, *_, **__: None))
    os.access = _on_path(os.access, lambda name, *_, **__: True)
    os.close = _on_descriptor(os.close, None)
    os.read = _on_descriptor(os.read, lambda file, size: file.read(size))
    os.write = _on_descriptor(os.write, lambda file, data: file.write(data))
    os.lseek = _on_descriptor(os.lseek, lambda file, *where: file.seek(*where))
    os.ftruncate = _on_descriptor(os.ftruncate, lambda file, size: file.truncate(size) and None)
    os.fstat = _on_descriptor(os.fstat, lambda file: _stat_of(file._content))
    os.fsync = _on_descriptor(os.fsync, lambda file: None)


_system_open = io.open


def _open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
    """`open`, also for files in memory."""
    if isinstance(file, int):
        raw = _descriptors.pop(file, None) if closefd else _descriptors.get(file)
        name = None
    else:
        raw, name = None, _in_memory(file)
    if raw is None and name is None:
        return _system_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if "x" in mode:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), file)
    content = raw._content if raw is not None else _contents[name]
    if "w" in mode:
        content.clear()
    opened = Memory(content, mode, raw.name if raw is not None else name)
    return _opened(opened, mode, buffering, encoding, errors, newline)


def _mode_of(name, flags):
    """The mode of flags of `os.open`."""
    if flags & os.O_EXCL and flags & os.O_CREAT:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    if flags & os.O_TRUNC:
        _contents[name].clear()
    access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
    if flags & os.O_APPEND:
        return "a" if access == os.O_WRONLY else "a+"
    return "r" if access == os.O_RDONLY else "r+"


def _rename(name, target, **_):
    """Renames within memory. Others copy the file if this fails with this error, and then remove it."""
    if _in_memory(target) is None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name, None, target)
    _contents[_in_memory(target)] = _contents.pop(name)


def _on_path(plain, own):
    """A function of `os` for paths, which does `own` for a file in memory."""

    def function(path, *arguments, **keywords):
        name = _in_memory(path)
        return plain(path, *arguments, **keywords) if name is None else own(name, *arguments, **keywords)

    return function


def _on_descriptor(plain, own):
    """A function of `os` for descriptors, which does `own` for a file in memory, or closes it."""

    def function(descriptor, *arguments):
        file = _descriptors.get(descriptor)
        if file is None:
            return plain(descriptor, *arguments)
        if own is None:
            del _descriptors[descriptor]
            return None
        return own(file, *arguments)

    return function


tempfile.gettempdir = _gettempdir
tempfile.TemporaryFile = _temporary_file
tempfile.NamedTemporaryFile = _named_temporary_file
tempfile.mkstemp = _mkstemp
tempfile.mkdtemp = _mkdtemp
