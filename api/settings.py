"""Numbers that the environment may set."""

import os


class BadSetting(Exception):
    """A variable of the environment is not what it should be; the message says what to write."""


def number(variable: str, default: float, low: float, high: float) -> float:
    """Raises BadSetting."""
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise BadSetting(f"{variable} is a number from {low:g} to {high:g}; it is {text!r}.")
    return value
