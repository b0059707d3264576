"""The entry module: makes the base, prepares an application, and handles the one request of an instance.

The base is Python after its start, with this module imported and most of the standard library. `Setup.prepare` imports an
application. What memory holds then is the snapshot, from which every request gets an instance, for `Handler.handle`.
"""

import gc
import importlib
import importlib.abc
import os
import sys

import wasmserve_application
import wasmserve_frameworks
import wasmserve_platform
import wasmserve_tempfile  # noqa: F401  It replaces what needs a directory.
import wasmserve_traceback
import wasmserve_wsgi
from componentize_py_types import Err

#: What web frameworks import of the standard library, so that no application has to wait for it.
PRELOADED = """
__future__ _strptime abc annotationlib argparse array ast asyncio base64 binascii bisect calendar cmath cmd code codecs
collections collections.abc colorsys concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy
copyreg csv dataclasses datetime decimal difflib dis email email.charset email.encoders email.errors email.feedparser
email.generator email.header email.headerregistry email.message email.mime.base email.mime.image email.mime.message
email.mime.multipart email.mime.nonmultipart email.mime.text email.parser email.policy email.utils encodings.ascii
encodings.cp1252 encodings.cp437 encodings.idna encodings.latin_1 encodings.punycode encodings.unicode_escape
encodings.utf_16 encodings.utf_8 encodings.utf_8_sig enum errno filecmp fnmatch fractions functools gc getopt getpass
gettext glob graphlib gzip hashlib heapq hmac html html.entities html.parser http http.client http.cookiejar http.cookies
http.server importlib.metadata importlib.metadata._adapters importlib.resources importlib.resources.readers
importlib.util inspect io ipaddress itertools json keyword linecache locale logging logging.config logging.handlers
marshal math mimetypes numbers opcode operator optparse os pathlib pickle pkgutil platform plistlib posixpath pprint pyexpat
queue quopri random re reprlib runpy sched secrets select selectors shelve shlex shutil signal smtplib socket socketserver
sqlite3 sqlite3.dbapi2 stat statistics string string.templatelib stringprep struct subprocess symtable sysconfig tarfile
tempfile textwrap threading time timeit token tokenize tomllib traceback types typing unicodedata unittest unittest.mock
urllib.error urllib.parse urllib.request urllib.response urllib.robotparser uuid warnings weakref webbrowser
wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.types wsgiref.util wsgiref.validate xml.dom
xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.parsers.expat xml.sax xml.sax.expatreader xml.sax.handler
xml.sax.saxutils xml.sax.xmlreader xmlrpc.client zipfile zipimport zlib zoneinfo
"""

#: Modules that every Python has imported before it looks at the directory of its script, so no file there replaces them.
FIRST_MODULES = {
    "_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "os", "posixpath", "site", "stat",
}

#: Where the host mounts the application, and what it was compiled to if that is kept.
APPLICATION, COMPILED = "/app", "/pycache"


class Setup:
    """The export `setup`."""

    def prepare(self, target, path):
        """Imports an application, and leaves everything as it is after that. Raises `Err` with the traceback."""
        try:
            try:
                prepare(target, path)
            finally:
                flush()
        except wasmserve_application.Unusable as error:
            raise Err(str(error)) from None
        except BaseException as error:
            raise Err(wasmserve_traceback.of(error)) from None


class Handler:
    """The export `handler`."""

    def handle(self):
        """Handles the request. Raises `Err` with the traceback if the application fails."""
        try:
            wasmserve_platform.refresh()
            wasmserve_wsgi.run(_application, _streams)
        except Err:
            raise
        except BaseException as error:
            raise Err(wasmserve_traceback.of(error)) from None
        finally:
            flush()


_application = None
_streams = False


def prepare(target, path):
    """Imports an application with these directories on `sys.path`."""
    global _application, _streams
    gc.disable()  # Nearly all that an import makes stays.
    wasmserve_platform.start()
    sys.argv = [""]
    sys.path[:] = path
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.pycache_prefix = COMPILED
    sys.dont_write_bytecode = False
    if os.path.isdir(APPLICATION):
        os.chdir(APPLICATION)
        forget_shadowed(APPLICATION)
    _application = wasmserve_application.load(target)
    wasmserve_frameworks.complete(_application)
    _streams = wasmserve_application.streams(_application)
    # Requests can write nothing.
    sys.pycache_prefix, sys.dont_write_bytecode = None, True
    gc.enable()
    settle()


def forget_shadowed(directory):
    """Forgets preloaded modules that have the name of one in the application's directory, which comes first in Python."""
    for entry in os.scandir(directory):
        name = entry.name.removesuffix(".py")
        if name == entry.name and not os.path.exists(os.path.join(entry.path, "__init__.py")):
            continue
        if name in FIRST_MODULES or name in sys.builtin_module_names or name not in _preloaded:
            continue
        for known in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
            del sys.modules[known]


def settle():
    """Makes instances cheap: a collection in a request neither looks at the objects of the snapshot nor dirties them."""
    gc.collect()
    gc.freeze()


def flush():
    """Hands the host what was printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # The application may have closed or replaced it.


def write_atomic(path, data, mode=0o666):
    """Writes a file of compiled code. A write may take a part of it only here, which importlib takes for a failure."""
    unfinished = f"{path}.{id(path)}"
    with open(unfinished, "xb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    os.replace(unfinished, path)


def path_stats(self, path):
    """What a compiled module belongs to. Python only compares whole seconds, in which a file may be saved twice."""
    status = os.stat(path)
    return {"mtime": status.st_mtime_ns // 1000, "size": status.st_size}


def preload():
    """Imports the standard library."""
    for name in PRELOADED.split():
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # Not all of it is there on every platform.
    sys.modules["mimetypes"].init()  # It would look for lists of types in many places with the first request.


importlib._bootstrap_external._write_atomic = write_atomic
importlib._bootstrap_external.SourceFileLoader.path_stats = path_stats
preload()
_preloaded = frozenset(sys.modules)
settle()
