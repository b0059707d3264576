"""Uses the application as a person and as a program would: `visit.py URL`."""
import sys

import requests

url = sys.argv[1].rstrip("/")
session = requests.Session()

# Templates, view classes and sessions in signed cookies.
page = session.get(url)
assert "<h1>Hello, stranger</h1>" in page.text and "Visits" not in page.text, page.text
assert f'href="{url}/static/app.css"' in page.text, page.text
assert "<p>Visits: 2</p>" in session.get(url).text
style = session.get(f"{url}/static/app.css")
assert style.text == "body { margin: 2em; }\n" and style.headers["Content-Type"].startswith("text/css"), style.headers
# What follows is unchanged, by its date.
unchanged = session.get(style.url, headers={"If-Modified-Since": style.headers["Last-Modified"]})
assert unchanged.status_code == 304, unchanged.status_code
answer = session.get(f"{url}/hello/Ada/L%C3%B6velace")
assert answer.json() == {"greeting": "Hello", "first": "Ada", "last": "L\u00f6velace"}, answer.text

# Permissions, CSRF tokens and logins.
assert session.get(f"{url}/edit").url == f"{url}/login"
token = session.get(f"{url}/login").text
assert session.post(f"{url}/login", data={"login": "ada"}).status_code == 400
page = session.post(f"{url}/login", data={"login": "ada", "csrf_token": token})
assert page.url == f"{url}/" and "<h1>Hello, ada</h1>" in page.text, page.text
assert session.get(f"{url}/edit").text == "edited by ada"
assert "stranger" in session.get(f"{url}/logout").text

# Uploads, with a length and in chunks; streams in both directions.
for size in 10, 900_000, 5_000_000:
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    expected = {"file": {"name": "a.bin", "size": size, "sum": sum(data)}}
    answer = session.post(f"{url}/upload", data={"note": "n\u00f6te"}, files={"file": ("a.bin", data)})
    assert answer.json() == {"files": expected, "form": {"note": "n\u00f6te"}}, answer.text
    request = requests.Request("POST", answer.url, files={"file": ("a.bin", data)}).prepare()
    chunks = iter([request.body[at : at + 50_000] for at in range(0, len(request.body), 50_000)])
    answer = session.post(answer.url, data=chunks, headers={"Content-Type": request.headers["Content-Type"]})
    assert answer.json() == {"files": expected, "form": {}}, answer.text
answer = session.post(f"{url}/echo", data=iter([b"ab" * 5_000] * 20))
assert answer.content == b"ab" * 100_000, len(answer.content)
with session.get(f"{url}/count?to=1000", stream=True) as answer:
    assert [int(line) for line in answer.iter_lines()] == list(range(1000))

# Errors.
assert (session.get(f"{url}/nowhere").status_code, session.get(f"{url}/nowhere").text) == (404, "there is no /nowhere")
assert session.get(f"{url}/fail").status_code == 500
print("every claim holds")
