"""Greets, and echoes what is posted to it, with Flask."""
from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def greet():
    return "Hello, World!\n", {"Content-Type": "text/plain"}


@app.post("/")
def echo():
    return request.get_data()
