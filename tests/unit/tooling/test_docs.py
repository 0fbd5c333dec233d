"""The documents hold together: links lead somewhere, and what the code cites exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")]
    if path.name != "CHANGELOG.md"
)
SOURCES = [
    *ROOT.glob("src/**/*.py"),
    *ROOT.glob("native/src/**/*.rs"),
    *ROOT.glob("native/fuzz/fuzz_targets/*.rs"),
    *ROOT.glob("tests/**/*.py"),
    *PAGES,
]


def anchor(heading: str) -> str:
    """The fragment that a heading gets on the usual renderers."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """
    Relative links of a page name a file that exists, and their fragment a heading of it.
    """
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{page.name}: {link}"
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, f"{page.name}: {link}"


def test_every_decision_that_is_cited_exists():
    """
    `ADR 0003` in code or text is a page docs/adr/0003-*.md, and no number is given twice.
    """
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers)), sorted(numbers)
    missing = {
        f"ADR {number} in {path.relative_to(ROOT)}"
        for path in SOURCES
        for number in re.findall(r"\bADR (\d{4})", path.read_text(encoding="utf-8"))
        if number not in numbers
    }

    assert missing == set()


def test_every_page_that_is_cited_exists():
    """
    A path below docs/ in code or text is a page.
    """
    cited = {
        name
        for path in SOURCES
        for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }

    assert cited == set()


def test_the_threat_model_names_tests_that_exist():
    """
    Each defence that the threat model claims is proved by a test of that name.
    """
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    claims = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text) + re.findall(
        r"`(native/(?:src|tests)/[\w/]+\.rs)(?:::(\w+))?`", text
    )
    assert claims
    for path, function in claims:
        assert (ROOT / path).exists(), path
        assert f"{function}" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{function}"
