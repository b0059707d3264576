"""Uses the application as a person and as a program would: `visit.py URL`."""
import sys

import requests

url = sys.argv[1].rstrip("/")
session = requests.Session()

# The tutorial: templates, and rows in sqlite.
assert "The open tasks are" in session.get(f"{url}/todo").text
for number, task in (1, "Visit <Python>"), (2, "\u65e5\u672c"):
    answer = session.post(f"{url}/new", data={"task": task})
    assert answer.text == f"The new task was inserted into the database, the ID is {number}", answer.text
page = session.get(f"{url}/todo").text
assert "<td>1</td><td>Visit &lt;Python&gt;</td>" in page and "<td>2</td><td>\u65e5\u672c</td>" in page, page
assert "value='\u65e5\u672c'" in session.get(f"{url}/edit/2").text
page = session.post(f"{url}/edit/1")
assert page.url == f"{url}/todo" and "<td>1</td>" not in page.text and "<td>2</td>" in page.text, page.text
assert session.get(f"{url}/edit/9").status_code == 404
assert session.get(f"{url}/details/one").json() == {"task": "one"}

# Static files, cookies and errors.
file = session.get(f"{url}/files/show_tasks.tpl")
assert file.text.startswith("%#"), file.text
unchanged = session.get(file.url, headers={"If-None-Match": file.headers["ETag"]})
assert unchanged.status_code == 304, unchanged.status_code
part = session.get(file.url, headers={"Range": "bytes=0-1"})
assert (part.status_code, part.content) == (206, b"%#"), part.status_code
assert session.get(f"{url}/files/%2e%2e/app.py").status_code in (403, 404)
assert [session.get(f"{url}/visits").text for _ in range(3)] == ["1", "2", "3"]
assert session.get(f"{url}/teapot").status_code == 418
assert session.get(f"{url}/fail").status_code == 500
assert session.get(f"{url}/nowhere").status_code == 404

# Uploads, with a length and in chunks; streams.
for size in 10, 200_000, 5_000_000:
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    expected = {"file": {"name": "a.bin", "size": size, "sum": sum(data)}}
    answer = session.post(f"{url}/upload", data={"note": "n\u00f6te"}, files={"file": ("a.bin", data)})
    assert answer.status_code == 200 and answer.json() == {"files": expected, "form": {"note": "n\u00f6te"}}, answer.text
    request = requests.Request("POST", answer.url, files={"file": ("a.bin", data)}).prepare()
    chunks = iter([request.body[at : at + 50_000] for at in range(0, len(request.body), 50_000)])
    answer = session.post(answer.url, data=chunks, headers={"Content-Type": request.headers["Content-Type"]})
    assert answer.status_code == 200 and answer.json()["files"] == expected, answer.text
answer = session.post(f"{url}/echo", data=iter([b"ab" * 5_000] * 20))
assert answer.content == b"ab" * 100_000, len(answer.content)
with session.get(f"{url}/count?to=1000", stream=True) as answer:
    assert [int(line) for line in answer.iter_lines()] == list(range(1000))
print("every claim holds")
