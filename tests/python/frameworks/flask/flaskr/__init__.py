"""Flask's tutorial, a blog with accounts, and what the tutorial does not touch: uploads, streams and test clients."""
import os

from flask import Flask, abort, request, stream_with_context


def create_app(test_config=None):
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="not for production", DATABASE="/data/flaskr.sqlite")
    if test_config is not None:
        app.config.from_mapping(test_config)

    from . import auth, blog, db

    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(blog.bp)
    app.add_url_rule("/", endpoint="index")

    @app.post("/upload")
    def upload():
        """What arrived: each file with its name, its size and the sum of its bytes, and the fields beside them."""
        files = {name: describe(file) for name, file in request.files.items()}
        return {"files": files, "form": request.form.to_dict()}

    @app.post("/echo")
    def echo():
        """The body as it arrives, in blocks."""
        stream = request.stream  # The request is not current any more when the response is sent.
        return app.response_class(iter(lambda: stream.read(1000), b""), mimetype="text/plain")

    @app.get("/count")
    def count():
        """A stream that reads the request while it is being sent."""
        return app.response_class(stream_with_context(f"{number}\n" for number in range(int(request.args["to"]))))

    @app.get("/visits")
    def visits():
        """Asks this application itself, as a test does."""
        with app.test_client() as client:
            first = client.get("/count?to=2").text
            wrong = client.post("/auth/login", data={"username": "nobody", "password": ""}).text
        with app.test_request_context("/hello", method="POST"):
            return {"count": first, "login": "Incorrect username" in wrong, "method": request.method}

    @app.get("/fail")
    def fail():
        raise RuntimeError("as asked")

    @app.get("/teapot")
    def teapot():
        abort(418)

    @app.errorhandler(418)
    def is_teapot(error):
        return f"<p>{error.name}</p>", 418

    @app.cli.command("init-db")
    def init_db():
        db.init_db()

    return app


def describe(file):
    data = file.read()
    return {"name": os.path.basename(file.filename), "type": file.mimetype, "size": len(data), "sum": sum(data)}
