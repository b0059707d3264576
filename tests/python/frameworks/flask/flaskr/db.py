import sqlite3
from datetime import datetime

from flask import current_app, g

sqlite3.register_converter("timestamp", lambda text: datetime.fromisoformat(text.decode()))


def get_db():
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"], detect_types=sqlite3.PARSE_DECLTYPES)
        g.db.row_factory = sqlite3.Row
        if g.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            init_db()
    return g.db


def close_db(error=None):
    db = g.pop("db", None)
    if db is not None:
        db.close()


def init_db():
    with current_app.open_resource("schema.sql") as file:
        get_db().executescript(file.read().decode())


def init_app(app):
    app.teardown_appcontext(close_db)
