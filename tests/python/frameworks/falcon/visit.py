"""Uses the application as programs would: `visit.py URL`."""
import sys

import requests

url = sys.argv[1].rstrip("/")
session = requests.Session()

# The tutorial's images: stored as they arrive, listed, and read again.
assert session.get(f"{url}/images").json() == {"images": []}
for size in 10, 1_000_000:
    image = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    sent = session.post(f"{url}/images", data=image, headers={"Content-Type": "image/png"})
    assert sent.status_code == 201 and sent.headers["Location"].endswith(".png"), sent.text
    got = session.get(url + sent.headers["Location"])
    assert got.content == image and got.headers["Content-Length"] == str(size), got.headers
    assert got.headers["Content-Type"] == "image/png", got.headers
    chunks = iter([image[at : at + 50_000] for at in range(0, size, 50_000)])
    sent = session.post(f"{url}/images", data=chunks, headers={"Content-Type": "image/jpeg"})
    assert session.get(url + sent.headers["Location"]).content == image, "an image in chunks"
assert len(session.get(f"{url}/images").json()["images"]) == 4
assert len(session.get(f"{url}/images?most=1").json()["images"]) == 1
assert session.get(f"{url}/images?most=0").status_code == 400
wrong = session.post(f"{url}/images", data=b"x", headers={"Content-Type": "image/gif"})
assert wrong.json()["description"] == "Image type not allowed. Must be PNG or JPEG", wrong.text
assert session.get(f"{url}/images/none.png").status_code == 404

# Media: JSON and forms; bodies with a length and in chunks.
for body in b'{"a": [1, "\\u00e9"]}', iter([b'{"a": [1, ', b'"\\u00e9"]}']):
    answer = session.post(f"{url}/echo/json", data=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"a": [1, "\u00e9"]}, answer.text
assert session.post(f"{url}/echo/json", data=b"{", headers={"Content-Type": "application/json"}).status_code == 400
assert session.post(f"{url}/echo/form", data={"a": "1", "b": "\u00e9"}).json() == {"a": "1", "b": "\u00e9"}
files = {"file": ("a.bin", b"x" * 700_000), "note": (None, "two")}
assert session.post(f"{url}/echo/form", files=files).json() == {"file": 700_000, "note": 3}
for body in b"ab" * 100_000, iter([b"ab" * 5_000] * 20):
    assert session.post(f"{url}/echo", data=body).content == b"ab" * 100_000

# Streams, static files, middleware and errors.
with session.get(f"{url}/count?to=1000", stream=True) as answer:
    assert [int(line) for line in answer.iter_lines()] == list(range(1000))
assert session.get(f"{url}/lines").json() == list(range(10))
assert session.get(f"{url}/source/requirements.txt").text == "falcon~=4.0\n"
assert session.get(f"{url}/nowhere", headers={"X-Number": "seven"}).headers["X-Answers"] == "seven"
assert session.get(f"{url}/fail").status_code == 500
assert session.put(f"{url}/images").headers["Allow"] == "GET, POST, OPTIONS"
print("every claim holds")
