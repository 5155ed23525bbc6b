"""What claims are made about: a configuration, and the RTL of a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import Scheme

from .netlist import Netlist, export

__all__ = ["RTL", "Setting"]

#: The reference RTL.
RTL = Path(__file__).resolve().parent.parent / "rtl"


@dataclass(frozen=True)
class Setting:
    """A configuration, and where the RTL lies.

    Attributes:
        config: the hardware; its scheme, widths and table.
        rtl: folder of the modules.
    """

    config: AttentionConfig
    rtl: Path = RTL
    _netlists: dict[str, Netlist] = field(default_factory=dict, compare=False, repr=False)

    @property
    def scheme(self) -> Scheme:
        """The scheme of the configuration."""
        return self.config.code

    def netlist(self, module: str) -> Netlist:
        """Return a module as Yosys exports it, with the parameters of the package."""
        if module not in self._netlists:
            self._netlists[module] = self.netlists(module, [{}])[0]
        return self._netlists[module]

    def netlists(self, module: str, variants: Sequence[Mapping[str, int]]) -> list[Netlist]:
        """Return a module with each of several sets of parameters."""
        return export(self.config, self.rtl, module, variants)
