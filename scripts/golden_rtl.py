"""The commands of `bitlog2 golden` that need RTL tools: the extra `[rtl]`."""

import argparse
from collections.abc import Callable

from .golden_cosim import COSIM_EXAMPLE, add_cosim_options
from .golden_cost import COST_EXAMPLE, add_cost_options
from .golden_coverage import COVERAGE_EXAMPLE, add_coverage_options
from .golden_mutation import MUTATION_EXAMPLE, add_mutation_options
from .golden_proof import PROOF_EXAMPLE, add_proof_options

#: Name, what it does, examples, what adds its options.
RTL_COMMANDS: tuple[tuple[str, str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("cosim", "run vectors against a device in a simulator", COSIM_EXAMPLE, add_cosim_options),
    (
        "coverage",
        "lines and toggles of the reference RTL that a vector set reaches",
        COVERAGE_EXAMPLE,
        add_coverage_options,
    ),
    (
        "mutation",
        "change the reference RTL in hundreds of places and see which changes a set finds",
        MUTATION_EXAMPLE,
        add_mutation_options,
    ),
    (
        "proof",
        "prove the specification's claims, and the reference RTL against it",
        PROOF_EXAMPLE,
        add_proof_options,
    ),
    ("cost", "gates, LUTs and logic levels of each choice", COST_EXAMPLE, add_cost_options),
)
