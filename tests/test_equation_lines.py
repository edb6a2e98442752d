"""The lines that documentation maps equations to are the lines it quotes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUOTES = [
    pytest.param(page, *found, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, found in enumerate(re.findall(r"\[`([^`]+)`\]\(\.\./([\w/]+\.py)#L(\d+)\)", page.read_text()))
]


@pytest.mark.parametrize(("page", "quote", "file", "number"), QUOTES)
def test_a_quoted_line_stands_where_it_is_said_to_stand(page, quote, file, number):
    lines = (ROOT / file).read_text().splitlines()
    places = [at for at, line in enumerate(lines, start=1) if quote in line]
    assert int(number) in places, f"{page.name} says {file}#L{number}; {quote!r} stands in {places}"
