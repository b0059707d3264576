"""What Python on WebAssembly lacks, as far as it can be replaced; and what an instance must not have in common with others.

Importing this module changes modules of the standard library in place, before any application imports them.
"""

import _thread
import asyncio.selector_events
import errno
import hashlib
import io
import operator
import os
import random
import socket
import threading
import zoneinfo._common

import wasmserve_host as host

#: The largest `int` of C, which CPython checks numbers against.
INT_MAX = (1 << 31) - 1

#: How many random bytes the generator of `random` starts from.
SEED = 32

#: The memory that scrypt may use if the caller does not say: OpenSSL's default.
SCRYPT_MEMORY = 32 << 20

#: UTC as a file of time zone data (RFC 9636), for `zoneinfo.ZoneInfo("UTC")`.
UTC = b"".join([
    b"TZif2" + bytes(15) + bytes([0, 0, 0, 0] * 4) + bytes([0, 0, 0, 1, 0, 0, 0, 4]) + bytes(6) + b"UTC\0",
    b"TZif2" + bytes(15) + bytes([0, 0, 0, 0] * 4) + bytes([0, 0, 0, 1, 0, 0, 0, 4]) + bytes(6) + b"UTC\0",
    b"\nUTC0\n",
])


def refresh():
    """Makes the environment, and what is random, the ones of this instance. Everything else is from the snapshot."""
    global _environment
    now = host.environment()
    if now != _environment:
        before, after = dict(_environment), dict(now)
        for name in before.keys() - after.keys():
            if os.environ.get(name) == before[name]:
                del os.environ[name]
        for name, value in now:
            if before.get(name) != value:
                os.environ[name] = value
        _environment = now
    # Python itself would take 2,500 bytes, for twice the time.
    random.seed(int.from_bytes(os.urandom(SEED)))


#: The variables that the host gave last. An application may have set others when it was imported.
_environment = []


def start():
    """Makes the environment the one of the application that is about to be imported."""
    global _environment
    os.environ.clear()
    _environment = host.environment()
    os.environ.update(_environment)
    random.seed()


def _no_user():
    """The only user there is."""
    return 0


def _umask(mask):
    """Files have no permissions, so there is nothing to mask. Returns what is usual."""
    return 0o022


def _bytes(data):
    """A copy of the bytes of any object that has some."""
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None


def _pbkdf2_hmac(hash_name, password, salt, iterations, dklen=None):
    """`hashlib.pbkdf2_hmac`, computed by the host."""
    if not isinstance(hash_name, str):
        raise TypeError(f"pbkdf2_hmac() argument 'hash_name' must be str, not {type(hash_name).__name__}")
    password, salt, iterations = _bytes(password), _bytes(salt), operator.index(iterations)
    if iterations < 1:
        raise ValueError("iteration value must be greater than 0.")
    if iterations > INT_MAX:
        raise OverflowError("iteration value is too great.")
    if dklen is None:
        try:
            dklen = hashlib.new(hash_name).digest_size
        except ValueError:
            raise ValueError("unsupported hash type") from None
    if operator.index(dklen) < 1:
        raise ValueError("key length must be greater than 0.")
    if dklen > INT_MAX:
        raise OverflowError("key length is too great.")
    key = host.pbkdf2(hash_name.lower(), password, salt, iterations, dklen)
    if key is None:
        raise ValueError("unsupported hash type")
    return key


def _scrypt(password, *, salt=None, n=None, r=None, p=None, maxmem=0, dklen=64):
    """`hashlib.scrypt`, computed by the host."""
    password = _bytes(password)
    if salt is None:
        raise TypeError("salt is required")
    salt = _bytes(salt)
    for name, value in (("n", n), ("r", r), ("p", p)):
        if not isinstance(value, int):
            raise TypeError(f"{name} is required and must be an unsigned int")
        if value < 0:
            raise ValueError(f"{name} is required and must be an unsigned int")
    if n < 2 or n & (n - 1):
        raise ValueError("n must be a power of 2.")
    if not 0 <= maxmem <= INT_MAX:
        raise ValueError(f"maxmem must be positive and smaller than {INT_MAX}")
    if not 1 <= dklen <= INT_MAX:
        raise ValueError(f"dklen must be greater than 0 and smaller than {INT_MAX}")
    # As OpenSSL computes it.
    if r < 1 or p < 1 or r * p >= 1 << 30:
        raise ValueError("Invalid parameter combination for n, r, p, maxmem.")
    if p * 128 * r + 32 * r * (n + 2) * 4 > (maxmem or SCRYPT_MEMORY):
        raise ValueError("memory limit exceeded; see maxmem")
    key = host.scrypt(password, salt, n, r, p, dklen)
    if key is None:
        raise ValueError("Invalid parameter combination for n, r, p, maxmem.")
    return key


def _no_thread(function, *_, **__):
    """In place of what starts a thread."""
    raise RuntimeError("can't start new thread: wasmserve's Python has none; each request has an instance of its own")


def _socket_init(self, *args, **keywords):
    """`socket.socket.__init__`, with a reason if it is denied."""
    try:
        _plain_socket_init(self, *args, **keywords)
    except PermissionError:
        text = "no sockets: a handler may only connect to addresses that are allowed with --allow-net ADDR"
        raise PermissionError(errno.EACCES, text) from None


def _no_self_pipe(self):
    """An event loop needs no pipe to itself: there are neither threads nor signals that would wake it up."""
    self._ssock = self._csock = None


def _load_tzdata(key):
    """Time zone data from the package `tzdata`; for UTC also without it."""
    try:
        return _plain_load_tzdata(key)
    except zoneinfo._common.ZoneInfoNotFoundError:
        if key in ("UTC", "Etc/UTC", "GMT", "Etc/GMT"):
            return io.BytesIO(UTC)
        text = f"No time zone found with key {key}: name the package tzdata in the dependencies of the application"
        raise zoneinfo._common.ZoneInfoNotFoundError(text) from None


for _name in ("getuid", "geteuid", "getgid", "getegid"):
    if not hasattr(os, _name):
        setattr(os, _name, _no_user)
if not hasattr(os, "umask"):
    os.umask = _umask

if not hasattr(hashlib, "pbkdf2_hmac"):
    _pbkdf2_hmac.__name__ = _pbkdf2_hmac.__qualname__ = "pbkdf2_hmac"
    hashlib.pbkdf2_hmac = _pbkdf2_hmac
    hashlib.__all__ += ("pbkdf2_hmac",)
if not hasattr(hashlib, "scrypt"):
    _scrypt.__name__ = _scrypt.__qualname__ = "scrypt"
    hashlib.scrypt = _scrypt
    hashlib.__all__ += ("scrypt",)

_thread.start_new_thread = _thread.start_joinable_thread = threading._start_joinable_thread = _no_thread
_plain_socket_init = socket.socket.__init__
socket.socket.__init__ = _socket_init
asyncio.selector_events.BaseSelectorEventLoop._make_self_pipe = _no_self_pipe
asyncio.selector_events.BaseSelectorEventLoop._close_self_pipe = _no_self_pipe
_plain_load_tzdata = zoneinfo._common.load_tzdata
zoneinfo._common.load_tzdata = _load_tzdata

# From now on, no request looks for it in directories.
zoneinfo.ZoneInfo("UTC")
