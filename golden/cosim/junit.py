"""JUnit XML of a co-simulation: a suite a unit, a test case a profile of stalls."""

import re
from xml.etree import ElementTree

from .result import CosimResult, UnitRun

__all__ = ["render_error", "render_junit"]

#: Characters that XML 1.0 has not.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(result: CosimResult) -> bytes:
    """Return the report as JUnit XML."""
    root = ElementTree.Element("testsuites", name="bitlog2 golden cosim")
    if result.failures:
        suite = _suite(root, "set", 1, 1, 0.0)
        case = ElementTree.SubElement(suite, "testcase", classname="set", name="verify", time="0")
        _fail(case, list(result.failures))
    for unit in result.units:
        _unit(root, result, unit)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def render_error(message: str) -> bytes:
    """Return the report of a run that could not be made, or has not ended, as JUnit XML."""
    root = ElementTree.Element("testsuites", name="bitlog2 golden cosim")
    suite = _suite(root, "cosim", 1, 0, 0.0, errors=1)
    case = ElementTree.SubElement(suite, "testcase", classname="cosim", name="run", time="0")
    ElementTree.SubElement(case, "error", message=_legal(message), type="error")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _unit(root: ElementTree.Element, result: CosimResult, unit: UnitRun) -> None:
    wrong = sum(not each.ok for each in unit.profiles)
    suite = _suite(root, unit.unit, len(unit.profiles), wrong, unit.seconds)
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("simulator", "seed", "stall", "idle"):
        value = _legal(str(getattr(result, name)))
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for each in unit.profiles:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"cosim.{unit.unit}",
            name=f"stalls_{each.name}",
            time=f"{each.seconds:.3f}",
        )
        if not each.ok:
            _fail(case, each.lines())


def _suite(
    root: ElementTree.Element,
    name: str,
    tests: int,
    failures: int,
    seconds: float,
    errors: int = 0,
) -> ElementTree.Element:
    return ElementTree.SubElement(
        root,
        "testsuite",
        name=name,
        tests=str(tests),
        failures=str(failures),
        errors=str(errors),
        time=f"{seconds:.3f}",
    )


def _fail(case: ElementTree.Element, lines: list[str]) -> None:
    message = _legal(lines[0]) if lines else "nothing was compared"
    failure = ElementTree.SubElement(case, "failure", message=message, type="difference")
    failure.text = _legal("\n".join(lines))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)
