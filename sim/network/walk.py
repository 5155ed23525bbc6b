"""A program in the specification: one image from pixels to logits, unbounded integers.

What simulator and torch do for batches, token by token with the functions of `spec`.
"""

from collections.abc import Sequence

import numpy as np

from ..config import AttentionConfig
from ..spec import RowTrace, attention_row
from .config import NetworkConfig
from .parameters import GateCodeParams, MeanParams, NormParams, StreamMeanParams, StreamNormParams
from .program import (
    ActivationLinear,
    Attention,
    Block,
    CodeLinear,
    GatedMlp,
    GateLinear,
    Head,
    HeadLinear,
    Linear,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    ResidualLinear,
    Trace,
    Windows,
)
from .spec import (
    activation,
    activation_input,
    centred,
    gate_code,
    head,
    image_requantizer,
    linear_accumulator,
    linear_requantizer,
    mean_code,
    mean_sum,
    mean_term,
    norm_requantizer,
    norm_sums,
    normalizer,
    reciprocal_root,
    residual_adder,
    residual_sum,
    stream_mean,
    stream_norm,
)

Row = Sequence[int]
#: A row of channels per token.
Rows = list[list[int]]


def walk(image: Sequence[Sequence[Row]], program: Program, trace: Trace | None = None) -> list[int]:
    """Return the logits of an image.

    Args:
        image: pixels by colour, line and column.
        program: what the network loads.
        trace: as `Trace`, without the axis of images.
    """
    steps = Walk(program.network, program.attention, trace)
    x, logits = steps.embedding(image, program.embedding), [0] * program.classes
    for place, step in enumerate(program.blocks, 1):
        x = steps.block(f"steps.{place}", step, x)
    for place, last in enumerate(program.heads, 1 + len(program.blocks)):
        logits = steps.head(f"steps.{place}", last, x, logits)
    return logits


