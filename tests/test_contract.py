"""The port contract is what the page says and what the reference RTL has."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import bitlog2.golden
from bitlog2.golden.simulation.contract import (
    CONTRACTS,
    DEVICES,
    Channel,
    Contract,
    devices_within,
)
from bitlog2.golden.testbench import reference_files
from bitlog2.sim import SCHEMES, AttentionConfig

PAGE = Path(bitlog2.golden.__file__).with_name("README.md").read_text(encoding="utf-8")
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in reference_files()}
#: Outputs that are there for the module around it.
INNER = {"softmax_row": ("row_max", "row_sum")}


def ports_of(source: str) -> dict[str, str]:
    """Port -> input or output, of the module of a source file."""
    ports = source[source.index("\n) (") : source.index("\n);")]
    found = re.findall(r"^ *(input|output) +logic\b[^/\n]*?(\w+),?$", ports, re.MULTILINE)
    return {name: direction for direction, name in found}


def wanted_ports(contract: Contract) -> dict[str, str]:
    """The same, by the contract."""
    (given, *_), (made, *_) = contract.inputs, contract.outputs
    if contract.plain:
        return dict.fromkeys(given.fields, "input") | dict.fromkeys(made.fields, "output")
    ports = dict.fromkeys(("clk", "rst_n", *contract.params), "input")
    for channels, forward, back in (
        (contract.inputs, "input", "output"),
        (contract.outputs, "output", "input"),
    ):
        for channel in channels:
            signals = ["tvalid", "tdata"]
            signals += ["tkeep"] if channel.lanes else []
            signals += ["tlast"] if channel.framed else []
            ports |= {f"{channel.prefix}_{signal}": forward for signal in signals}
            if channel.ready:
                ports[f"{channel.prefix}_tready"] = back
    return ports


def agrees(module: str, source: str) -> bool:
    """Whether a source has the ports of the contract, and those of the module around it alone."""
    inner = dict.fromkeys(INNER.get(module, ()), "output")
    return ports_of(source) == wanted_ports(DEVICES[module]) | inner


@pytest.mark.parametrize("module", DEVICES)
def test_contract_has_the_ports_of_the_reference(module: str):
    assert agrees(module, SOURCES[module])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_contract_of_a_scheme_has_the_fields_of_its_datapath_alone(scheme: str):
    config = AttentionConfig(scheme)
    devices = devices_within(config)
    assert {each.unit for each in devices.values()} == set(config.units)
    assert [name for name in DEVICES if name in devices] == list(devices)
    fields = {
        field
        for each in devices.values()
        for channel in each.channels
        for field in (*channel.fields, *each.params)
    }
    assert fields <= set(config.ports)
    assert all(wanted_ports(devices[name]) == wanted_ports(DEVICES[name]) for name in devices)


def test_contract_of_row_max_has_its_taps():
    keys, rows = devices_within(AttentionConfig("RowMax_16"))["attention_row"].outputs[1:]
    assert keys.fields == ("t", "d", "level", "nibble", "flag")
    assert rows.fields == ("row_max", "weight_sum", "m2_row", "n2_row", "acc")


@pytest.mark.parametrize(
    ("port", "other"),
    [
        (r"m_axis_tlast,", "m_axis_tlost,"),
        (r"output( +logic +m_axis_tvalid)", r"input \1"),
        (r" *input +logic +\[ *M_WIDTH-1:0\] m,\n", ""),
        (r"(m_axis_tvalid,\n)", r"\1    output logic m_axis_tuser,\n"),
    ],
)
def test_contract_broken_by_a_port_is_noticed(port: str, other: str):
    source, changes = re.subn(port, other, SOURCES["softmax_row"], count=1)
    assert changes == 1
    assert not agrees("softmax_row", source)


def rows() -> dict[str, list[str]]:
    """The page's table rows: module -> the other cells."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for name in re.findall(r"`(\w+)`", cells[0]) if cells else ():
            if name in DEVICES and name not in found:
                found[name] = cells[1:]
    return found


def said(channel: Channel, prefix: bool) -> str:
    """A channel as the page says it, without lanes and channels."""
    words = ", ".join(channel.fields)
    return f"`{channel.prefix}`: {words}" if prefix else words


@pytest.mark.parametrize("module", DEVICES)
def test_contract_is_what_the_page_says(module: str):
    contract, cells = DEVICES[module], rows()[module]
    plain = [re.sub(r"lanes of | of D channels", "", cell) for cell in cells]
    if contract.plain:
        assert plain == [said(contract.inputs[0], False), said(contract.outputs[0], False)]
        return
    held, given, made = plain
    assert held == ", ".join(contract.params)
    for channel in contract.inputs:
        if channel.stream == "stimulus" and module == "attention_row" and channel.lanes:
            assert f"`{channel.prefix}`" in given  # "as above"
        elif channel.lanes:
            assert f"{said(channel, True)}; tkeep, tlast" in given
        else:
            framed = "; tlast" if channel.framed else ", a beat a row"
            assert given == f"{said(channel, False)}{framed}"
    for channel in contract.outputs:
        if channel.ready:
            assert said(channel, True) in made
            assert ("tlast" in made) or not channel.framed
        else:
            assert f"`{channel.prefix}`" in PAGE


def test_contract_of_a_page_that_differs_is_noticed():
    other = replace(CONTRACTS["shift_add"].inputs[0], fields=("flag", "nibble", "v"))
    assert said(other, False) not in rows()["shift_add"][1]
