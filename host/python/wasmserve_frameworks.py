"""What frameworks put off until their first request, done before the snapshot: here every request would be the first.

Only what depends on nothing but the application's code and settings, so that no answer changes.
"""

import sys


def complete(application):
    """Does it for the frameworks that are in use. Raises what the application's own code raises, as an import does."""
    if "django.core.handlers.wsgi" in sys.modules:
        complete_django()
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(application, flask.Flask):
        application.url_map.update()
        application.jinja_env.lexer  # noqa: B018  It is made of many regular expressions when it is first read.


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
