# /// script
# requires-python = ">=3.11"
# dependencies = ["flask>=3"]
# ///
"""A Flask app with a form. The comment above declares its dependencies (PEP 723)."""

from flask import Flask, render_template_string, request

app = Flask(__name__)

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Hello</title>
<h1>Hello, {{ name }}!</h1>
<form method="post">
  <input name="name" placeholder="your name" required autofocus>
  <button>Greet</button>
</form>
"""


@app.route("/", methods=["GET", "POST"])
def hello():
    return render_template_string(PAGE, name=request.form.get("name", "World"))
