"""Section 10 of the specification page against the simulator: every table and number on it."""

import re

import pytest
from test_spec_page import PAGE, cells, table

from bitlog2.sim.network import NETWORK, NetworkConfig

requirement = pytest.mark.requirement
SECTION = PAGE[PAGE.index("## 10. The network") :]


def bounds(config):
    """The bounds of the page by register, its formulas evaluated."""
    names = config.as_dict() | {"C": config.max_channels, "K": config.max_inputs}
    names |= {"N": config.max_tokens, "T": config.largest_term, "D": (1 << config.stream_bits) - 1}
    names |= {"c": config.code_bits, "max": max, "floor": lambda x: x // 1}
    names["k"] = (config.registers["variance"].bound.bit_length() - 1) // 2 - config.root_bits + 1
    found = {}
    for row in table("network register", "bound"):
        formula, _, rest = row["bound"].partition("; ")
        formula = formula.split(" (and")[0].replace("^", "**").replace("/", "//")
        if "BL2-NORM-06" in formula:
            formula = str(config.registers["z"].bound)
        if "residual_product" in formula:
            names["residual_product"] = names["linear_product"]
        bound = eval(formula, {"__builtins__": {}}, names)
        same = re.findall(r"\w+_\w+", rest)
        for name in (row["network register"], *same):
            found[name] = (bound, row["signed"] == "yes", int(row["default bits"]))
            names[name] = bound
    return found


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(),
        NetworkConfig(max_channels=77, stream_bits=11, root_bits=13, z_fraction_bits=3, max_n=0),
        NetworkConfig(outer_bits=3, a_bits=5, w_bits=6, m_bits=9, gain_bits=11, mean_bits=9),
    ],
)
@requirement("BL2-NET-04")
def test_network_page_width_formulas(config):
    shown = bounds(config)
    assert set(shown) == set(config.registers)
    for name, register in config.registers.items():
        assert shown[name][:2] == (register.bound, register.signed), name


@requirement("BL2-NET-04")
def test_network_page_default_bits():
    registers = NetworkConfig().registers
    shown = {name: bits for name, (_, _, bits) in bounds(NetworkConfig()).items()}
    assert shown == {name: register.bits for name, register in registers.items()}


@requirement("BL2-NET-01")
def test_network_page_has_a_section_per_unit():
    """Of the layer norm one for each of its four."""
    shown = re.findall(r"^### Unit (\d+), (.*)$", SECTION, re.MULTILINE)
    named = {"activation": "activation", "norm_sums": "norm sums"}
    assert shown == [
        (str(unit.number), named.get(name, name.replace("_", " ")))
        for name, unit in NETWORK.items()
    ]


@requirement("BL2-NET-03")
def test_network_page_names_every_choice():
    rows = SECTION.partition("<!-- network configuration: begin -->")[2].splitlines()
    shown = {}
    for line in rows[4:]:
        if not line.startswith("|"):
            break
        name, _, default, limits = cells(line)
        shown[name] = (int(default), *map(int, limits.split(" to ")))
    assert shown == {
        each.name: (each.default, each.metadata["low"], each.metadata["high"])
        for each in NetworkConfig.choices()
    }


def test_network_page_numbers_of_the_worked_token():
    """The numbers by hand in the text are those of `test_layer_norm_worked_by_hand`."""
    for text in (
        "S = 6, Q = 84, V = 4 \\* 84 - 36 + 1 = 301, lod 8, k = 4 - 15 = -11",
        "u = 301 << 22 = 1262485504, root = 35531 (35531^2 = 1262451961, 35532^2 = 1262523024)",
        "r = 2147483648 div 35531 = 60439",
        "6 \\* 60439 + 512 >> 10 = 354, and z = 354 -1535 1298 -118",
        "32768, 62075699, 23; -32768, 117440512, 24; 32768, 194615706, 25; 0, 8, 0",
    ):
        assert text in " ".join(SECTION.split())
    assert (301 << 22, 35531**2, 35532**2, 2147483648 // 35531) == (
        1262485504, 1262451961, 1262523024, 60439,
    )  # fmt: skip
    assert (6 * 60439 + 512) >> 10 == 354
