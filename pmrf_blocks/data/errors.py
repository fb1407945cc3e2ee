"""What is wrong with training data."""

from __future__ import annotations


class DataError(ValueError):
    """Training data that is missing or unreadable; the message gives counts and paths."""
