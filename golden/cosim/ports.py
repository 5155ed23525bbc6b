"""The ports of a device, held to the contract before anything is driven."""

from typing import Any

from ..contract import Channel
from ..fields import Field
from ..target import Target
from .channels import Device, Shape, shape_of

__all__ = ["DeviceError", "check_params", "check_plain", "lanes_of", "present"]


class DeviceError(ValueError):
    """A device has not the ports that the contract asks for; the message names them."""


def present(dut: Any, device: Device) -> list[Channel]:
    """Return the output channels that a device has.

    Raises:
        DeviceError: one that it must have is missing.
    """
    found = []
    for channel in device.contract.outputs:
        if hasattr(dut, f"{channel.prefix}_tvalid"):
            found.append(channel)
        elif not channel.optional:
            raise DeviceError(f"{device.name} must have port {channel.prefix}_tvalid")
    return found


def lanes_of(dut: Any, device: Device, channel: Channel, target: Target) -> int:
    """Return the words a beat of a channel, its ports checked.

    Raises:
        DeviceError: a port is missing or has another width.
    """
    shape, prefix = shape_of(device, channel, target), channel.prefix
    names = ["tvalid", "tdata", *(["tready"] if channel.ready else [])]
    names += ["tlast"] if channel.framed else []
    for name in names:
        _must_have(dut, device, f"{prefix}_{name}")
    bits = len(getattr(dut, f"{prefix}_tdata"))
    if not channel.lanes:
        _must_be(device, f"{prefix}_tdata", bits, shape.width)
        return 1
    if bits % shape.width:
        words = " + ".join(f"{field.name} {field.width}" for field in shape.fields)
        raise DeviceError(
            f"{prefix}_tdata of {device.name} must have lanes of {shape.width} bits ({words}), "
            f"got {bits} bits"
        )
    lanes = bits // shape.width
    if lanes > 1 or hasattr(dut, f"{prefix}_tkeep"):
        _must_have(dut, device, f"{prefix}_tkeep")
        _must_be(device, f"{prefix}_tkeep", len(getattr(dut, f"{prefix}_tkeep")), lanes)
    return lanes


def check_params(dut: Any, device: Device, target: Target) -> None:
    """Check the ports of the layer's parameters.

    Raises:
        DeviceError: one is missing or has another width.
    """
    if device.contract.params:
        fields = next(s for s in device.unit.streams if s.name == "params").fields(target)
        _check_fields(dut, device, fields)


def check_plain(dut: Any, device: Device, target: Target) -> tuple[Shape, Shape]:
    """Return the inputs and the outputs of a device with plain ports.

    Raises:
        DeviceError: a port is missing or has another width.
    """
    shapes = [
        shape_of(device, each, target)
        for each in (device.contract.inputs[0], device.contract.outputs[0])
    ]
    for shape in shapes:
        _check_fields(dut, device, shape.fields)
    return shapes[0], shapes[1]


def _check_fields(dut: Any, device: Device, fields: tuple[Field, ...]) -> None:
    for field in fields:
        _must_have(dut, device, field.name)
        _must_be(device, field.name, len(getattr(dut, field.name)), field.width)


def _must_have(dut: Any, device: Device, name: str) -> None:
    if not hasattr(dut, name):
        raise DeviceError(f"{device.name} must have port {name}")


def _must_be(device: Device, name: str, bits: int, width: int) -> None:
    if bits != width:
        raise DeviceError(f"{name} of {device.name} must have {width} bits, got {bits}")
