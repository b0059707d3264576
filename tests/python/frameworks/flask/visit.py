"""Uses the application as a person and as a program would: `visit.py URL`."""
import datetime
import sys

import requests

url = sys.argv[1].rstrip("/")
session = requests.Session()

# Accounts: passwords are hashed, wrong ones refused, and messages survive a redirect in the session.
login = {"username": "ada", "password": "l\u00f6velace"}
page = session.get(f"{url}/auth/register")
assert page.status_code == 200 and "<title>Register - Flaskr</title>" in page.text, page.text
page = session.post(f"{url}/auth/register", data=login)
assert page.url == f"{url}/auth/login" and page.history[0].status_code == 302, (page.url, page.text)
page = session.post(f"{url}/auth/register", data=login)
assert "User ada is already registered." in page.text, page.text
page = session.post(f"{url}/auth/login", data=login | {"password": "wrong"})
assert "Incorrect password." in page.text, page.text
assert "user_id" not in session.cookies and not session.cookies, session.cookies
page = session.post(f"{url}/auth/login", data=login)
assert page.url == f"{url}/" and "<span>ada</span>" in page.text, page.text
pbkdf2 = {"username": "grace", "password": "hopper", "method": "pbkdf2:sha256:600000"}
other = requests.Session()
assert other.post(f"{url}/auth/register", data=pbkdf2).url == f"{url}/auth/login"
assert "<span>grace</span>" in other.post(f"{url}/auth/login", data=pbkdf2).text

# Posts, in sqlite.
assert requests.get(f"{url}/create").url == f"{url}/auth/login"
page = session.post(f"{url}/create", data={"title": "", "body": "text"})
assert "Title is required." in page.text and ">text</textarea>" in page.text, page.text
page = session.post(f"{url}/create", data={"title": "<b>First</b>", "body": "\u65e5\u672c"})
today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d") if hasattr(datetime, "UTC") else ""
assert "<h1>&lt;b&gt;First&lt;/b&gt;</h1>" in page.text and f"by ada on {today}" in page.text and "\u65e5\u672c" in page.text, page.text
assert "Edit" in page.text and "Edit" not in other.get(url).text
assert other.get(f"{url}/1/update").status_code == 403
assert session.get(f"{url}/7/update").status_code == 404
page = session.post(f"{url}/1/update", data={"title": "Second", "body": ""})
assert "<h1>Second</h1>" in page.text and "First" not in page.text, page.text
assert "<h1>" not in session.post(f"{url}/1/delete").text
assert "Log In" in session.get(f"{url}/auth/logout").text

# Static files: conditional and partial.
style = session.get(f"{url}/static/style.css")
assert style.headers["Content-Type"] == "text/css; charset=utf-8" and style.text.startswith("html {"), style.headers
unchanged = session.get(style.url, headers={"If-None-Match": style.headers["ETag"]})
assert unchanged.status_code == 304 and unchanged.content == b"", unchanged.status_code
part = session.get(style.url, headers={"Range": "bytes=0-3"})
assert (part.status_code, part.content) == (206, b"html"), part.status_code
assert session.get(f"{url}/static/..%2f__init__.py").status_code == 404

# Uploads: small ones stay in memory, and those beyond 500 kB are temporary files.
for size in 10, 900_000, 5_000_000:
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    answer = session.post(f"{url}/upload", data={"note": "n\u00f6te"}, files={"file": ("a b.bin", data, "application/x-test")})
    expected = {"file": {"name": "a b.bin", "type": "application/x-test", "size": size, "sum": sum(data)}}
    assert answer.json() == {"files": expected, "form": {"note": "n\u00f6te"}}, answer.text
    # Without a length, the body arrives in chunks.
    request = requests.Request("POST", answer.url, files={"file": ("c.bin", data)}).prepare()
    chunks = iter([request.body[at : at + 50_000] for at in range(0, len(request.body), 50_000)])
    answer = session.post(answer.url, data=chunks, headers={"Content-Type": request.headers["Content-Type"]})
    assert answer.json()["files"]["file"]["size"] == size, answer.text

# Streams, in both directions.
answer = session.post(f"{url}/echo", data=iter([b"ab" * 5_000] * 20))
assert answer.content == b"ab" * 100_000, len(answer.content)
with session.get(f"{url}/count?to=1000", stream=True) as answer:
    assert [int(line) for line in answer.iter_lines()] == list(range(1000))

# The application's own test client, and errors.
assert session.get(f"{url}/visits").json() == {"count": "0\n1\n", "login": True, "method": "POST"}
assert session.get(f"{url}/teapot").text == "<p>I'm a teapot</p>"
failed = session.get(f"{url}/fail")
assert failed.status_code == 500 and "Internal Server Error" in failed.text, failed.text
assert session.get(f"{url}/nowhere").status_code == 404
assert session.put(f"{url}/create").headers["Allow"].split(", ") != []
print("every claim holds")
