from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for

from .auth import login_required
from .db import get_db

bp = Blueprint("blog", __name__)

POSTS = "SELECT p.id, title, body, created, author_id, username FROM post p JOIN user u ON p.author_id = u.id"


@bp.route("/")
def index():
    return render_template("blog/index.html", posts=get_db().execute(f"{POSTS} ORDER BY created DESC").fetchall())


@bp.route("/create", methods=("GET", "POST"))
@login_required
def create():
    if request.method == "POST":
        if request.form["title"]:
            values = (request.form["title"], request.form["body"], g.user["id"])
            get_db().execute("INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)", values)
            get_db().commit()
            return redirect(url_for("blog.index"))
        flash("Title is required.")
    return render_template("blog/form.html", post=None)


def get_post(id):
    post = get_db().execute(f"{POSTS} WHERE p.id = ?", (id,)).fetchone()
    if post is None:
        abort(404, f"Post id {id} doesn't exist.")
    if post["author_id"] != g.user["id"]:
        abort(403)
    return post


@bp.route("/<int:id>/update", methods=("GET", "POST"))
@login_required
def update(id):
    post = get_post(id)
    if request.method == "POST":
        get_db().execute("UPDATE post SET title = ?, body = ? WHERE id = ?", (request.form["title"], request.form["body"], id))
        get_db().commit()
        return redirect(url_for("blog.index"))
    return render_template("blog/form.html", post=post)


@bp.route("/<int:id>/delete", methods=("POST",))
@login_required
def delete(id):
    get_post(id)
    get_db().execute("DELETE FROM post WHERE id = ?", (id,))
    get_db().commit()
    return redirect(url_for("blog.index"))
