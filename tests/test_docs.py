"""The pages of docs/: each has its place, and the strict build of their site is clean."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass, isfunction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.browser import broken_rules, needs_axe
from support.shared import made_once

ROOT = Path(__file__).resolve().parent.parent


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout; a warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)


def copy_and_build(folder: Path) -> None:
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    done = build(folder / "source", folder / "site")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def built(tmp_path_factory) -> Path:
    """A folder with a copy of the checkout, `source`, and its site, `site`."""
    if find_spec("mkdocs") is None:
        pytest.skip("the extra [docs] is not installed")
    return made_once(tmp_path_factory, "docs", copy_and_build)


def test_docs_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"\bdocs/\S+", navigation))


def test_docs_picture_has_a_title_and_a_description():
    names = {"{http://www.w3.org/2000/svg}title", "{http://www.w3.org/2000/svg}desc"}
    assert names <= {each.tag for each in ElementTree.parse(ROOT / "docs" / "dataflow.svg").iter()}


def broken_links(page: str, folder: Path) -> list[str]:
    """Links of a Markdown page, relative ones, that lead to no file."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", re.sub(r"```.*?```", "", page, flags=re.S))
    return [each for each in links if ":" not in each and not (folder / each).exists()]


def test_docs_links_of_every_page_lead_to_files():
    """Anchors are held by the strict build, and those of README by the next test."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "golden").rglob("*.md")]
    assert {p: b for p in pages if (b := broken_links(p.read_text("utf-8"), p.parent))} == {}


def test_docs_link_scan_finds_a_planted_one():
    page = "[a](nowhere.md#x) [b](README.md) [c](https://arxiv.org/abs/1) [d](#here)"
    assert broken_links(page, ROOT) == ["nowhere.md"]


def test_docs_anchors_of_readme_are_headings():
    for path, anchor in re.findall(
        r"\]\((\w[^)#]*\.md)#([^)]*)\)", (ROOT / "README.md").read_text()
    ):
        heads = re.findall(r"^#+ (.*)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in heads}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_docs_site_is_whole_and_fetches_nothing_from_elsewhere(built):
    pages = list((built / "site").rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(?:https?:)?//", text), page
        assert not re.findall(r"<link[^>]* href=\"?(?:https?:)?//[^>]*stylesheet", text), page
    for name in ("sim", "golden", "models"):
        text = (built / "site" / "api" / name / "index.html").read_text(encoding="utf-8")
        package = import_module(f"bitlog2.{name}")
        values = {each: getattr(package, each) for each in package.__all__}
        documented = [each for each, v in values.items() if isclass(v) or isfunction(v)]
        missing = [each for each in documented if f'id="bitlog2.{name}.{each}"' not in text]
        assert missing == []


@pytest.mark.long
@needs_axe
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, ()) for name in ("network", "accuracy", "calibration", "hardware", "commands")),
        *((name, ("--force-dark-mode",)) for name in ("runs", "hardware")),
        *((name, ("--window-size=390,844",)) for name in ("network", "accuracy")),
    ],
)
def test_docs_page_is_accessible(built, tmp_path, name, options):
    """Read from its place in the site, so that styles and scripts are found."""
    folder = built / "site" / name
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace("<head>", f'<head><base href="{folder.as_uri()}/">', 1)
    assert broken_rules(tmp_path / "page.html", page, *options) == []
    spoilt = page.replace("<article", '<img src="#"><article', 1)
    assert "image-alt" in dict(broken_rules(tmp_path / "spoilt.html", spoilt, *options))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_docs_build_finds_planted_errors(built):
    """One after the other: they are planted into the same copy."""
    page = built / "source" / "docs" / "sources.md"
    before = page.read_text(encoding="utf-8")
    for planted in ("[a](nowhere.md)", "[a](cost.md#nowhere)", "::: bitlog2.no"):
        page.write_text(f"{before}\n{planted}\n", encoding="utf-8")
        assert build(built / "source", built / "planted").returncode == 1, planted
    page.write_text(before, encoding="utf-8")
