"""Links of the documentation pages on the site: files of the repository become names, all else stays."""

from types import SimpleNamespace

import pytest

from docs.make.site_links import on_page_markdown


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("a.md", "[`pmrf_blocks/cli.py`](../pmrf_blocks/cli.py)", "`pmrf_blocks/cli.py`"),
        ("a.md", "[the command](../pmrf_blocks/cli.py#L3)", "the command (`pmrf_blocks/cli.py`)"),
        ("results/a.md", "[tests](../../tests)", "`tests`"),
        ("results/a.md", "[scripts](../make)", "scripts (`docs/make`)"),
        ("results/a.md", "[metrics](../metrics.md)", "[metrics](../metrics.md)"),
        ("a.md", "[gone](../pmrf_blocks/gone.py)", "[gone](../pmrf_blocks/gone.py)"),
        ("a.md", "[site](https://arxiv.org/abs/2507.00447)", "[site](https://arxiv.org/abs/2507.00447)"),
    ],
)
def test_links(page, text, expected):
    assert on_page_markdown(text, page=SimpleNamespace(file=SimpleNamespace(src_uri=page))) == expected
