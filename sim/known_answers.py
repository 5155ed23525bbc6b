"""The known answers that ship with the package, made from the specification."""

import json
import random
from dataclasses import asdict
from typing import Any

from bitlog2 import SPEC_VERSION

from . import spec
from .config import LayerParams, config_from_mapping
from .scheme import SCHEMES

#: Keys of each row, its mask and its bias.
ROWS = ((1, False, False), (2, False, True), (9, True, True), (23, True, False), (40, True, True))
SIX_BIT = {"q_bits": 6, "k_bits": 6, "v_bits": 6, "o_bits": 6, "fraction_bits": 4, "table_bits": 12}


def known_answers() -> dict[str, Any]:
    """Return the known answers: rows with every register, and points at thresholds and ties."""
    rng = random.Random(20240517)
    rows = [
        _row(f"{name}/{keys} keys", {"scheme": name}, rng, keys, masked, bias)
        for name in SCHEMES
        for keys, masked, bias in ROWS
    ]
    rows += [
        _row(f"{name}/6 bit", {"scheme": name} | SIX_BIT, rng, 12, True, True) for name in SCHEMES
    ]
    return {
        "spec_version": SPEC_VERSION,
        "rows": rows,
        "score_requantizer": [_score_points(1, 1), _score_points(3, 2), _score_points(65535, 4)],
        "exp2": [_exp2_points("default", {}), _exp2_points("narrow", {"table_bits": 7})],
        "log2_quantizer": [_log2_points(name) for name in SCHEMES],
        "output_requantizer": [_output_points(1, 1, 7), _output_points(43691, 23, 0)],
    }


def _row(
    name: str, fields: dict[str, Any], rng: random.Random, keys: int, mask: bool, biased: bool
) -> dict[str, Any]:
    config = config_from_mapping(fields)
    top = (1 << config.q_bits) - 1
    zeros = (top // 2 + i for i in range(4))
    n, n2 = 2 * config.q_bits + 6, 25 if config.code.half else 31
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
        "registers": asdict(trace),
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
