"""Headless Chromium, and the accessibility checker axe-core in it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
#: axe-core of npm, installed globally or in the checkout: `npm install --no-save axe-core`.
AXE = [
    file
    for folder in ("/usr/lib", "/usr/local/lib", Path(__file__).parents[2])
    if (file := Path(folder) / "node_modules" / "axe-core" / "axe.min.js").is_file()
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
needs_axe = pytest.mark.skipif(
    CHROMIUM is None or not AXE, reason="no Chromium, or no axe-core: npm install axe-core"
)
#: Unfolds everything, and writes into the title which rules of axe-core a page breaks.
_AXE_PROBE = """addEventListener("load", async () => {
  document.querySelectorAll("details").forEach(each => { each.open = true; });
  const found = await axe.run({preload: false});
  const wrong = found.violations.map(each => [each.id, each.nodes[0].html.slice(0, 200)]);
  document.title = "probe " + JSON.stringify({wrong, passed: found.passes.length});
});"""


def probed(file: Path, page: str, script: str, *options: str) -> Any:
    """What a script at the end of a page writes into its title; the console must stay empty."""
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    options += ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
    options += ("--disable-background-networking", "--disable-component-update")
    options += (f"--user-data-dir={file.parent / 'profile'}", "--enable-logging=stderr")
    done = subprocess.run(
        [CHROMIUM, *options, "--virtual-time-budget=60000", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    assert ":CONSOLE" not in done.stderr
    title = re.search(r"<title>probe (.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None
    return json.loads(title[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def broken_rules(file: Path, page: str, *options: str) -> list[tuple[str, str]]:
    """The rules of axe-core that a page breaks, each with the first element that does."""
    script = AXE[0].read_text(encoding="utf-8")
    found = probed(file, page, f"{script}</script><script>{_AXE_PROBE}", *options)
    assert found["passed"] > 15
    return [(rule, element) for rule, element in found["wrong"]]
