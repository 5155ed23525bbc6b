"""Digests of pixels and attention registers: an image each, whatever shares its batch."""

import pytest
import swin_models
import torch
from digits_models import digits_task, observed, quantized_digits, run_watched

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch.digest import RegisterDigest, digest_of_digests, pixel_digests


def runs(model, images):
    """Return every datapath of a model with what it is given."""
    given = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs: given.append((module, inputs)))
        for module in model.modules()
        if isinstance(module, AttentionDatapath)
    ]
    with torch.inference_mode():
        model(images)
    for handle in handles:
        handle.remove()
    return given


def digests(given, images, total, which):
    """Return the digests of some of the images that the datapaths were given."""
    digest = RegisterDigest(which)
    digest.begin(tuple(range(images.stop - images.start)))
    for module, (q, k, v, *rest) in given:
        windows = len(q) // total
        part = slice(images.start * windows, images.stop * windows)
        rest = [x[part] if torch.is_tensor(x) and len(x) == len(q) else x for x in rest]
        inputs = (q[part], k[part], v[part], *rest)
        digest.take(observed(module.config, inputs, module(*inputs)))
    return digest.digests


@pytest.mark.parametrize("which", ["codes", "all"])
def test_digest_of_registers_does_not_depend_on_the_batch(which):
    swin = swin_models.quantized_swin("BitLog2_Half_17"), swin_models.images(4)
    digits = quantized_digits("BitLog2_Half_17"), digits_task().calibration_images(0)[:4]
    for model, images in (swin, digits):
        given = runs(model, images)
        whole = digests(given, slice(0, 4), 4, which)
        parts = [digests(given, slice(i, i + 1), 4, which) for i in range(4)]
        assert whole == tuple(digest for part in parts for digest in part)
        assert len(set(whole)) == 4


@pytest.mark.parametrize("register", ["level", "o"])
def test_digest_of_one_changed_register_differs_for_its_image_alone(register):
    model, images = quantized_digits("BitLog2_Half_17"), digits_task().calibration_images(0)[:4]

    def plant(module, inputs, output):
        changed = output.named()[register].clone()
        changed[2, 0, 3, 1] ^= 1
        if register == "o":
            return output._replace(output=output.output._replace(o=changed))
        return output._replace(map=output.map._replace(level=changed))

    found = []
    for planted in (False, True):
        digest = RegisterDigest("codes")
        handles = []
        if planted:
            last = [m for m in model.modules() if isinstance(m, AttentionDatapath)][-1]
            handles.append(last.register_forward_hook(plant))
        run_watched(model, images, digest)
        for handle in handles:
            handle.remove()
        found.append(digest.digests)
    assert [a != b for a, b in zip(*found, strict=True)] == [False, False, True, False]


def test_digest_of_pixels_is_of_each_image():
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = pixel_digests(images)
    assert whole == tuple(digest for image in images for digest in pixel_digests(image[None]))
    changed = images.clone()
    changed[1, 2, 3, 3] = torch.nextafter(changed[1, 2, 3, 3], torch.tensor(2.0))
    assert [a != b for a, b in zip(whole, pixel_digests(changed), strict=True)] == [0, 1, 0]


def test_digest_of_a_model_without_datapaths_is_empty():
    digest = RegisterDigest("codes")
    run_watched(digits_task().model, digits_task().data.test[:2][0], digest)
    assert digest.digests == ()
    assert digest_of_digests(()) == ""
