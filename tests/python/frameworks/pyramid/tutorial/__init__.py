from pyramid.authentication import AuthTktCookieHelper
from pyramid.authorization import ACLHelper, Allow, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.session import SignedCookieSessionFactory


class Root:
    __acl__ = [(Allow, Everyone, "view"), (Allow, Authenticated, "edit")]

    def __init__(self, request):
        pass


class SecurityPolicy:
    def __init__(self, secret):
        self.authtkt = AuthTktCookieHelper(secret)
        self.acl = ACLHelper()

    def identity(self, request):
        return self.authtkt.identify(request)

    def authenticated_userid(self, request):
        identity = self.identity(request)
        return identity["userid"] if identity else None

    def remember(self, request, userid, **kw):
        return self.authtkt.remember(request, userid, **kw)

    def forget(self, request, **kw):
        return self.authtkt.forget(request, **kw)

    def permits(self, request, context, permission):
        userid = self.authenticated_userid(request)
        return self.acl.permits(context, [Everyone, Authenticated, userid] if userid else [Everyone], permission)


def main(global_config, **settings):
    config = Configurator(settings=settings, root_factory=Root)
    config.include("pyramid_chameleon")
    config.set_session_factory(SignedCookieSessionFactory("not for production"))
    config.set_security_policy(SecurityPolicy("not for production"))
    config.add_route("home", "/")
    config.add_route("hello", "/hello/{first}/{last}")
    config.add_route("login", "/login")
    config.add_route("logout", "/logout")
    config.add_route("edit", "/edit")
    config.add_route("upload", "/upload")
    config.add_route("echo", "/echo")
    config.add_route("count", "/count")
    config.add_route("fail", "/fail")
    config.add_static_view(name="static", path="tutorial:static")
    config.scan()
    return config.make_wsgi_app()
