"""The types with which the runtime gives values to Python code, and takes them."""
from dataclasses import dataclass
from typing import Any


@dataclass
class Some:
    """A value of an option of an option."""

    value: Any


@dataclass
class Ok:
    """The value of a result."""

    value: Any


@dataclass(frozen=True)
class Err(Exception):
    """The error of a result."""

    value: Any
