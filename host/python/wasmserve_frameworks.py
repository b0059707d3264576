"""What frameworks put off until their first request, done before the snapshot: here every request would be the first.

Only what depends on nothing but the application's code and settings, so that no answer changes.
"""

import itertools
import os
import sys


def complete(application):
    """Does it for the frameworks that are in use. Raises what the application's own code raises, as an import does."""
    if "django.core.handlers.wsgi" in sys.modules:
        complete_django()
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(application, flask.Flask):
        application.url_map.update()
        environment = application.jinja_env
        environment.lexer  # noqa: B018  It is made of many regular expressions when it is first read.
        if not environment.auto_reload and attempt(environment.list_templates):
            compile_templates(environment.list_templates(), environment.get_template)


# Jinja keeps four hundred.
TEMPLATES_MAX = 300


def compile_templates(names, get_template):
    """Compiles templates, which the framework keeps. What is wrong with one is reported by the request that needs it."""
    for name in itertools.islice(names, TEMPLATES_MAX):
        try:
            get_template(name)
        except Exception:  # noqa: S112  Of any kind: extensions and filters are the application's.
            continue


def complete_django():
    """Imports the URLs, and with them the views, and what settings name; sets up templates and translations."""
    from django.apps import apps
    from django.conf import settings

    if not (settings.configured and apps.ready):
        return
    if getattr(settings, "ROOT_URLCONF", None):
        from django.urls import get_resolver

        if attempt(lambda: get_resolver().url_patterns):
            attempt(get_resolver()._populate)
    attempt(import_what_settings_name, settings)
    attempt(set_up_templates)
    if settings.USE_I18N:
        from django.utils.translation import trans_real

        attempt(trans_real.translation, settings.LANGUAGE_CODE)


def attempt(function, *arguments):
    """Calls a function. One that needs a file or a database, which is not granted yet, is called by the requests again."""
    try:
        function(*arguments)
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.startswith(("sqlite3", "django.db")):
            return False
        raise
    return True


def import_what_settings_name(settings):
    """Imports the modules whose names are in settings or constants of Django, as far as the project uses them."""
    from importlib import import_module

    names = ["django.db.models.sql.compiler"] if settings.DATABASES else []
    if "django.contrib.sessions" in settings.INSTALLED_APPS:
        names += [settings.SESSION_ENGINE, settings.SESSION_SERIALIZER.rpartition(".")[0], "django.core.cache.utils"]
    if "django.contrib.messages" in settings.INSTALLED_APPS:
        names += [f"django.contrib.messages.storage.{name}" for name in ("cookie", "fallback", "session")]
    if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
        names.append("django.contrib.staticfiles.storage")
    for name in names:
        import_module(name)


def set_up_templates():
    """Makes the engines of templates, which import their libraries, and what the engines make when they are first used."""
    from django.template import engines

    for backend in engines.all():
        engine = getattr(backend, "engine", None)
        if engine is not None:
            engine.template_loaders, engine.template_context_processors  # noqa: B018
            if any(hasattr(loader, "get_template_cache") for loader in engine.template_loaders):
                compile_templates(own_templates(backend.template_dirs), engine.get_template)


def own_templates(directories):
    """The names of the templates that belong to the application. Those of packages are many, and most are not used."""
    for directory in map(str, directories):
        if directory.startswith("/app/"):
            for parent, _, files in os.walk(directory):
                yield from (os.path.relpath(os.path.join(parent, file), directory) for file in files)
