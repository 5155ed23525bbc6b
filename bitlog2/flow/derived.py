"""What follows from declarations: parts of pages and headers, and the JSON schemas."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from statistics import fmean

import msgspec

from bitlog2 import documents
from bitlog2.golden import generate
from bitlog2.golden.assurance.cost import (
    CHOICES_TABLE,
    PLACED_TABLE,
    CostTable,
    PlaceTable,
    code_lines,
)
from bitlog2.golden.assurance.mutation import KEPT, Campaign, kept_table
from bitlog2.golden.assurance.mutation.campaign import Findings
from bitlog2.golden.package.folder import KINDS
from bitlog2.golden.simulation.contract import CONTRACTS
from bitlog2.golden.stimulus.unit import GoldenUnit, PlantedFaults, Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.golden.words.fields import Field, hex_digits, word_width
from bitlog2.models.runs.paired import Paired, what_differs
from bitlog2.models.runs.result import Result
from bitlog2.models.sealed import sealed_schema
from bitlog2.names import ARITHMETICS, CODED, CONTROLS, NORMALIZED, USUAL_SCHEMES, map_bits
from bitlog2.sim import SCHEMES, AttentionConfig, Scheme
from bitlog2.sim.datapath import PORTS
from bitlog2.sim.declarations import Configuration
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.units.distance_quantizer import thresholds_of

_ROOT = Path(__file__).resolve().parents[2]
_C = _ROOT / "golden" / "c"
#: Flags of a processor that the kernels, or torch's, have forms for.
_VECTOR_FLAGS = ("avx2", "avx512bw", "avx512_vnni", "amx_int8")


def unit_tables() -> str:
    """Return the streams and fields of every unit, in Markdown.

    As the default configuration has them; then what the other families of schemes have besides.
    """
    lines, seen = [], set()
    for config in _of_every_family():
        target = Target.of(config)
        for unit in units_within(config).values():
            declared = (unit.name, tuple(stream for stream in unit.streams))
            if declared not in seen:
                lines += [_heading(unit.name, config), "", *_unit_table(unit, target), ""]
                seen.add(declared)
    return "\n".join(lines)


def _of_every_family() -> list[AttentionConfig]:
    """Return the default configuration, then one with the first scheme of each other family."""
    default = AttentionConfig()
    first = {each.family: name for name, each in reversed(SCHEMES.items())}
    others = (name for family, name in first.items() if family != default.code.family)
    return [default, *(AttentionConfig(name) for name in others)]


def _heading(name: str, config: AttentionConfig) -> str:
    return f"**{name}**" if config == AttentionConfig() else f"**{name}**, {config.scheme}"


def _unit_table(unit: GoldenUnit, target: Target) -> list[str]:
    lines = ["| file | role | a word per | bits | digits | fields, most significant first |"]
    lines += ["|---|---|---|---|---|---|"]
    for stream in unit.streams:
        fields_of = target.fields(stream)
        width = word_width(fields_of)
        lines.append(
            f"| `{unit.file_name(stream)}` | {stream.role} | {stream.per} | {width} | "
            f"{hex_digits(width)} | {', '.join(map(_field, fields_of))} |"
        )
    return lines


def _field(field: Field) -> str:
    lanes = f" x {field.lanes} lanes" if field.lanes > 1 else ""
    return f"{field.name} {field.bits}{' signed' if field.signed else ''}{lanes}"


def configuration_table(kind: type[Configuration] = AttentionConfig) -> str:
    """Return the fields of a configuration that are chosen, in Markdown."""
    lines = ["| field | meaning | default | range |", "|---|---|---|---|"]
    for each in fields(kind):
        facts = each.metadata
        if "names" in facts:
            legal = f"one of {len(facts['names'])}"
        elif "low" in facts:
            legal = f"{facts['low']} to {facts['high']}"
        else:
            continue
        lines.append(f"| `{each.name}` | {facts['text']} | {each.default} | {legal} |")
    return "\n".join(lines) + "\n\n"


def configuration_limits(kind: type[Configuration] = AttentionConfig, prefix: str = "") -> str:
    """Return the ranges of a configuration's fields as macros of C."""
    lines = []
    for each in kind.choices():
        name, facts = f"BL2_{prefix}{each.name.upper()}", each.metadata
        lines += [f"#define {name}_LOW {facts['low']}", f"#define {name}_HIGH {facts['high']}"]
    return "\n".join(lines) + "\n"


