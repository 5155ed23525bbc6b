"""Reports as JUnit XML, which build servers read."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree

from bitlog2.sim.files import write_whole


@dataclass(frozen=True)
class JunitCase:
    """One thing that was held to something.

    Attributes:
        where: class name, dots between its parts.
        name: name within it.
        seconds: wall time; 0 where it has none of its own.
        wrong: whether it failed.
        lines: what a failure says, the first line being its message.
    """

    where: str
    name: str
    seconds: float = 0.0
    wrong: bool = False
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class JunitSuite:
    """Cases that belong together.

    Attributes:
        name: its name.
        cases: in the order of the run.
        seconds: wall time of all.
        properties: what it was run with, by name.
        attachments: files that were kept.
    """

    name: str
    cases: Sequence[JunitCase]
    seconds: float = 0.0
    properties: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Path] = ()


class Report(Protocol):
    """What can be written as JUnit."""

    def suites(self) -> Sequence[JunitSuite]:
        """Return its suites."""
        ...


#: Characters that XML 1.0 has not.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(command: str, suites: Sequence[JunitSuite]) -> bytes:
    """Return suites as JUnit XML; `command` is the name of them all."""
    root = ElementTree.Element("testsuites", name=command)
    for each in suites:
        suite = _suite(root, each.name, len(each.cases), each.seconds)
        suite.set("failures", str(sum(case.wrong for case in each.cases)))
        if each.properties:
            properties = _element(suite, "properties")
            for name, value in each.properties.items():
                _element(properties, "property", name=name, value=value)
        for case in each.cases:
            _case(suite, case)
        if each.attachments:  # as Jenkins and GitLab read them
            kept = "\n".join(f"[[ATTACHMENT|{path}]]" for path in each.attachments)
            _element(suite, "system-out").text = _legal(kept)
    return _text(root)


def render_error(command: str, message: str) -> bytes:
    """Return the report of a run that could not be made, or has not ended."""
    root = ElementTree.Element("testsuites", name=command)
    name = command.rpartition(" ")[2]
    suite = _suite(root, name, 1, 0.0)
    suite.set("errors", "1")
    case = _element(suite, "testcase", classname=name, name="run", time="0")
    _element(case, "error", message=message, type="error")
    return _text(root)


@contextmanager
def reporting(path: Path | None, command: str) -> Iterator[Callable[[Report], None]]:
    """Let a file hold what becomes of a run: never that of an earlier one, and an error too.

    Args:
        path: the file; None for none.
        command: as `render`.

    Yields:
        what writes the report.
    """

    def put(content: bytes) -> None:
        if path is not None:
            write_whole(path, content)

    put(render_error(command, "the run has not ended"))
    try:
        yield lambda found: put(render(command, found.suites()))
    except (ValueError, TypeError, OSError) as error:
        put(render_error(command, str(error)))
        raise


def _suite(root: ElementTree.Element, name: str, tests: int, seconds: float) -> ElementTree.Element:
    counts = {"tests": tests, "failures": 0, "errors": 0, "time": f"{seconds:.3f}"}
    return _element(root, "testsuite", name=name, **counts)


def _case(suite: ElementTree.Element, case: JunitCase) -> None:
    time = f"{case.seconds:.3f}"
    found = _element(suite, "testcase", classname=case.where, name=case.name, time=time)
    if case.wrong:
        message = case.lines[0] if case.lines else "nothing was compared"
        failure = _element(found, "failure", message=message, type="difference")
        failure.text = _legal("\n".join(case.lines))


def _element(parent: ElementTree.Element, tag: str, **attributes: object) -> ElementTree.Element:
    texts = {name: _legal(str(value)) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, texts)


def _text(root: ElementTree.Element) -> bytes:
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)