class Walk:
    """The steps of a program and their layers; a method gets the name of its part.

    Attributes:
        saturated: how many values of the stream saturated in each part that adds to it.
    """

    def __init__(
        self, config: NetworkConfig, attention: AttentionConfig, trace: Trace | None = None
    ) -> None:
        self.config, self.attention_config, self.trace = config, attention, trace
        self.saturated: dict[str, int] = {}

    def note(self, part: str, unit: str, **registers: object) -> None:
        """Hand registers over."""
        if self.trace is not None:
            found = {name: np.asarray(value) for name, value in registers.items()}
            self.trace(part, unit, found)

    # -- Steps

    def embedding(self, image: Sequence[Sequence[Row]], step: PatchEmbedding) -> Rows:
        """Return the stream of an image: units 21, 22 and 24."""
        loaded = step.image
        each = zip(loaded.image_gain, loaded.image_offset, loaded.image_shift, strict=True)
        codes = [
            [[image_requantizer(p, *parameters, self.config) for p in line] for line in colour]
            for colour, parameters in zip(image, each, strict=True)
        ]
        self.note("steps.0.image", "image_requantizer", image_code=codes)
        size = step.patch
        patches = [
            [
                c
                for colour in codes
                for line in colour[top : top + size]
                for c in line[left : left + size]
            ]
            for top in range(0, step.height, size)
            for left in range(0, step.width, size)
        ]
        x = self.added("steps.0.linear", step.linear, patches, step.positions.tolist())
        x = step.prefix.tolist() + x
        return x if step.norm is None else self.stream_norm("steps.0.norm", step.norm, x)

    def block(self, name: str, step: Block, x: Rows) -> Rows:
        """Return the stream behind a block."""
        if isinstance(step, Attention):
            return self.attention(name, step, x)
        if isinstance(step, GatedMlp):
            return self.gated_mlp(name, step, x)
        return self.mlp(name, step, x) if isinstance(step, Mlp) else self.merging(name, step, x)

    def attention(self, name: str, step: Attention, x: Rows) -> Rows:
        """Return the stream behind an attention."""
        codes = self.norm(f"{name}.norm", step.norm, x)
        q = self.projected(f"{name}.q", step.q, step.heads, codes)
        k = self.projected(f"{name}.k", step.k, step.heads, codes)
        v = self.codes(f"{name}.v", step.v, codes)
        o = [[0] * step.v.outputs for _ in x]
        rows = []
        for window, seen in enumerate(_seen(step.windows, len(x))):
            for place in range(step.heads):
                for row, token in enumerate(seen):
                    found = self.row(step, window, place, row, [(q[t], k[t], v[t]) for t in seen])
                    depth = len(found.o)
                    o[token][place * depth : (place + 1) * depth] = found.o
                    rows.append(found)
        self.note_rows(f"{name}.attention", rows, len(rows) // len(seen))
        return self.added(f"{name}.proj", step.proj, o, x)

    def projected(
        self, part: str, made: CodeLinear | NormedLinear, heads: int, codes: Rows
    ) -> Rows:
        """Return the codes of q or k of each token, normalized head by head where they are."""
        if isinstance(made, CodeLinear):
            return self.codes(part, made, codes)
        x = self.added(f"{part}.linear", made.linear, codes, [[0] * made.outputs for _ in codes])
        depth = made.outputs // heads
        parts = [row[start : start + depth] for row in x for start in range(0, len(row), depth)]
        found = self.norm(f"{part}.norm", made.norm, parts)
        return [
            [code for part in found[token : token + heads] for code in part]
            for token in range(0, len(found), heads)
        ]

    def row(
        self,
        step: Attention,
        window: int,
        place: int,
        row: int,
        tokens: Sequence[tuple[Row, Row, Row]],
    ) -> RowTrace:
        """Return every register of one query of a window and a head."""
        depth, deep = step.q.outputs // step.heads, step.v.outputs // step.heads
        part, wide = (slice(place * each, (place + 1) * each) for each in (depth, deep))
        masked = None if step.masked is None else step.masked[window, row].tolist()
        bias = None if step.bias is None else step.bias[place, row].tolist()
        keys, values = [k[part] for _, k, _ in tokens], [v[wide] for _, _, v in tokens]
        query = tokens[row][0][part]
        return attention_row(query, keys, values, step.params, self.attention_config, masked, bias)

    def note_rows(self, part: str, rows: list[RowTrace], groups: int) -> None:
        """Hand over the registers of all rows, window by window and head by head."""
        if self.trace is not None:
            found = {}
            for name in vars(rows[0]):
                if getattr(rows[0], name) is not None:
                    values = np.array([getattr(row, name) for row in rows])
                    found[name] = values.reshape(groups, -1, *values.shape[1:])
            self.trace(part, "attention_row", found)

    def mlp(self, name: str, step: Mlp, x: Rows) -> Rows:
        """Return the stream behind an MLP."""
        codes = self.norm(f"{name}.norm", step.norm, x)
        hidden = self.activated(f"{name}.fc1", step.fc1, codes)
        return self.added(f"{name}.fc2", step.fc2, hidden, x)

    def gated_mlp(self, name: str, step: GatedMlp, x: Rows) -> Rows:
        """Return the stream behind a gated MLP."""
        codes = self.norm(f"{name}.norm", step.norm, x)
        gate = self.gates(f"{name}.gate", step.gate, codes)
        zeros = [[0] * step.value.outputs for _ in codes]
        value = self.added(f"{name}.value", step.value, codes, zeros)
        hidden = self.multiplied(f"{name}.product", step.product, gate, value)
        return self.added(f"{name}.fc2", step.fc2, hidden, x)

    def merging(self, name: str, step: Merging, x: Rows) -> Rows:
        """Return the stream of a quarter of the tokens."""
        corners = [
            top * step.width + left
            for top in range(0, step.height, 2)
            for left in range(0, step.width, 2)
        ]
        below, right = step.width, 1
        merged = [x[t] + x[t + below] + x[t + right] + x[t + below + right] for t in corners]
        codes = self.norm(f"{name}.norm", step.norm, merged)
        zeros = [[0] * step.reduction.outputs for _ in codes]
        return self.added(f"{name}.reduction", step.reduction, codes, zeros)

    def head(self, name: str, step: Head, x: Rows, before: Row) -> list[int]:
        """Return the logits, added to those of the head in front."""
        if step.mean is None:
            pooled = x[step.first : step.first + 1]
        elif isinstance(step.mean, StreamMeanParams):
            pooled = [self.stream_mean(f"{name}.mean", step.mean, x[step.first :])]
        else:
            codes = [self.mean_of_norm(name, step.mean, x[step.first :])]
        if step.norm is not None:
            codes = self.norm(f"{name}.norm", step.norm, pooled)
        return self.logits(f"{name}.linear", step.linear, codes, [before])

    # -- Units

    def accumulators(self, part: str, linear: Linear, codes: Rows) -> Rows:
        """Return the accumulators of a layer: unit 22."""
        zx, loaded = linear.product.zx, linear.product.linear_bias
        weights = linear.weights.tolist()
        acc = [
            [linear_accumulator(row, zx, w, b) for w, b in zip(weights, loaded, strict=True)]
            for row in codes
        ]
        self.note(part, "linear_accumulator", linear_acc=acc)
        return acc

    def codes(self, part: str, linear: CodeLinear, codes: Rows) -> Rows:
        """Return codes: units 22 and 23."""
        p = linear.params
        loaded = list(zip(p.linear_multiplier, p.linear_shift, strict=True))
        found = [
            [
                linear_requantizer(a, m, n, p.linear_zero, p.y_bits)
                for a, (m, n) in zip(acc, loaded, strict=True)
            ]
            for acc in self.accumulators(part, linear, codes)
        ]
        self.note(part, "linear_requantizer", linear_code=found)
        return found

    def added(self, part: str, linear: ResidualLinear, codes: Rows, x: Rows) -> Rows:
        """Return the stream, with what is added to x: units 22 and 24."""
        loaded = linear.params.residual_multiplier, linear.params.residual_shift
        each = [
            list(zip(acc, *loaded, row, strict=True))
            for acc, row in zip(self.accumulators(part, linear, codes), x, strict=True)
        ]
        found = [[residual_adder(*values, self.config) for values in row] for row in each]
        exact = [[residual_sum(*values) for values in row] for row in each]
        self.saturated[part] = sum(
            a != b
            for row, sums in zip(found, exact, strict=True)
            for a, b in zip(row, sums, strict=True)
        )
        self.note(part, "residual_adder", residual=found)
        return found

    def activated(self, part: str, linear: ActivationLinear, codes: Rows) -> Rows:
        """Return codes of the activation: units 22 and 29."""
        u = self.activation_inputs(part, linear, codes)
        found = [[activation(value, linear.params.table) for value in row] for row in u]
        self.note(part, "activation", u=u, activation_code=found)
        return found

    def activation_inputs(
        self, part: str, linear: ActivationLinear | GateLinear, codes: Rows
    ) -> Rows:
        """Return u: units 22 and 29."""
        p = linear.params
        loaded = list(zip(p.activation_multiplier, p.activation_shift, strict=True))
        return [
            [activation_input(a, m, n, self.config) for a, (m, n) in zip(acc, loaded, strict=True)]
            for acc in self.accumulators(part, linear, codes)
        ]

    def gates(self, part: str, linear: GateLinear, codes: Rows) -> Rows:
        """Return g: units 22 and 29, and T of 32."""
        u = self.activation_inputs(part, linear, codes)
        found = [[activation(value, linear.params.gate_table) for value in row] for row in u]
        self.note(part, "activation", u=u)
        self.note(part, "gate", gate=found)
        return found

    def multiplied(self, part: str, p: GateCodeParams, gate: Rows, x: Rows) -> Rows:
        """Return codes of g times x: unit 32."""
        loaded = p.gate_multiplier, p.gate_shift, p.gate_zero, p.y_bits
        found = [
            [gate_code(g, value, *loaded) for g, value in zip(*rows, strict=True)]
            for rows in zip(gate, x, strict=True)
        ]
        self.note(part, "gate", gate_code=found)
        return found

    def logits(
        self, part: str, linear: HeadLinear, codes: Rows, before: Sequence[Row] | None = None
    ) -> list[int]:
        """Return the logits of the codes of one token, added to `before`: units 22 and 31."""
        (acc,), (start,) = self.accumulators(part, linear, codes), before or [[0] * linear.outputs]
        p = linear.params
        loaded = zip(acc, p.head_multiplier, p.head_shift, start, strict=True)
        found = [head(*each) for each in loaded]
        self.note(part, "head", logit=[found])
        return found

    def normalized(self, part: str, eps: int, x: Rows) -> Rows:
        """Return z: units 25 to 27."""
        sums = [norm_sums(row, eps) for row in x]
        roots = [reciprocal_root(variance, self.config) for _, _, variance in sums]
        z = [
            [normalizer(value, s, len(row), k, r, self.config) for value in row]
            for row, (s, _, _), (k, _, r) in zip(x, sums, roots, strict=True)
        ]
        total, squares, variance = zip(*sums, strict=True)
        shift, root, reciprocal = zip(*roots, strict=True)
        self.note(part, "norm_sums", stream_sum=total, square_sum=squares, variance=variance)
        self.note(part, "reciprocal_root", root_shift=shift, root=root, reciprocal=reciprocal)
        if self.trace is not None:
            each = zip(x, total, strict=True)
            n = [[centred(value, s, len(row)) for value in row] for row, s in each]
            self.note(part, "normalizer", centred=n, z=z)
        return z

    def norm(self, part: str, p: NormParams, x: Rows) -> Rows:
        """Return the codes of normalized tokens: units 25 to 28."""
        loaded = list(zip(p.gain, p.offset, p.gain_shift, strict=True))
        found = [
            [norm_requantizer(z, *each, p.y_bits) for z, each in zip(row, loaded, strict=True)]
            for row in self.normalized(part, p.norm_eps, x)
        ]
        self.note(part, "norm_requantizer", norm_code=found)
        return found

    def stream_norm(self, part: str, p: StreamNormParams, x: Rows) -> Rows:
        """Return the stream, normalized: units 25 to 28."""
        loaded = list(zip(p.gain, p.offset, p.gain_shift, strict=True))
        found = [
            [stream_norm(z, *each, self.config) for z, each in zip(row, loaded, strict=True)]
            for row in self.normalized(part, p.norm_eps, x)
        ]
        self.note(part, "norm_requantizer", stream_norm=found)
        return found

    def mean_of_norm(self, name: str, p: MeanParams, x: Rows) -> list[int]:
        """Return the codes of the mean of normalized tokens: units 25 to 27 and 30."""
        loaded = list(zip(p.mean_gain, p.mean_offset, p.mean_shift, strict=True))
        terms = [
            [mean_term(z, *each, self.config) for z, each in zip(row, loaded, strict=True)]
            for row in self.normalized(f"{name}.mean", p.norm_eps, x)
        ]
        total = [mean_sum(column) for column in zip(*terms, strict=True)]
        found = [mean_code(s, p.mean_multiplier, p.mean_scale_shift, p.y_bits) for s in total]
        self.note(
            f"{name}.mean", "token_mean", mean_term=terms, mean_sum=[total], mean_code=[found]
        )
        return found

    def stream_mean(self, part: str, p: StreamMeanParams, x: Rows) -> list[int]:
        """Return the mean of the stream: unit 30."""
        total = [mean_sum(column) for column in zip(*x, strict=True)]
        found = [stream_mean(s, p.mean_multiplier, p.mean_scale_shift, self.config) for s in total]
        self.note(part, "token_mean", mean_sum=[total], stream_mean=[found])
        return found


def _seen(windows: Windows | None, tokens: int) -> list[list[int]]:
    """Return the tokens that see one another, window by window."""
    if windows is None:
        return [list(range(tokens))]
    return [
        [
            (y + windows.row_shift) % windows.height * windows.width
            + (x + windows.column_shift) % windows.width
            for y in range(top, top + windows.rows)
            for x in range(left, left + windows.columns)
        ]
        for top in range(0, windows.height, windows.rows)
        for left in range(0, windows.width, windows.columns)
    ]
