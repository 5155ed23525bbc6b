"""What docs/codes.md says of the choices behind RowMax_16, measured on `digits`."""

import math
from functools import cache
from itertools import pairwise

import torch
from support.models import digits_task, quantized_digits

from bitlog2.models.ptq.quantizers import UNBIASED_ZERO, normalized_map
from bitlog2.models.watch.watching import Watcher, watch
from bitlog2.sim import SCHEMES


class Maps(Watcher):
    """Keeps each layer's softmax, and the codes of v that it is multiplied with."""

    def __init__(self):
        self.layers = []

    def take_map(self, seen):
        self.layers.append((seen.before.double(), seen.v.double()))


@cache
def layers():
    maps = Maps()
    with watch(quantized_digits("none"), maps) as watched:
        watched.run(digits_task().calibration_images(0)[:8])
    return maps.layers


def error(weights_of):
    """Relative error of the attention output, mean over layers, percent; rows are normalized."""
    found = []
    for before, v in layers():
        weight = weights_of(before).double()
        output, wanted = weight @ v / weight.sum(-1, keepdim=True), before @ v
        found.append(float((output - wanted).norm() / wanted.norm()))
    return 100 * sum(found) / len(found)


def ladder(halves, wholes):
    """Values from 1 down: half steps for some octaves, then whole octaves."""
    values = [1.0]
    for k in range(halves):
        values += [0.75 * 2.0**-k, 2.0 ** -(k + 1)]
    for _ in range(wholes):
        values.append(values[-1] / 2)
    return values


def logarithmic(a, b):
    return (a - b) / math.log(a / b)


def coded(values, mean=logarithmic, zero_octaves=1.0):
    """The weights of a code of these values, relative to the row's maximum."""
    means = sorted(mean(a, b) for a, b in pairwise(values))
    edges = torch.tensor([values[-1] / 2**zero_octaves, *means], dtype=torch.float64)
    rising = torch.tensor([0.0, *sorted(values)], dtype=torch.float64)

    def weights_of(x):
        ratio = x / x.amax(-1, keepdim=True)
        return rising[torch.bucketize(ratio, edges, right=True)]

    return weights_of


def test_row_max_choices_the_measure_is_that_of_the_code_itself():
    assert error(coded(ladder(4, 6))) == error(normalized_map("RowMax_16").weights)


def test_row_max_choices_four_octaves_of_half_steps_are_near_the_best_of_fifteen_values():
    """Five are a little better on such short rows; four reach two octaves farther."""
    splits = [(7, 0), (6, 2), (5, 4), (4, 6), (3, 8), (2, 10), (0, 14)]
    errors = {split: error(coded(ladder(*split))) for split in splits}
    assert min(errors, key=errors.get) == (5, 4)
    assert errors[4, 6] < 1.04 * errors[5, 4]
    assert errors[3, 8] > 1.05 * errors[4, 6]


def test_row_max_choices_other_means_of_neighbours_change_little():
    means = (logarithmic, lambda a, b: (a + b) / 2, lambda a, b: math.sqrt(a * b))
    errors = [error(coded(ladder(4, 6), mean)) for mean in means]
    assert max(errors) - min(errors) < 0.05


def test_row_max_choices_where_the_last_level_ends_does_not_matter_within_an_octave():
    errors = [error(coded(ladder(4, 6), zero_octaves=octaves)) for octaves in (0.5, 1, 1.5, 2)]
    assert max(errors) - min(errors) < 0.02


def test_row_max_choices_three_bits_want_one_octave_of_half_steps_and_a_later_zero():
    errors = {
        (halves, wholes, zero): error(coded(ladder(halves, wholes), zero_octaves=zero))
        for halves, wholes in ((0, 6), (1, 4), (2, 2), (3, 0))
        for zero in (1.0, UNBIASED_ZERO)
    }
    best = min(errors, key=errors.get)
    assert best == (1, 4, UNBIASED_ZERO)
    assert errors[best] == error(normalized_map("RowMax_8").weights)
    assert errors[best] < 0.92 * errors[0, 6, 1.0]


def online(x, *, floors):
    """The online form key by key, on values and v in integers; sums cut off where they shift."""
    two_pass, top = normalized_map("RowMax_16"), SCHEMES["RowMax_16"].int_max

    def output(v):
        octave, sums = None, None
        total = torch.zeros(*x.shape[:-1], 1, dtype=torch.float64)
        for j in range(x.shape[-1]):
            reached = x[..., : j + 1].amax(-1, keepdim=True).log2().ceil()
            shift = torch.exp2(reached - octave) if octave is not None else torch.ones_like(total)
            octave = reached
            pair = torch.cat((torch.exp2(octave), x[..., j : j + 1]), -1)
            value = two_pass.weights(pair)[..., 1:].double() * top
            sums = torch.zeros(*x.shape[:-1], v.shape[-1]) if sums is None else sums
            sums, total = sums / shift, total / shift
            if floors:
                sums, total = sums.floor(), total.floor()
            sums, total = sums + value * v[..., None, j, :], total + value
        return sums / total

    return output


def test_row_max_choices_bits_that_the_online_form_drops_do_not_show():
    errors = {}
    for floors in (False, True):
        found = []
        for before, v in layers():
            rows = before[:1, :, :8]
            wanted = rows @ v[:1]
            found.append(
                float((online(rows, floors=floors)(v[:1]) - wanted).norm() / wanted.norm())
            )
        errors[floors] = sum(found) / len(found)
    assert abs(errors[True] - errors[False]) < 1e-4
