"""Creates the tables with the first request, because there is no `manage.py migrate` before it."""

from django.core.management import call_command
from django.db import connection


def migrated(get_response):
    def middleware(request):
        if not connection.introspection.table_names():
            call_command("migrate", run_syncdb=True, verbosity=0)
        return get_response(request)

    return middleware
