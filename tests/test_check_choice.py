"""Which heads a check compares: how many, and what the choice depends on."""

import numpy as np
import pytest

from bitlog2.models.watch.check import HeadChoice

IMAGES = [40, 7, 1999, 3]


def chosen(images, *, mode="sample:9", seed=0, layer="blocks.0.attn", heads=6):
    """The (image, head) pairs."""
    places = HeadChoice(mode, seed).pairs(layer, images, heads)
    return {(images[place // heads], int(place % heads)) for place in places}


def test_check_choice_all_is_every_pair_in_order():
    assert HeadChoice("all").pairs("x", IMAGES, 6).tolist() == list(range(24))


def test_check_choice_known_answer():
    """SHAKE-128 of seed, image and layer: the same on every machine."""
    assert sorted(chosen(IMAGES)) == [
        (3, 1),
        (3, 2),
        (3, 5),
        (7, 0),
        (40, 0),
        (40, 5),
        (1999, 0),
        (1999, 4),
        (1999, 5),
    ]


@pytest.mark.parametrize(
    ("images", "heads", "size"), [(1, 1, 1), (1, 8, 1), (3, 3, 2), (16, 6, 12)]
)
def test_check_choice_sample_takes_one_of_eight(images, heads, size):
    assert len(chosen(list(range(images)), mode="sample", heads=heads)) == size


@pytest.mark.parametrize("size", [1, 5, 23, 24, 25, 999_999_999])
def test_check_choice_takes_so_many_or_all(size):
    assert len(chosen(IMAGES, mode=f"sample:{size}")) == min(size, 24)


@pytest.mark.parametrize("mode", ["sample", "sample:7"])
def test_check_choice_does_not_depend_on_the_order_of_images(mode):
    assert chosen(IMAGES[::-1], mode=mode) == chosen(IMAGES, mode=mode)


def test_check_choice_does_not_depend_on_what_was_chosen_before():
    choice = HeadChoice("sample:5")
    first = choice.pairs("x", IMAGES, 6).tolist()
    choice.pairs("x", [1, 2], 6)
    assert choice.pairs("x", IMAGES, 6).tolist() == first


def test_check_choice_positions_rise():
    places = HeadChoice("sample:9").pairs("x", IMAGES, 6)
    assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("other", [{"seed": 1}, {"layer": "blocks.1.attn"}])
def test_check_choice_depends_on_seed_and_layer(other):
    assert chosen(IMAGES, **other) != chosen(IMAGES)


def test_check_choice_depends_on_the_image():
    heads = {next(iter(chosen([image], mode="sample:1")))[1] for image in range(30)}
    assert heads == set(range(6))


def test_check_choice_takes_every_head_equally_often():
    """1,200 images, one of six heads each: 200 each, give or take four deviations of 13."""
    taken = [next(iter(chosen([image], mode="sample:1")))[1] for image in range(1200)]
    counts = np.bincount(taken, minlength=6)
    assert np.abs(counts - 200).max() < 52


@pytest.mark.parametrize(
    "mode",
    ["none", "", "some", "sample:", "sample:0", "sample:-1", "sample:1.5", "sample:x", "sample: 3",
     "sample:3 ", "sample:03", "sample:1000000000", "sample:٣", "sample:3\n", "all:2", "ALL"],
)  # fmt: skip
def test_check_choice_of_another_mode_is_refused(mode):
    with pytest.raises(ValueError, match="check must be all, sample or sample:K"):
        HeadChoice(mode)
