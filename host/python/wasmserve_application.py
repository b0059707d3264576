"""Finds the WSGI application that a user means: `module`, `module:name`, `module:a.b` or `module:factory()`."""

import ast
import builtins
import difflib
import importlib
import inspect
import os
import socket
import sys
import traceback
import types

#: The names under which an application is found.
NAMES = ("application", "app")

#: The names of functions that make one.
FACTORIES = ("create_app", "make_app")

#: Modules of frameworks that take a body without a length for empty.
LENGTH_NEEDED = {"django.core.handlers.wsgi", "bottle", "falcon.request", "cherrypy", "web.webapi"}

#: The request classes that read bodies up to their ends.
REQUESTS = (("werkzeug.wrappers", "Request"), ("webob.request", "BaseRequest"))

#: The functions that start a server with an application: of wsgiref, Werkzeug, Bottle and Waitress.
SERVERS = {"make_server", "run_simple", "run", "serve"}

#: How many names a message lists.
LISTED = 8


class Unusable(Exception):
    """Why there is no application, in one line. A traceback would not explain it any better."""


def load(target):
    """Imports the module of a target, and returns the application in it."""
    name, _, expression = target.partition(":")
    os.environ["FLASK_RUN_FROM_CLI"] = "true"  # Flask ignores `app.run()` then.
    try:
        module = importlib.import_module(name)
        if expression:
            return _check(_evaluate(module, expression), target)
        return _search(module)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise Unusable(f"there is no module `{error.name}` for `{target}`") from None
        raise
    except OSError as error:
        served = None if expression else _served(error)
        if served is None:
            raise
        return served
    finally:
        os.environ.pop("FLASK_RUN_FROM_CLI", None)


def streams(application):
    """Whether an application reads request bodies of unknown length up to their ends.

    Flask (Werkzeug) and Pyramid (WebOb) do, because of `wsgi.input_terminated`. Others look at `CONTENT_LENGTH`, and take
    a body without one for empty. What is loaded decides, with `False` as the safe answer in case of doubt: then the body
    is read first, and has a length.
    """
    if not LENGTH_NEEDED.isdisjoint(sys.modules):
        return False
    if "flask" in sys.modules or "pyramid" in sys.modules:
        return True
    # An application may also be built on Werkzeug or WebOb alone. It is, if requests are made of their classes near it.
    bases = tuple(getattr(sys.modules.get(module), name, None) for module, name in REQUESTS)
    bases = tuple(base for base in bases if base is not None)
    owners = {getattr(each, "__module__", None) for each in (application, type(application))}
    near = [value for owner in owners if owner in sys.modules for value in vars(sys.modules[owner]).values()]
    return any(isinstance(value, type) and issubclass(value, bases) for value in near)


