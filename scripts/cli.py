"""`bitlog2`: the one console command; a command's module is imported when that command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from bitlog2 import SPEC_VERSION, __version__

from .help_page import HELP_FLAGS, description, entry, section

if TYPE_CHECKING:
    from cyclopts import App

#: Command -> its module, and its line in the help.
COMMANDS = {
    "evaluate": (
        "evaluate:app",
        "accuracy of a quantized model, registers checked against the simulator",
    ),
    "status": ("runs:status_app", "how far a run is"),
    "resume": ("runs:resume_app", "go on with a run that was stopped"),
    "report": ("runs:report_app", "finished runs as one HTML page, or as a LaTeX table"),
    "compare": (
        "runs:compare_app",
        "which images two runs see differently, and where their registers part",
    ),
    "sweep": ("sweep:app", "accuracy, error and cost over choices of the hardware"),
    "estimate": ("estimate:app", "cycles, images per second and memory of a model's attention"),
    "export": ("export:app", "parameters and integer codes of a model's layers, .mem and .npz"),
    "lower": ("lower:app", "a calibrated model as a program of integers, from pixels to logits"),
    "run": ("run:app", "logits of a lowered program on images, in integers, without torch"),
    "replay": ("replay:app", "a register of the network that differed, computed again"),
    "list": ("listing:app", "names of models, schemes, units and configurations"),
    "selftest": ("selftest:app", "compare specification and kernels with known answers"),
    "bench": ("bench:app", "speed against named peers, as ratios"),
}
#: The same of `bitlog2 golden`.
GOLDEN = {
    "emit": ("golden_sets:emit_app", "make a vector set"),
    "plan": ("golden_sets:plan_app", "show what a vector set will hold, without writing it"),
    "run": ("golden_sets:run_app", "play the device: stimulus in, result files out"),
    "verify": (
        "golden_sets:verify_app",
        "check a vector set, and the outputs of a device against it",
    ),
    "cosim": ("golden_cosim:app", "run vectors against a device in a simulator"),
    "coverage": (
        "golden_assurance:coverage_app",
        "lines and toggles of the reference RTL that a vector set reaches",
    ),
    "mutation": (
        "golden_assurance:mutation_app",
        "change the reference RTL in hundreds of places and see which changes a set finds",
    ),
    "proof": (
        "golden_assurance:proof_app",
        "prove the specification's claims, and the reference RTL against it",
    ),
    "cost": ("golden_assurance:cost_app", "gates, LUTs and logic levels of each choice"),
}
_EXAMPLES = """examples:
  bitlog2 selftest
  bitlog2 evaluate --model digits --scheme BitLog2_Half_17 --check all
  bitlog2 golden emit --out build/vectors

exit status: 0 all that was asked was done and agreed, 1 something differed, 2 wrong usage"""
_GOLDEN_EXAMPLES = """example, the simulator playing the device:
  bitlog2 golden emit --out vectors
  bitlog2 golden run vectors --out results
  bitlog2 golden verify vectors --actual attention_row=results/attention_row.expected.mem

exit status: 0 all that was asked was done and agreed, 1 something differed, 2 wrong usage"""

_ABOUT = (
    "Bit-exact integer attention for 4-bit vision transformers: simulator, golden vectors, "
    "checked PyTorch models."
)
_GOLDEN_ABOUT = "Golden vectors for RTL: make a set, play the device, verify."
_VERSION = f"bitlog2 {__version__}, specification version {SPEC_VERSION}"
#: The options that `app` adds to the commands.
_OPTIONS = {
    ", ".join(HELP_FLAGS): "Print the help page.",
    "--install-completion": "Install shell completion for this application.",
    "--version": "Display application version.",
}


def help_page() -> str:
    """Return what `app` prints as its help, without the time that the import of cyclopts takes."""
    commands = {name: text for name, (_, text) in COMMANDS.items()}
    entries = commands | {"golden": _GOLDEN_ABOUT} | _OPTIONS
    lines = section("Commands", (entry(*each) for each in entries.items()))
    return "\n".join(["bitlog2 COMMAND", description(_ABOUT), lines, "", _EXAMPLES])


@cache
def app() -> App:
    """Return the command line."""
    from cyclopts import App

    from .terminal import STYLE, PlainHelp

    whole = App(
        name="bitlog2",
        help=_ABOUT,
        version=_VERSION,
        help_formatter=PlainHelp(_EXAMPLES),
        **STYLE,
    )
    golden = App(
        name="golden",
        sort_key=len(COMMANDS),
        help=_GOLDEN_ABOUT,
        help_formatter=PlainHelp(_GOLDEN_EXAMPLES),
    )
    for parent, commands in ((whole, COMMANDS), (golden, GOLDEN)):
        for place, (name, (where, text)) in enumerate(commands.items()):
            parent.command(f"{__package__}.{where}", name=name, help=text, sort_key=place)
    whole.command(golden)
    whole.register_install_completion_command(add_to_startup=False)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words in ([], ["golden"]):
        known = ", ".join(GOLDEN if words else (*COMMANDS, "golden"))
        print(
            f"{' '.join(('bitlog2', *words))}: error: COMMAND must be one of {known}",
            file=sys.stderr,
        )
        return 2
    if len(words) == 1 and words[0] in ("--version", *HELP_FLAGS):
        print(_VERSION if words == ["--version"] else help_page())
        return 0
    from .terminal import run

    return run(app(), "bitlog2", words)


if __name__ == "__main__":
    sys.exit(main())
