"""`bitlog2 list`: the names that commands take."""

from collections.abc import Callable
from typing import Annotated

from bitlog2.names import (
    EMBEDDED,
    MODEL_SCHEMES,
    OTHER_NAMES,
    PRESETS,
    SCHEMES_OF,
    ZOO,
    map_bits,
)

from .terminal import command, write_json
from .values import Json, one_of, value

EXAMPLES = """examples:
  bitlog2 list models
  bitlog2 list units --json units.json"""

#: Rows of a table, each column by its name.
Rows = list[dict[str, str]]


def _models() -> Rows:
    known = [(name, "-", "embedded, with its images") for name in EMBEDDED]
    known += [(name, f"{each.published_top1:.2f}", each.timm_name) for name, each in ZOO.items()]
    known += [(name, "-", "") for name in OTHER_NAMES]
    return [dict(zip(("model", "top-1 %", "of"), each, strict=True)) for each in known]


def _schemes() -> Rows:
    return [
        {
            "scheme": name,
            "bits": "-" if (bits := map_bits(name, 4)) is None else str(bits),
            "arithmetics": ", ".join(each for each, known in SCHEMES_OF.items() if name in known),
        }
        for name in MODEL_SCHEMES
    ]


def _units() -> Rows:
    from bitlog2.golden.simulation.contract import DEVICES
    from bitlog2.sim.datapath import ATTENTION

    return [
        {
            "unit": name,
            "number": "-" if unit is ATTENTION["attention_row"] else str(unit.number),
            "datapaths": ", ".join(unit.families),
            "devices": ", ".join(
                device for device, contract in DEVICES.items() if contract.unit == name
            ),
        }
        for name, unit in ATTENTION.items()
    ]


def _configurations() -> Rows:
    from bitlog2.golden import load_config

    rows = []
    for name in PRESETS:
        config = load_config(name)
        fields = {short: str(getattr(config, field)) for short, field in config.swept().items()}
        rows.append({"configuration": name, "scheme": config.scheme, **fields})
    return rows


LISTS: dict[str, Callable[[], Rows]] = {
    "models": _models,
    "schemes": _schemes,
    "units": _units,
    "configurations": _configurations,
}


def names(what: Annotated[str, value(one_of(tuple(LISTS)))], /, *, json: Json = None) -> int:
    """Show the names that commands take: models, schemes, units or configurations.

    Args:
        what: kind of names
    """
    from bitlog2.table import aligned

    rows = LISTS[what]()
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    print("\n".join(aligned(cells, "<" * len(rows[0]))))
    write_json(json, {what: rows})
    return 0


app = command(names, EXAMPLES, name="list")