def _evaluate(module, expression):
    """What an expression stands for in a module: a name, which may be dotted, or a call with literals."""
    try:
        tree = ast.parse(expression, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else None
        names = []
        node = call.func if call else tree
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        names.insert(0, node.id)
        arguments = [ast.literal_eval(each) for each in call.args] if call else []
        keywords = {each.arg: ast.literal_eval(each.value) for each in call.keywords} if call else {}
    except (SyntaxError, AttributeError, ValueError):
        raise Unusable(f"`{expression}` is neither a name nor a call like `create_app()`") from None
    found, path = module, module.__name__
    for name in names:
        if not hasattr(found, name):
            raise Unusable(f"`{path}` has no `{name}`{_instead(found, name)}")
        found, path = getattr(found, name), f"{path}.{name}"
    if call:
        if not callable(found):
            raise Unusable(f"`{path}` is {_described(found)}, so it cannot be called")
        found = found(*arguments, **keywords)
    elif _is_factory(found):
        found = found()
    return found


def _search(module):
    """The application in a module that is not named: by its usual names, then by its looks, then by what makes one."""
    for name in NAMES:
        found = getattr(module, name, None)
        # `app` may be a module in a package.
        if found is not None and not isinstance(found, types.ModuleType):
            return _check(found() if _is_factory(found) else found, f"{module.__name__}:{name}")
    candidates = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and _looks_like_wsgi(value, module):
            candidates.setdefault(id(value), name)
    match list(candidates.values()):
        case [name]:
            return _check(getattr(module, name), f"{module.__name__}:{name}")
        case [_, *_] as names:
            raise Unusable(
                f"`{module.__name__}` has several WSGI applications, {_listed(names)}; name one: `{_example(module, names[0])}`"
            )
    for name in FACTORIES:
        factory = getattr(module, name, None)
        if inspect.isfunction(factory):
            if not _accepts(factory):
                example = _example(module, f"{name}(...)")
                raise Unusable(f"`{name}` in `{module.__name__}` needs arguments; write them: `{example}`")
            return _check(factory(), f"{module.__name__}:{name}()")
    main = getattr(module, "main", None)
    if inspect.isfunction(main) and list(inspect.signature(main).parameters)[:1] == ["global_config"]:
        return _check(main({}), f"{module.__name__}:main({{}})")  # As PasteDeploy calls it for Pyramid.
    for name, value in vars(module).items():
        if not name.startswith("_") and _is_asgi(value):
            return _check(value, f"{module.__name__}:{name}")
    bottle = sys.modules.get("bottle")
    if bottle is not None and bottle.default_app().routes:
        return bottle.default_app()
    found = _run(module)
    if found is None:
        raise Unusable(
            f"`{module.__name__}` has no WSGI application: no `application` or `app`, and nothing else that takes "
            f"(environ, start_response){_instead(module)}"
        )
    return found


def _run(module):
    """The application of a module that makes it only if it is run as a script, and may start a server with it then."""
    try:
        if "__main__" not in module.__loader__.get_source(module.__name__):
            return None
        script = types.ModuleType("__main__")
        script.__file__, script.__builtins__ = module.__file__, builtins
        sys.modules["__main__"] = script
        exec(module.__loader__.get_code(module.__name__), vars(script))
    except (Exception, SystemExit) as error:
        return _served(error)
    made = [vars(script).get(name) for name in NAMES]
    return next((each for each in made if callable(each)), None)


def _served(error):
    """The application that a server of its own was called with, when that failed because there are no sockets."""
    if not isinstance(error, (PermissionError, socket.gaierror)):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name not in SERVERS:
            continue  # It may have been something else that needs a connection, such as the application itself.
        for name in NAMES:
            found = frame.f_locals.get(name)
            if callable(found) and _accepts(found, None, None) and not _is_asgi(found):
                return found
    return None


def _check(found, target):
    """Returns an application that can be called as one, and explains why another one cannot."""
    if _is_asgi(found):
        return _refuse_asgi(found, target)
    if not callable(found):
        raise Unusable(f"`{target}` is {_described(found)}, not a WSGI application")
    if not _accepts(found, None, None):
        takes = str(inspect.signature(found))
        raise Unusable(f"`{target}` takes {takes}; a WSGI application takes (environ, start_response)")
    return found


def _refuse_asgi(found, target):
    kind = "function" if inspect.isroutine(found) else type(found).__name__
    is_django = type(found).__module__.startswith("django.")
    remedy = "Django makes one with `get_wsgi_application()`" if is_django else "Flask, Django, Bottle and Falcon make them"
    raise Unusable(f"`{target}` is an ASGI application ({kind}), and wasmserve serves WSGI applications only; {remedy}")


def _is_asgi(value):
    """Whether a value is an application of the asynchronous interface, which cannot be called as a WSGI one."""
    if isinstance(value, type) or not callable(value):
        return False
    call = value if inspect.isroutine(value) else type(value).__call__
    if not (inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(call)):
        return False
    return _accepts(value, None, None, None) or not _accepts(value, None, None)


def _looks_like_wsgi(value, module):
    """Whether a value takes what an application takes. Functions and classes only if they are the module's own."""
    if not callable(value) or _is_asgi(value):
        return False
    if inspect.isroutine(value) or isinstance(value, type):
        if getattr(value, "__module__", None) != module.__name__:
            return False
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return False
    return names[:1] in (["environ"], ["env"]) and len(names) > 1 or names[1:2] == ["start_response"]


def _is_factory(value):
    """Whether a value is a function that must be called to get an application."""
    return inspect.isfunction(value) and _accepts(value) and not _accepts(value, None, None)


def _accepts(value, *arguments):
    """Whether a value can be called with these arguments, as far as is known."""
    try:
        inspect.signature(value, follow_wrapped=False).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def _instead(owner, wanted=None):
    """What a module or object has, in place of what it does not have."""
    names = [
        name for name, value in vars(owner).items()
        if not name.startswith("_") and getattr(value, "__module__", owner.__name__) == owner.__name__
        and not isinstance(value, types.ModuleType)
    ] if hasattr(owner, "__dict__") and hasattr(owner, "__name__") else []
    if wanted:
        near = difflib.get_close_matches(wanted, names, 1)
        if near:
            return f"; did you mean `{near[0]}`?"
    return f"; it has {_listed(names)}" if names else ""


def _listed(names):
    quoted = [f"`{name}`" for name in names[:LISTED]]
    more = len(names) - LISTED
    return ", ".join(quoted) + (f" and {more} more" if more > 0 else "")


def _example(module, name):
    return f"wasmserve {module.__name__}:{name}"


def _described(value):
    return "None" if value is None else f"of type {type(value).__name__}"
