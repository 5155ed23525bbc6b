"""The attention map of one image, layer and head before and after each code of a run."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bitlog2.sim.checks import check_int

from ..naming import file_name
from ..runs.compare import image_of
from ..runs.folder import RunFolder
from ..runs.result import CellAnswers
from ..watch.recorder import MapRecorder
from ..watch.watching import watch
from .answers import name_of
from .drawing import Picture

#: Pairs of maps side by side.
_PAIRS = 2
#: A map before and after its code, (N, N) each.
_Both: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def attention_maps(
    folder: RunFolder,
    answers: Sequence[CellAnswers],
    model: str,
    place: tuple[int, int, int] = (0, 0, 0),
) -> Picture | None:
    """Return a map before and after each code; None where the run has no code of a model's map.

    The quantized model of the first cell of each scheme and bits runs on the image once more; in
    integer arithmetic the calibrated model before it was lowered.

    Args:
        folder: the run.
        answers: those of its cells.
        model: one of its models.
        place: number of the image in the validation set, and of the layer, in the order in which
            they run, and the head. Of Swin, the image's first window is shown.

    Raises:
        ValueError: the cells were not run on such an image, or it is another one now; there is no
            such layer or head; a quantized model is not the one that its cell began with.
        OSError: quantized models or images are not there.
    """
    chosen: dict[tuple[str, str], CellAnswers] = {}
    for each in answers:
        how = each.cell.spec
        if each.cell.model == model and how is not None and how.scheme != "none":
            chosen.setdefault((how.scheme, how.form), each)
    if not chosen:
        return None
    maps, layer = {}, ""
    for each in chosen.values():
        layer, maps[name_of(each.cell.spec)] = _map(folder, each, *place)
    return _picture(model, f"image {place[0]}, layer {layer}, head {place[2]}", maps)


def _map(
    folder: RunFolder, answers: CellAnswers, image: int, layer: int, head: int
) -> tuple[str, _Both]:
    """Return the name of a layer, and a map of it."""
    quantized, _ = folder.load_model(answers.cell)
    recorder = MapRecorder()
    with watch(quantized.model, recorder) as watched:
        watched.run(image_of(folder, answers, image, quantized), [image])
    name = list(recorder.layers)[check_int("layer", layer, 0, len(recorder.layers) - 1)]
    before, after = (each[0] for each in recorder.layers[name])
    check_int("head", head, 0, len(before) - 1)
    return name, (before[head].double().numpy(), after[head].double().numpy())


def _picture(model: str, where: str, maps: dict[str, _Both]) -> Picture:
    keys = max(len(before) for before, _ in maps.values())
    octaves = keys.bit_length() + 4  # down to less than a sixteenth of a uniform row

    def paint(figure: Figure) -> None:
        lines = -(-len(maps) // _PAIRS)
        figure.set_size_inches(8, 0.7 + 2.2 * lines)
        panels = figure.subplots(lines, 2 * _PAIRS, squeeze=False)
        places: Iterator[Axes] = iter(panels.flat)
        for name, (before, after) in maps.items():
            for values, title in ((before, "softmax"), (after, name)):
                panel = next(places)
                drawn = panel.imshow(
                    np.ma.masked_equal(values, 0),
                    cmap=colormaps["cividis"],
                    norm=LogNorm(2.0**-octaves, 1, clip=True),
                    interpolation="none",
                )
                panel.grid(visible=False)
                panel.set_title(title, fontsize=7)
                panel.tick_params(labelsize=6)
        for panel in places:
            panel.set_visible(False)
        bar = figure.colorbar(drawn, ax=panels, location="bottom", shrink=0.6, aspect=40)
        ticks = range(0, octaves + 1, 2)
        bar.set_ticks([2.0**-n for n in ticks], labels=[f"1/{2**n:,}" if n else "1" for n in ticks])
        bar.minorticks_off()
        bar.set_label("value of the map; blank: 0", fontsize=8)

    caption = (
        "Rows: queries; columns: keys. Left: softmax of the scores of the quantized q and k; "
        "right: decoded values of its code."
    )
    zeros = ", ".join(
        f"{name} {100 * (after == 0).mean():.1f} %" for name, (_, after) in maps.items()
    )
    return Picture(
        file_name(f"maps-{model}"),
        f"Attention map of {model}, {where}",
        caption,
        f"Values that are 0 after the code: {zeros}.",
        paint,
    )
