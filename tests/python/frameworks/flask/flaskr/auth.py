import functools

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash

from .db import get_db

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.route("/register", methods=("GET", "POST"))
def register():
    if request.method == "POST":
        username, password = request.form["username"], request.form["password"]
        db = get_db()
        if not username or not password:
            flash("Username and password are required.")
        else:
            try:
                hashed = generate_password_hash(password, method=request.form.get("method", "scrypt"))
                db.execute("INSERT INTO user (username, password) VALUES (?, ?)", (username, hashed))
                db.commit()
                return redirect(url_for("auth.login"))
            except db.IntegrityError:
                flash(f"User {username} is already registered.")
    return render_template("auth/form.html", title="Register")


@bp.route("/login", methods=("GET", "POST"))
def login():
    if request.method == "POST":
        user = get_db().execute("SELECT * FROM user WHERE username = ?", (request.form["username"],)).fetchone()
        if user is None:
            flash("Incorrect username.")
        elif not check_password_hash(user["password"], request.form["password"]):
            flash("Incorrect password.")
        else:
            session.clear()
            session["user_id"] = user["id"]
            return redirect(url_for("index"))
    return render_template("auth/form.html", title="Log In")


@bp.before_app_request
def load_logged_in_user():
    user_id = session.get("user_id")
    g.user = get_db().execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone() if user_id else None


@bp.route("/logout")
def logout():
    session.clear()
    return redirect(url_for("index"))


def login_required(view):
    @functools.wraps(view)
    def wrapped(**kwargs):
        return view(**kwargs) if g.user else redirect(url_for("auth.login"))

    return wrapped
