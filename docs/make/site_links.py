"""A hook of mkdocs: the pages link to files of the repository, which are no part of the site; there they become names.

mkdocs build --strict
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MAKE = ROOT / "docs" / "make"  # of the repository, no page
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with links to files outside docs/ written as `path`; a file that is not there is left for mkdocs to
    complain of."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def named(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        outside = ROOT in target.parents and (ROOT / "docs" not in target.parents or MAKE in (target, *target.parents))
        if not (outside and target.exists()):
            return match[0]
        label = match[1] if match[1].startswith("`") else f"`{match[1]}`"
        return (
            label
            if match[1].strip("`") == str(target.relative_to(ROOT))
            else f"{match[1]} (`{target.relative_to(ROOT)}`)"
        )

    return LINK.sub(named, markdown)
