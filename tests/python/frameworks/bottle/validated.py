"""The application, with Python's validator around it, which raises an exception where it or the server breaks a rule."""
from wsgiref.validate import validator

from app import application as inner

application = validator(inner)
