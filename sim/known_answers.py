"""The known answers that ship with the package, made from the specification."""

import json
import random
from dataclasses import asdict
from typing import Any

from bitlog2 import SPEC_VERSION

from . import spec
from .config import LayerParams, config_from_mapping
from .scheme import SCHEMES
from .units.distance_quantizer import thresholds_of

#: Keys of each row, its mask and its bias.
ROWS = ((1, False, False), (2, False, True), (9, True, True), (23, True, False), (40, True, True))
SIX_BIT = {"q_bits": 6, "k_bits": 6, "v_bits": 6, "o_bits": 6, "fraction_bits": 4, "table_bits": 12}


def known_answers() -> dict[str, Any]:
    """Return the known answers: rows with every register, and points at thresholds and ties.

    Each family draws its rows from a generator of its own: a new scheme leaves the others' answers.
    """
    quotients = [name for name, scheme in SCHEMES.items() if not scheme.row_max]
    relative = [name for name, scheme in SCHEMES.items() if scheme.row_max]
    return {
        "spec_version": SPEC_VERSION,
        "rows": _rows(quotients, 20240517) + _rows(relative, 20261129),
        "score_requantizer": [_score_points(1, 1), _score_points(3, 2), _score_points(65535, 4)],
        "exp2": [_exp2_points("default", {}), _exp2_points("narrow", {"table_bits": 7})],
        "log2_quantizer": [_log2_points(name) for name in quotients],
        "distance_quantizer": [
            _distance_points(name, bits) for name in relative for bits in (3, 5)
        ],
        "row_multiplier": [_multiplier_points(1, 0), _multiplier_points(43691, 16)],
        "output_requantizer": [_output_points(1, 1, 7), _output_points(43691, 23, 0)],
    }


def _rows(schemes: list[str], seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = [
        _row(f"{name}/{keys} keys", {"scheme": name}, rng, keys, masked, bias)
        for name in schemes
        for keys, masked, bias in ROWS
    ]
    rows += [
        _row(f"{name}/6 bit", {"scheme": name} | SIX_BIT, rng, 12, True, True) for name in schemes
    ]
    return rows


def _row(
    name: str, fields: dict[str, Any], rng: random.Random, keys: int, mask: bool, biased: bool
) -> dict[str, Any]:
    config = config_from_mapping(fields)
    top = (1 << config.q_bits) - 1
    zeros = (top // 2 + i for i in range(4))
    n, n2 = 2 * config.q_bits + 6, 31
    if config.code.half:
        n2 = 15 if config.code.row_max else 25
    params = LayerParams(47274, n, 43691, n2, *zeros)
    q = [rng.randint(0, top) for _ in range(4)]
    k = [[rng.randint(0, top) for _ in range(4)] for _ in range(keys)]
    v = [[rng.randint(0, top) for _ in range(2)] for _ in range(keys)]
    masked = [int(mask and j % 4 == 2) for j in range(keys)]
    bias = [rng.randint(-60, 60) if biased else 0 for _ in range(keys)]
    trace = spec.attention_row(q, k, v, params, config, [bool(x) for x in masked], bias)
    return {
        "name": name,
        "config": fields,
        "params": params.as_dict(),
        "q": q,
        "k": k,
        "v": v,
        "masked": masked,
        "bias": bias,
        "registers": {name: x for name, x in asdict(trace).items() if x is not None},
    }


def _score_points(m: int, n: int) -> dict[str, Any]:
    config = config_from_mapping({})
    scores = [-28800, -28799, -7, -6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6, 7, 28799, 28800]
    biases = [0, config.t_min, 1, -1, config.t_max]
    score, bias = [s for s in scores for _ in biases], biases * len(scores)
    t = [spec.score_requantizer(s, m, n, b, config) for s, b in zip(score, bias, strict=True)]
    return {
        "name": f"{m} >> {n}",
        "config": {},
        "m": m,
        "n": n,
        "score": score,
        "bias": bias,
        "t": t,
    }


def _exp2_points(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    config = config_from_mapping(fields)
    edge = (config.table_bits + 1) << config.fraction_bits
    d = [*range(70), *range(edge - 34, edge + 34), config.d_max - 1, config.d_max, 0, 5]
    masked = [0] * (len(d) - 2) + [1, 1]
    e = [spec.exp2(a, bool(b), config) for a, b in zip(d, masked, strict=True)]
    return {"name": name, "config": fields, "d": d, "masked": masked, "e": e}


def _log2_points(name: str) -> dict[str, Any]:
    """At each threshold T on p: the s at which e * A / s passes T, and its neighbours."""
    scheme = SCHEMES[name]
    points = {(0, 65536), (65536, 65536), (65536, 65537), (65535, 65536), (65536, 1 << 26)}
    for value in scheme.values[1:]:
        for e in (65536, 40503):
            s = e * scheme.int_max // value
            points |= {(e, s + step) for step in (-1, 0, 1) if max(e, 65536) <= s + step <= 1 << 26}
    ordered = sorted(points)
    level = [spec.log2_quantizer(e, s, scheme) for e, s in ordered]
    return {
        "name": name,
        "config": {"scheme": name},
        "e": [e for e, _ in ordered],
        "s": [s for _, s in ordered],
        "level": level,
    }


def _distance_points(name: str, fraction_bits: int) -> dict[str, Any]:
    """At each threshold, and next to it; the largest distance, and masked keys."""
    fields = {"scheme": name, "fraction_bits": fraction_bits}
    config = config_from_mapping(fields)
    edges = thresholds_of(config.code, fraction_bits)
    d = [*sorted({max(edge + step, 0) for edge in edges for step in (-1, 0, 1)}), config.d_max]
    d, masked = [*d, 0, 5], [0] * len(d) + [1, 1]
    level = [spec.distance_quantizer(a, bool(b), config) for a, b in zip(d, masked, strict=True)]
    name = f"{name}, F = {fraction_bits}"
    return {"name": name, "config": fields, "d": d, "masked": masked, "level": level}


def _multiplier_points(m2: int, n2: int) -> dict[str, Any]:
    """At powers of two, next to them, between, and at the largest weight sum."""
    fields = {"scheme": "RowMax_16"}
    weights = {1 << 20, 3 << 11, 5 << 10, 1023 << 10, (1 << 20) - 1}
    weights |= {(1 << k) + step for k in range(10, 20) for step in (0, 1, 341)}
    weight_sum = sorted(weights)
    rows = [spec.row_multiplier(w, m2, n2) for w in weight_sum]
    return {
        "name": f"{m2} >> {n2}",
        "config": fields,
        "m2": m2,
        "n2": n2,
        "weight_sum": weight_sum,
        "m2_row": [m2_row for m2_row, _ in rows],
        "n2_row": [n2_row for _, n2_row in rows],
    }


def _output_points(m2: int, n2: int, zo: int) -> dict[str, Any]:
    config = config_from_mapping({})
    acc = [-5760, -5759, -1000, -97, -96, -17, -7, -6, -5, -3, -2, -1, 0]
    acc += [-x for x in reversed(acc[:-1])]
    o = [spec.output_requantizer(a, m2, n2, zo, config) for a in acc]
    name = f"{m2} >> {n2} + {zo}"
    return {"name": name, "config": {}, "m2": m2, "n2": n2, "zo": zo, "acc": acc, "o": o}


def rendered() -> str:
    """Return the known answers as JSON, a line per answer."""
    text = json.dumps(known_answers(), separators=(",", ":"))
    return text.replace('},{"name"', '},\n{"name"') + "\n"
