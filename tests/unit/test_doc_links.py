"""Links between Markdown files lead somewhere on a forge, too; the site's own build sees only what lies in docs/."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "landscape_ray" / "demo" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"^ *```.*?^ *```", flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names that a forge gives to headings: lower case, spaces as hyphens, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text), flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_or_a_heading_leads_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text(encoding="utf-8")))
    broken = []
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_a_broken_link_would_be_seen() -> None:
    assert anchors("# A page\n\n## What it's for, and `why`\n```\n# no heading\n```\n") == {
        "a-page",
        "what-its-for-and-why",
    }
