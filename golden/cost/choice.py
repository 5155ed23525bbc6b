"""What is compared: alternatives of one thing, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitlog2.sim import AttentionConfig

from ..target import Target

__all__ = ["Alternative", "Choice", "Group"]


@dataclass(frozen=True)
class Alternative:
    """One module, as it is built.

    Attributes:
        name: what it is called in the table.
        top: the module, of `golden/rtl` or `golden/cost/sv`.
        config: fields of `AttentionConfig` that are not the default.
        parameters: parameters of the module that are not the package's.
        remark: what the counts do not show, in a few words.
    """

    name: str
    top: str
    config: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)
    remark: str = ""

    @property
    def target(self) -> Target:
        """The configuration that the package is made of."""
        return Target.of(AttentionConfig(**self.config))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as they stand in JSON."""
        return {
            "name": self.name,
            "top": self.top,
            "configuration": dict(self.config),
            "parameters": dict(self.parameters),
            "remark": self.remark,
        }


@dataclass(frozen=True)
class Group:
    """Alternatives whose costs are compared; the first is the one that ratios refer to.

    Attributes:
        title: what they are alternatives of.
        same: the test that shows that all compute one function; empty where they do not.
    """

    title: str
    alternatives: tuple[Alternative, ...]
    same: str = ""


@dataclass(frozen=True)
class Choice:
    """A choice of the design, in groups.

    Attributes:
        name: the name for `--choice`.
        title: the choice in words.
        note: what must be known to read the figures.
    """

    name: str
    title: str
    note: str
    groups: tuple[Group, ...]
