from pyramid.csrf import get_csrf_token
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.security import forget, remember
from pyramid.view import forbidden_view_config, notfound_view_config, view_config, view_defaults


@view_defaults(renderer="home.pt")
class TutorialViews:
    def __init__(self, request):
        self.request = request
        self.greeting = request.registry.settings["greeting"]

    @property
    def counter(self):
        session = self.request.session
        session["counter"] = session.get("counter", 0) + 1
        return session["counter"]

    @view_config(route_name="home")
    def home(self):
        return {"title": f"{self.greeting}, {self.request.authenticated_userid or 'stranger'}", "counter": self.counter}

    @view_config(route_name="hello", renderer="json")
    def hello(self):
        return {"greeting": self.greeting, **self.request.matchdict}


@view_config(route_name="login", request_method="GET", renderer="string")
def login_form(request):
    return get_csrf_token(request)


@view_config(route_name="login", request_method="POST", require_csrf=True)
def login(request):
    return HTTPFound(location=request.route_url("home"), headers=remember(request, request.params["login"]))


@view_config(route_name="logout")
def logout(request):
    return HTTPFound(location=request.route_url("home"), headers=forget(request))


@view_config(route_name="edit", renderer="string", permission="edit")
def edit(request):
    return f"edited by {request.authenticated_userid}"


@forbidden_view_config()
def forbidden(request):
    return HTTPFound(location=request.route_url("login"))


@notfound_view_config(append_slash=False, renderer="string")
def notfound(request):
    request.response.status = 404
    return f"there is no {request.path}"


@view_config(route_name="upload", request_method="POST", renderer="json")
def upload(request):
    """What arrived: each file with its name, its size and the sum of its bytes, and the fields beside them."""
    files, form = {}, {}
    for name, value in request.POST.items():
        if hasattr(value, "file"):
            data = value.file.read()
            files[name] = {"name": value.filename, "size": len(data), "sum": sum(data)}
        else:
            form[name] = value
    return {"files": files, "form": form}


@view_config(route_name="echo")
def echo(request):
    """The body as it arrives, in blocks."""
    return Response(app_iter=iter(lambda: request.body_file.read(1000), b""), content_type="text/plain")


@view_config(route_name="count")
def count(request):
    return Response(app_iter=(b"%d\n" % number for number in range(int(request.params["to"]))), content_type="text/plain")


@view_config(route_name="fail")
def fail(request):
    raise RuntimeError("as asked")
