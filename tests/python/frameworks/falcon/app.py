"""Falcon's tutorial, a store of images, in a directory that was granted."""
import io
import json
import mimetypes
import re
import uuid
from pathlib import Path

import falcon


class ImageStore:
    NAME = re.compile(r"[0-9a-f-]{36}\.[a-z]{2,4}")

    def __init__(self, directory):
        self.directory = Path(directory)

    def save(self, stream, content_type):
        name = f"{uuid.uuid4()}{mimetypes.guess_extension(content_type)}"
        with (self.directory / name).open("wb") as file:
            while chunk := stream.read(4096):
                file.write(chunk)
        return name

    def open(self, name):
        if not self.NAME.fullmatch(name):
            raise OSError("no image has this name")
        path = self.directory / name
        return path.open("rb"), path.stat().st_size


def validate_image_type(req, resp, resource, params):
    if req.content_type not in ("image/png", "image/jpeg"):
        raise falcon.HTTPBadRequest(title="Bad request", description="Image type not allowed. Must be PNG or JPEG")


class Collection:
    def __init__(self, store):
        self.store = store

    def on_get(self, req, resp):
        most = req.get_param_as_int("most", min_value=1, default=1000)
        names = sorted(path.name for path in self.store.directory.iterdir())
        resp.media = {"images": [{"href": f"/images/{name}"} for name in names[:most]]}

    @falcon.before(validate_image_type)
    def on_post(self, req, resp):
        name = self.store.save(req.stream, req.content_type)
        resp.status = falcon.HTTP_201
        resp.location = f"/images/{name}"


class Item:
    def __init__(self, store):
        self.store = store

    def on_get(self, req, resp, name):
        resp.content_type = mimetypes.guess_type(name)[0]
        try:
            resp.stream, resp.content_length = self.store.open(name)
        except OSError:
            raise falcon.HTTPNotFound() from None


class Echo:
    """The body: as it is, as JSON, or as the fields and files of a form."""

    def on_post(self, req, resp):
        resp.data = req.bounded_stream.read()

    def on_post_json(self, req, resp):
        resp.media = req.get_media()

    def on_post_form(self, req, resp):
        if req.content_type.startswith("multipart/"):
            resp.media = {part.name: len(part.stream.read()) for part in req.get_media()}
        else:
            resp.media = req.get_media()


class Count:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (b"%d\n" % number for number in range(req.get_param_as_int("to", required=True)))

    def on_get_lines(self, req, resp):
        resp.stream = io.BytesIO(json.dumps(list(range(10))).encode())


class Fail:
    def on_get(self, req, resp):
        raise RuntimeError("as asked")


class Timed:
    """Middleware: each response names the request that it answers."""

    def process_request(self, req, resp):
        req.context.number = req.get_header("X-Number", default="none")

    def process_response(self, req, resp, resource, req_succeeded):
        resp.set_header("X-Answers", req.context.number)


store = ImageStore("/data")
app = falcon.App(middleware=[Timed()])
app.add_route("/images", Collection(store))
app.add_route("/images/{name}", Item(store))
app.add_route("/echo", Echo())
app.add_route("/echo/json", Echo(), suffix="json")
app.add_route("/echo/form", Echo(), suffix="form")
app.add_route("/count", Count())
app.add_route("/lines", Count(), suffix="lines")
app.add_route("/fail", Fail())
app.add_static_route("/source", Path(__file__).resolve().parent)
