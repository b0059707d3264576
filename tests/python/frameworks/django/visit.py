"""Uses the application as people and programs would: `visit.py URL`."""
import re
import sys

import requests

url = sys.argv[1].rstrip("/")
session = requests.Session()
password = "correct horse battery"


def token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]


# Migrations run inside, into sqlite in a directory that was granted.
page = session.post(f"{url}/polls/install/", data={"password": password})
assert page.status_code == 200 and "Applying polls.0001_initial... OK" in page.text, page.text

# The tutorial's polls: the ORM, templates, CSRF protection, and sessions in the database.
page = session.get(f"{url}/polls/")
assert '<a href="/polls/1/">What&#x27;s up?</a>' in page.text, page.text
assert session.get(f"{url}/static/polls/style.css").text == "li a { color: green; }\n"
form = session.get(f"{url}/polls/1/")
assert '<label for="choice2">The sky</label>' in form.text, form.text
page = session.post(f"{url}/polls/1/vote/", data={"csrfmiddlewaretoken": token(form)})
assert "You didn&#x27;t select a choice." in page.text, page.text
page = session.post(f"{url}/polls/1/vote/", data={"choice": "2"})
assert page.status_code == 403 and "CSRF token missing" in page.text, page.text
for votes in 1, 2:
    page = session.post(f"{url}/polls/1/vote/", data={"choice": "2", "csrfmiddlewaretoken": token(form)})
    assert page.url == f"{url}/polls/1/results/", page.url
    plural = "" if votes == 1 else "s"
    assert f"The sky: {votes} vote{plural}<" in page.text, page.text
    assert f"You have voted {votes} time{plural}." in page.text, page.text
assert session.get(f"{url}/polls/9/").status_code == 404

# The admin: its login with password hashing, its pages, its static files.
page = session.get(f"{url}/admin/")
assert page.url == f"{url}/admin/login/?next=/admin/" and "Django administration" in page.text, page.url
login = {"username": "admin", "password": "wrong", "csrfmiddlewaretoken": token(page), "next": "/admin/"}
assert "Please enter the correct username and password" in session.post(page.url, data=login).text
page = session.post(page.url, data=login | {"password": password})
assert page.url == f"{url}/admin/" and "Site administration" in page.text, (page.url, page.text)
for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)):
    file = session.get(url + path)
    assert file.status_code == 200 and file.content, path
page = session.get(f"{url}/admin/polls/question/add/")
added = {
    "csrfmiddlewaretoken": token(page),
    "question_text": "Wie geht\u2019s?",
    "pub_date_0": "2001-02-03",
    "pub_date_1": "04:05:06",
    "choice_set-TOTAL_FORMS": "1",
    "choice_set-INITIAL_FORMS": "0",
    "choice_set-0-choice_text": "Gut",
    "choice_set-0-votes": "0",
    "_save": "Save",
}
page = session.post(page.url, data=added)
assert page.url == f"{url}/admin/polls/question/", page.text
assert "was added successfully" in page.text and "Feb. 3, 2001, 4:05 a.m." in page.text, page.text
page = session.get(f"{url}/admin/polls/question/?q=geht")
assert "1 result" in page.text, page.text
page = session.get(f"{url}/admin/password_change/")
data = {"csrfmiddlewaretoken": token(page), "old_password": password, "new_password1": "12345", "new_password2": "12345"}
page = session.post(page.url, data=data)
assert "This password is too common." in page.text, page.text
page = session.post(f"{url}/admin/logout/", data={"csrfmiddlewaretoken": token(page)})
assert "Logged out" in page.text, page.text
assert "/admin/login/" in session.get(f"{url}/admin/").url

# Uploads: beyond 2.5 MB, Django writes them to temporary files. Without a length, the body arrives in chunks.
for size, kind in (10, "InMemoryUploadedFile"), (5_000_000, "TemporaryUploadedFile"):
    data = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    expected = {"file": {"name": "a.bin", "size": size, "sum": sum(data), "class": kind}}
    answer = session.post(f"{url}/polls/upload/", data={"note": "n\u00f6te"}, files={"file": ("a.bin", data)})
    assert answer.status_code == 200 and answer.json() == {"files": expected, "form": {"note": "n\u00f6te"}}, answer.text
    request = requests.Request("POST", answer.url, files={"file": ("a.bin", data)}).prepare()
    chunks = iter([request.body[at : at + 50_000] for at in range(0, len(request.body), 50_000)])
    answer = session.post(answer.url, data=chunks, headers={"Content-Type": request.headers["Content-Type"]})
    assert answer.status_code == 200 and answer.json() == {"files": expected, "form": {}}, answer.text
form = iter([b"a=1&", b"b=", b"2"])
answer = session.post(f"{url}/polls/upload/", data=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
assert answer.json()["form"] == {"a": "1", "b": "2"}, answer.text
assert session.post(f"{url}/polls/echo/", data=iter([b"ab" * 5_000] * 20)).content == b"ab" * 100_000

# Streams and errors.
with session.get(f"{url}/polls/count/?to=1000", stream=True) as answer:
    assert [int(line) for line in answer.iter_lines()] == list(range(1000))
page = session.get(f"{url}/polls/fail/")
assert page.status_code == 500 and "RuntimeError at /polls/fail/" in page.text, page.text
assert "raise RuntimeError(&quot;as asked&quot;)" in page.text, "the debug page has no source"
assert "Using the URLconf defined in" in session.get(f"{url}/nowhere/").text
print("every claim holds")
