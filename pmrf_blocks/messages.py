"""Values and errors from elsewhere, for messages of one line."""

from __future__ import annotations


def short(value: object) -> str:
    """A value in at most 60 characters, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def first_line(error: BaseException) -> str:
    """The first line of what an error says (1000 characters at most), or its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:1000]