def plain_units() -> str:
    """Return the units with ports by name, in Markdown; a stand-in in the line of its unit."""
    lines = ["| unit | in | out |", "|---|---|---|"]
    for contract in CONTRACTS.values():
        if contract.plain:
            names = ", ".join(f"`{name}`" for name in (contract.module, *contract.stand_ins))
            words = (", ".join(each.fields) for each in contract.channels)
            lines.append(f"| {names} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n\n"


def scheme_table() -> str:
    """Return the schemes, in Markdown."""
    lines = ["| scheme | A | A as odd * 2^a | nonzero values | levels | bits stored for a key |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, each in SCHEMES.items():
        shown = max(8, each.octave_levels + 3)
        values = " ".join(map(str, (*each.values[1:shown], "...", *each.values[-2:])))
        seen = values if each.half else f"2^0 to 2^{each.top_level - 1}"
        power = f"{each.odd_factor} * 2^{each.base_shift}"
        cells = (name, each.int_max, power, seen, each.levels, each.storage_bits)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n\n"


def level_table() -> str:
    """Return the value of every level, in Markdown."""
    most = max(each.levels for each in SCHEMES.values())
    lines = [f"| level | {' | '.join(map(str, range(most)))} |", "|---|" + "---|" * most]
    for name, each in SCHEMES.items():
        cells = (*map(str, each.values), *[""] * (most - each.levels))
        lines.append(f"| {name} | {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n\n"


def width_table() -> str:
    """Return the default widths of the registers by scheme, in Markdown; - where there is none."""
    names = [port.name for port in PORTS.values() if port.register]
    lines = [f"| scheme | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for scheme in SCHEMES:
        registers = AttentionConfig(scheme).registers
        bits = (str(registers[name].bits) if name in registers else "-" for name in names)
        lines.append(f"| {scheme} | {' | '.join(bits)} |")
    return "\n".join(lines) + "\n\n"


#: Of the choices, what the page of costs shows.
_SHOWN = (
    ("log2", "BitLog2_Half_17"),
    ("log2", "BitLog2_Single_16"),
    ("float32", "log2 quantizer"),
    ("exp2", "exp2"),
    ("table_bits", "log2_quantizer"),
    ("multiplier", "lane and accumulator, one function"),
    ("multiplier", "lane and accumulator, another code"),
    ("single_half", "lane and accumulator"),
    ("single_half", "output requantizer"),
    ("levels", "code register, Half"),
    ("levels", "code memory, Half"),
    ("row_max", "distance to level"),
)


def choice_table() -> str:
    """Return what the choices cost that its page shows, in Markdown."""
    return "\n".join(_kept_choices().short(_SHOWN)) + "\n\n"


def lane_sentence() -> str:
    """Return what a lane of map times v takes, by shifts and by multipliers."""
    titles = ("lane and accumulator, one function", "lane and accumulator, another code")
    groups = {group.title: group for each in _kept_choices().choices for group in each.groups}
    (shifts, same), (_, plain) = (
        [each.counts["generic"].cells for each in groups[title].alternatives] for title in titles
    )
    return (
        f"A lane and its accumulator (`BitLog2_Half_17`) take {shifts} gates; {same} with a "
        f"multiplier of the same values;\n{plain} with the multiplier of a plain 4-bit code.\n\n"
    )


def short_code_table() -> str:
    """Return accuracy, error and cost of the codes that a datapath makes, in Markdown."""
    rows = [line.strip("| ").split(" | ") for line in code_lines(_kept_choices())]
    costs = {cells[0]: cells for cells in rows}
    gates, cycles = rows[0].index("gates"), rows[0].index("cycles")
    integer: dict[str, list[dict[str, str]]] = {}
    for row in _stored("fashion.csv"):
        if (row["arithmetic"], row["w_bits"]) == ("integer", "4"):
            integer.setdefault(row["scheme"], []).append(row)
    path = _ROOT / "models" / "zoo" / "attention_error.json"
    errors = json.loads(path.read_text(encoding="utf-8"))["fashion"]
    heads = "bits of a key | top-1 % | agrees % | error of attention % | gates | cycles"
    lines = [f"| code of the map | {heads} |", "|---|" + "--:|" * 6]
    for name in SCHEMES:
        cost, error = costs[f"`{name}`"], f"{errors[name]['error_percent']:.2f}"
        cells = (f"`{name}`", cost[1], _means(integer[name]), error, cost[gates], cost[cycles])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def installed_table() -> str:
    """Return sizes of installations and processor time of README's doors, in Markdown.

    From what `scripts/measure_readme.py --json docs/measured.json` stored.
    """
    found = json.loads((_ROOT / "docs" / "measured.json").read_text(encoding="utf-8"))
    lines = ["| installed | packages | MB on disk |", "|---|--:|--:|"]
    for each in found["installed"]:
        lines.append(f"| {each['what']} | {each['packages']} | {each['megabytes']:,} |")
    lines += ["", "| as pasted | processor seconds |", "|---|--:|"]
    for door, seconds in found["doors"].items():
        lines.append(f"| {door} | {seconds:.0f} |")
    command = "scripts/measure_readme.py --json docs/measured.json"
    return "\n".join(lines) + f"\n\n(`{command}`; {found['machine']})\n\n"


def bench_table() -> str:
    """Return ratios and rates against their targets, in Markdown.

    From what `bitlog2 bench --json docs/bench.json` stored.
    """
    found = json.loads((_ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
    lines = ["| what | against | to reach | seen | |", "|---|---|--:|--:|---|"]
    for row in found["rows"]:
        if row["value"] is None:
            continue
        digits = 2 if row["value"] >= 0.005 else 4
        unit = "" if row["unit"] == "ratio" else f" {row['unit']}"
        figures = (f"{row[each]:.{0 if unit else digits}f}{unit}" for each in ("target", "value"))
        names, verdict = (row["name"], row.get("peer", "")), "" if row["met"] else "not met"
        lines.append(f"| {' | '.join((*names, *figures, verdict))} |")
    vectors = ", ".join(each for each in found["flags"] if each in _VECTOR_FLAGS)
    of = ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "numba", "torch"))
    machine = f"{found['processor']} with {vectors}; {found['cores']} cores; {of}"
    return "\n".join(lines) + f"\n\n(`bitlog2 bench --json docs/bench.json`; {machine})\n\n"


def code_table() -> str:
    """Return what a row of each code of the map costs, in Markdown."""
    return "\n".join(code_lines(_kept_choices())) + "\n\n"


def _kept_choices() -> CostTable:
    return documents.parse(CHOICES_TABLE.read_bytes(), CostTable, CHOICES_TABLE.name)


def placed_table() -> str:
    """Return the modules that were placed and kept, in Markdown."""
    table = documents.parse(PLACED_TABLE.read_bytes(), PlaceTable, PLACED_TABLE.name)
    return "\n".join(table.markdown()) + "\n\n"


#: Of a module in rows: counts that the page of hardware adds up.
_IN_ROW = ("mutants", "with_taps", "without_taps")


def mutation_table() -> str:
    """Return what was found of the mutants of each kept scheme, in Markdown."""
    tables = [
        documents.parse(kept_table(each).read_bytes(), Campaign, kept_table(each).name)
        for each in KEPT
    ]
    heads = (f"`{each.scheme}`: mutants | caught | proved | by rate | open" for each in tables)
    lines = [f"| module | {' | '.join(heads)} |", "|---|" + "--:|" * 5 * len(tables)]
    for name in dict.fromkeys(each.module for table in tables for each in table.modules):
        found = ([each for each in table.modules if each.module == name] for table in tables)
        lines.append(f"| {name} | {' | '.join(map(_mutants, found))} |")
    lines.append(f"| all | {' | '.join(_mutants(table.modules) for table in tables)} |")
    for table in tables:
        rows = [each.in_row for each in table.modules if each.in_row is not None]
        all_of, taps, alone = (sum(getattr(each, name) for each in rows) for name in _IN_ROW)
        lines.append(
            f"\n`{table.scheme}`: of {all_of:,} changes that ran inside `attention_row`, its rows "
            f"find {taps:,} with taps compared and {alone:,} by output codes alone."
        )
    return "\n".join(lines) + "\n\n"


def _mutants(found: Sequence[Findings]) -> str:
    """Return cells: mutants, caught, equivalent, told by rate, and gaps or undetermined."""
    if not found:
        return " | ".join("-" * 5)
    counts = ("mutants", "caught", "equivalent", "rate")
    total = [sum(getattr(each, name) for each in found) for name in counts]
    left = sum(each.gaps + each.undetermined for each in found)
    return " | ".join(f"{each:,}" for each in (*total, left))


#: What a default set of each scheme's rows finds of planted faults, as it was counted.
PLANTED_FAULTS = _ROOT / "docs" / "planted_faults.json"


def planted_scores() -> dict[str, tuple[PlantedFaults, ...]]:
    """Return what the default set of each scheme's rows finds of planted faults, by scheme."""
    sets = (generate(AttentionConfig(name), units=["attention_row"]) for name in SCHEMES)
    return {each.target.config.scheme: each.units[0].planted for each in sets}


def planted_table() -> str:
    """Return the stored scores of planted faults, in Markdown."""
    stored = json.loads(PLANTED_FAULTS.read_text(encoding="utf-8"))
    heads = "faults planted | found with taps | found by o alone | in softmax_row | found by codes"
    lines = [f"| scheme | {heads} |", "|---|" + "--:|" * 5]
    for scheme, found in stored.items():
        row, codes = (
            next(each for each in found if each["module"] == module)
            for module in ("attention_row", "softmax_row")
        )
        counts = (row["planted"], row["with_taps"], row["without_taps"])
        cells = (*counts, codes["planted"], codes["without_taps"])
        lines.append(f"| `{scheme}` | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n\n"


def accuracy_table(name: str = "fashion") -> str:
    """Return the accuracies of an embedded model, mean over the seeds, and what differs, Markdown.

    From what `bitlog2 report RUN --csv models/zoo/NAME.csv --pairs models/zoo/NAME_pairs.csv`
    stored; of the pairs those of integer arithmetic.
    """
    cells: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in _stored(f"{name}.csv"):
        cells.setdefault((row["w_bits"], row["scheme"], row["arithmetic"]), []).append(row)
    lines = []
    for bits in dict.fromkeys(bits for bits, *_ in cells):
        heads = (f"{each} top-1 | agrees" for each in ARITHMETICS)
        lines += [f"| W{bits}A{bits} | {' | '.join(heads)} |", "|---|" + "--:|" * 6]
        for scheme in (each for each in USUAL_SCHEMES if (bits, each, "float") in cells):
            found = (cells.get((bits, scheme, each)) for each in ARITHMETICS)
            lines.append(f"| `{scheme}` | {' | '.join(map(_means, found))} |")
        lines.append("")
    families: dict[str, list[tuple[str, str, Paired]]] = {}
    for row in _stored(f"{name}_pairs.csv"):
        if row["arithmetic"] == "integer":
            texts = {each: row[each] for each in Paired.__struct_fields__}
            paired = msgspec.convert(texts, Paired, strict=False)
            title = f"W{row['w_bits']}A{row['a_bits']}, {row['measure']}"
            families.setdefault(title, []).append((row["a"], row["b"], paired))
    lines += [f"- **{title}**: {what_differs(known)}" for title, known in families.items()]
    return "\n".join([*lines, "", ""])


def probe_table() -> str:
    """Return the accuracies of the pretrained network with a linear probe, in Markdown.

    From what `bitlog2 report RUN --csv models/zoo/probe.csv` stored.
    """
    heads = "code of the map | widths | arithmetic | calibration | images | top-1 % | agrees %"
    lines = [f"| {heads} |", "|---|---|---|---|--:|--:|--:|"]
    for row in _stored("probe.csv"):
        widths = f"W{row['w_bits']}A{row['a_bits']}"
        names = f"`{row['scheme']}` | {widths} | {row['arithmetic']} | `{row['calibration']}`"
        figures = (f"{float(row[each]):.2f}" for each in ("top1", "agrees_unquantized"))
        lines.append(f"| {names} | {row['images']} | {' | '.join(figures)} |")
    return "\n".join([*lines, "", ""])


def attention_error_table() -> str:
    """Return what each code makes of the attention output, in Markdown.

    From what `scripts/attention_error.py --json models/zoo/attention_error.json` stored.
    """
    path = _ROOT / "models" / "zoo" / "attention_error.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    digits = {"error": 2, "zeros": 1, "mass": 1}
    columns = [(each, name) for name in digits for each in found]
    heads = (f"{each.split('_patch')[0]}: {name} %" for each, name in columns)
    lines = [
        f"| code of the map | bits | {' | '.join(heads)} |",
        "|---|--:|" + "--:|" * len(columns),
    ]
    for code in (*CODED, *NORMALIZED, *CONTROLS):
        figures = (
            f"{found[each][code][f'{name}_percent']:.{digits[name]}f}" for each, name in columns
        )
        lines.append(f"| `{code}` | {map_bits(code, 4) or '-'} | {' | '.join(figures)} |")
    return "\n".join([*lines, "", ""])


def _stored(file: str) -> list[dict[str, str]]:
    text = (_ROOT / "models" / "zoo" / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _means(rows: list[dict[str, str]] | None) -> str:
    """Return cells: top-1 with its least and most over the seeds, and the mean agreement."""
    if rows is None:
        return "- | -"
    top1, agrees = ([float(row[n]) for row in rows] for n in ("top1", "agrees_unquantized"))
    return f"{fmean(top1):.2f} ({min(top1):.2f} to {max(top1):.2f}) | {fmean(agrees):.2f}"


def threshold_table() -> str:
    """Return the largest d of every level of the RowMax schemes by F, in Markdown."""
    schemes = [each for each in SCHEMES.values() if each.row_max]
    most = max(each.top_level for each in schemes)
    lines = [f"| scheme | F | {' | '.join(f'level {each}' for each in range(most, 0, -1))} |"]
    lines += ["|---|---|" + "---|" * most]
    choice = next(each for each in AttentionConfig.choices() if each.name == "fraction_bits")
    for each in schemes:
        for f in range(choice.metadata["low"], choice.metadata["high"] + 1):
            row = map(str, thresholds_of(each, f))
            lines.append(f"| {each.name} | {f} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n\n"


def _of_schemes(line: Callable[[str, int, Scheme], str]) -> str:
    """Return a line per scheme, from its name in C, its number and the scheme."""
    names = (f"BL2_{name.removeprefix('BitLog2_').upper()}" for name in SCHEMES)
    named = zip(names, SCHEMES.values(), strict=True)
    return "".join(f"{line(name, i, each)}\n" for i, (name, each) in enumerate(named))


def _c_facts(name: str, number: int, each: Scheme) -> str:
    ladder = (each.octave_levels, each.top_level, each.odd_factor, each.base_shift)
    return f"        {{{', '.join(map(str, (int(each.row_max), *ladder)))}}}, /* {name} */"


def _part(
    path: str, name: str, made: Callable[[], str]
) -> tuple[Path, str, str, Callable[[], str]]:
    """Return a part of a page in Markdown, between blank lines."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    return _ROOT / path, begin, end, lambda: "\n" + made()


#: A function of the C model with its comment: `/** comment */`, its signature, its body.
_C_FUNCTION = re.compile(r"^/\*\*(.*?\*/\n\w[^;{}]*\))\n\{", re.DOTALL | re.MULTILINE)


def c_prototypes() -> str:
    """Return the functions of the C model that are meant for others, as its header has them."""
    source = (_C / "bitlog2.c").read_text(encoding="utf-8")
    return "".join(f"\n/*{found};\n" for found in _C_FUNCTION.findall(source)) + "\n"


#: Each part: its page, the marks before and after it, and what makes it.
PARTS: dict[str, tuple[Path, str, str, Callable[[], str]]] = {
    "units": _part("golden/FORMAT.md", "units", unit_tables),
    "plain units": _part("golden/README.md", "plain units", plain_units),
    "configuration": _part("sim/SPEC.md", "configuration", configuration_table),
    "network configuration": _part(
        "sim/SPEC.md", "network configuration", partial(configuration_table, NetworkConfig)
    ),
    "schemes": _part("sim/SPEC.md", "schemes", scheme_table),
    "levels": _part("sim/SPEC.md", "levels", level_table),
    "thresholds": _part("sim/SPEC.md", "thresholds", threshold_table),
    "choices": _part("docs/cost.md", "choices", choice_table),
    "codes": _part("docs/codes.md", "codes", code_table),
    "mutants": _part("docs/hardware.md", "mutants", mutation_table),
    "planted faults": _part("docs/hardware.md", "planted faults", planted_table),
    "placed": _part("docs/cost.md", "placed", placed_table),
    "fashion": _part("docs/accuracy.md", "fashion", accuracy_table),
    "probe": _part("docs/calibration.md", "probe", probe_table),
    "attention errors": _part("docs/codes.md", "attention errors", attention_error_table),
    "lane": _part("README.md", "lane", lane_sentence),
    "codes in short": _part("README.md", "codes in short", short_code_table),
    "bench": _part("docs/development.md", "bench", bench_table),
    "installed": _part("README.md", "installed", installed_table),
    "widths": _part("sim/SPEC.md", "widths", width_table),
    "limits": (
        _C / "bitlog2.h",
        "/* limits of a configuration: begin */\n",
        "/* limits of a configuration: end */",
        configuration_limits,
    ),
    "network limits": (
        _C / "bitlog2.h",
        "/* limits of a network: begin */\n",
        "/* limits of a network: end */",
        partial(configuration_limits, NetworkConfig, "NETWORK_"),
    ),
    "functions": (
        _C / "bitlog2.h",
        "/* functions, of bitlog2.c: begin */\n",
        "/* functions: end */",
        c_prototypes,
    ),
    "schemes of C": (
        _C / "bitlog2.h",
        "    /* schemes: begin */\n",
        "    /* schemes: end */",
        lambda: _of_schemes(lambda name, number, _: f"    {name} = {number},"),
    ),
    "facts of schemes": (
        _C / "bitlog2.c",
        "        /* schemes: begin */\n",
        "        /* schemes: end */",
        lambda: _of_schemes(_c_facts),
    ),
    "schemes of DPI-C": (
        _C / "bitlog2_dpi.sv",
        "    // schemes: begin\n",
        "    // schemes: end",
        lambda: _of_schemes(lambda name, number, _: f"    {name} = {number},"),
    ),
}


def page_with_part(name: str, page: str) -> str:
    """Return the page with the part between its two marks made anew.

    Raises:
        ValueError: the page lacks a mark.
    """
    _, begin_mark, end_mark, made = PARTS[name]
    before, begin, rest = page.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"page must hold the marks {begin_mark.strip()} and {end_mark}")
    return f"{before}{begin}{made()}{end}{after}"


def _manifest_schema(kind: type[documents.Document]) -> str:
    title = f"{(kind.__doc__ or '').rstrip('.')}, schema version 2"
    found = documents.schema(kind, title)
    configuration = found["$defs"][kind.__name__]["properties"]["configuration"]
    configuration["additionalProperties"] = False  # msgspec gives that of any dict
    return json.dumps(found, indent=1) + "\n"


def _result_schema() -> str:
    return json.dumps(sealed_schema(Result, "Result of an evaluation by BitLog2"), indent=2) + "\n"


#: Each published schema, and what makes it.
SCHEMAS: dict[Path, Callable[[], str]] = {
    **{
        _ROOT / "golden/package" / kind.schema_file: partial(_manifest_schema, kind)
        for kind in KINDS.values()
    },
    _ROOT / "models/runs/result.schema.json": _result_schema,
}
