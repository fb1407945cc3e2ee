"""What is wrong with training data."""

from __future__ import annotations


class DataError(ValueError):
    """Training data that is missing or unreadable; the message gives counts and paths.

    Examples:
        >>> try:
        ...     find_images("no/such/folder")
        ... except DataError as error:
        ...     print(error)
        no such folder: no/such/folder
    """
