"""Greets, and echoes what is posted to it, with Pyramid."""
from pyramid.config import Configurator
from pyramid.response import Response


def view(request):
    return Response(body=request.body or b"Hello, World!\n", content_type="text/plain")


with Configurator() as config:
    config.add_route("root", "/")
    config.add_view(view, route_name="root")
    app = config.make_wsgi_app()
