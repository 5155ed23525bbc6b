"""Pages of the site from where they stand in the checkout: one home per fact.

Every page keeps its path in the checkout, so that a link is the same in both; those of `docs/` are
built into the root of the site.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
#: Beside `docs/`: pages, and files that pages lead to.
ELSEWHERE = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "GLOSSARY.md"),
    *("sim/SPEC.md", "sim/REQUIREMENTS.md"),
    *("golden/FORMAT.md", "golden/README.md", "golden/c/README.md"),
    *("golden/dpi_example/README.md", "golden/rtl/bind/README.md"),
    *("golden/cosim/example/test_attention_row.py", "golden/cosim/example/test_axi_agents.py"),
    *("golden/cosim/example/run.py", "examples/rtl/README.md"),
    *("examples/qat.py", "examples/model.ipynb", "examples/rtl.ipynb"),
)
#: Folders that are packages within `bitlog2` where it is installed.
PACKAGES = ("sim", "golden", "models", "scripts")


def on_startup(command: str, dirty: bool) -> None:
    """Lay the packages out as they are installed, for what reads their docstrings."""
    package = ROOT / "build" / "docs" / "bitlog2"
    package.mkdir(parents=True, exist_ok=True)
    for path in (*(ROOT / "bitlog2").iterdir(), *(ROOT / name for name in PACKAGES)):
        link = package / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each file its path in the checkout, and add those from elsewhere."""
    found = Files([file for file in files if file.src_dir != config.docs_dir])
    for file in files:
        if file.src_dir == config.docs_dir:
            found.append(_file(config, f"docs/{file.src_uri}", file.inclusion, file.dest_uri))
    for path in ELSEWHERE:
        found.append(_file(config, path, InclusionLevel.INCLUDED))
    return found


def _file(
    config: MkDocsConfig, path: str, inclusion: InclusionLevel, destination: str | None = None
) -> File:
    return File(
        path,
        str(ROOT),
        config.site_dir,
        config.use_directory_urls,
        dest_uri=destination,
        inclusion=inclusion,
    )
