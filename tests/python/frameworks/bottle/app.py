"""Bottle's tutorial, a list of things to do, with what the tutorial does not touch: uploads, streams and cookies."""
import sqlite3
from pathlib import Path

from bottle import HTTPError, abort, default_app, get, post, redirect, request, response, route, static_file, template


def connect():
    connection = sqlite3.connect("/data/todo.db")
    connection.execute("CREATE TABLE IF NOT EXISTS todo (id INTEGER PRIMARY KEY, task TEXT NOT NULL, status BOOL NOT NULL)")
    return connection


@get("/todo")
def todo_list():
    with connect() as connection:
        rows = connection.execute("SELECT id, task FROM todo WHERE status = 1").fetchall()
    return template("show_tasks", rows=rows)


@post("/new")
def new_task():
    task = request.forms.task.strip()
    with connect() as connection:
        number = connection.execute("INSERT INTO todo (task, status) VALUES (?, 1)", (task,)).lastrowid
    return f"The new task was inserted into the database, the ID is {number}"


@route("/edit/<number:int>", method=["GET", "POST"])
def edit_task(number):
    if request.method == "GET":
        with connect() as connection:
            row = connection.execute("SELECT task FROM todo WHERE id = ?", (number,)).fetchone()
        return template("<input name='task' value='{{task}}'>", task=row[0]) if row else abort(404, "no such task")
    with connect() as connection:
        connection.execute("UPDATE todo SET status = 0 WHERE id = ?", (number,))
    redirect("/todo")


@get("/details/<task:re:[a-z]+>")
def details(task):
    return {"task": task}


@get("/files/<path:path>")
def files(path):
    return static_file(path, root=Path(__file__).with_name("views"))


@get("/visits")
def visits():
    count = int(request.get_cookie("visits", default="0", secret="not for production")) + 1
    response.set_cookie("visits", str(count), secret="not for production")
    return str(count)


@post("/upload")
def upload():
    """What arrived: each file with its name, its size and the sum of its bytes, and the fields beside them."""
    files = {}
    for name, file in request.files.items():
        data = file.file.read()
        files[name] = {"name": file.filename, "size": len(data), "sum": sum(data)}
    return {"files": files, "form": dict(request.forms.decode())}


@post("/echo")
def echo():
    return request.body


@get("/count")
def count():
    for number in range(int(request.query.to)):
        yield f"{number}\n"


@get("/fail")
def fail():
    raise RuntimeError("as asked")


@get("/teapot")
def teapot():
    raise HTTPError(418, "as asked")


application = default_app()
