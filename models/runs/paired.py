"""Paired comparisons: two quantizations on the same images, over one calibration seed or several.

With one seed the test is McNemar's exact one (McNemar 1947). With several, an image has a right or
wrong answer of each seed, and these are not independent: the difference of an image is the number
of its seeds that a alone gets right less those that b alone does, and where a and b are equally
good its sign is as likely either. The p value is the share of all choices of signs whose sum is as
far from zero as the one found: an exact test by randomization, clustered by image (Durkalski et
al. 2003 give its normal form). It is about other images, with these seeds.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from scipy.stats import binom, norm

from bitlog2.documents import Document, Exact, of

#: Two-sided level of significance and power of the smallest difference that a test can see.
LEVEL, POWER = 0.05, 0.8

Probability = Annotated[float, Meta(ge=0, le=1)]


class Paired(Document, frozen=True, kw_only=True):
    """Two quantizations on the same images: what a and b alone get right, over all seeds.

    Source: McNemar (1947) for one seed; for several the same test clustered by image.
    """

    only_a: Annotated[Exact, of("Images that a alone gets right, summed over the seeds.")]
    only_b: Annotated[Exact, of("Images that b alone gets right, summed over the seeds.")]
    difference: Annotated[
        float, Meta(ge=-100, le=100, description="Accuracy of a less that of b, points.")
    ]
    detectable: Annotated[
        float,
        Meta(
            ge=0,
            description="Smallest difference in points that is significant at 5 % in four of five "
            "such samples, before correction.",
        ),
    ]
    p: Annotated[Probability, of("Two-sided p value.")]
    holm: Annotated[
        Probability,
        of("The same, corrected by Holm for all pairs of one model, arithmetic and bits."),
    ]

    @property
    def significant(self) -> bool:
        """Whether the corrected p value is below 5 %."""
        return self.holm < LEVEL

    @classmethod
    def of_differences(cls, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> "Paired":
        """Return the comparison of right answers, (seeds, images) each; holm is p as yet."""
        by_image = a.sum(axis=0, dtype=np.int64) - b.sum(axis=0, dtype=np.int64)
        p = sign_flip_p(by_image)
        spread = float(norm.isf(LEVEL / 2) + norm.ppf(POWER)) * float((by_image**2).sum()) ** 0.5
        return cls(
            only_a=int((a & ~b).sum()),
            only_b=int((b & ~a).sum()),
            difference=100.0 * float(by_image.sum()) / a.size,
            detectable=100.0 * spread / a.size,
            p=p,
            holm=p,
        )


def sign_flip_p(differences: NDArray[np.int64]) -> float:
    """Return the two-sided p value of integers whose signs are as likely plus as minus.

    P(|sum| is at least what it is) over all signs, exact. Of differences -1, 0 and 1 it is
    McNemar's exact test.

    Args:
        differences: (n,) integers.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        # The sum of `count` terms of +size or -size, from -size * count in steps of 2 * size.
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    middle, found = len(chances) // 2, abs(int(differences.sum()))
    if found == 0:
        return 1.0
    return min(1.0, 2 * float(chances[middle + found :].sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for the number of comparisons, in the same order.

    Source: Holm (1979), step-down.
    """
    corrected, running = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda each: p[each])):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = running
    return corrected


def what_differs(known: Sequence[tuple[str, str, Paired]]) -> str:
    """Return the significant pairs, the better one first, and what could have been seen.

    Args:
        known: names of a and b, and their comparison: the pairs that p was corrected for.
    """
    better: dict[str, list[str]] = {}
    for *names, paired in known:
        if paired.significant:
            best, other = names if paired.difference > 0 else names[::-1]
            better.setdefault(best, []).append(f"{other} ({abs(paired.difference):.2f})")
    found = "; ".join(f"{best} over {', '.join(others)}" for best, others in better.items())
    least, most = (f(paired.detectable for *_, paired in known) for f in (min, max))
    return (
        f"significant at {100 * LEVEL:.0f} % after Holm's correction (points): "
        f"{found or 'nothing'}. Not significant: {len(known) - sum(map(len, better.values()))} of "
        f"{len(known)} pairs. A difference of {least:.2f} to {most:.2f} points, by the pair, is "
        f"significant before correction in {100 * POWER:.0f} % of such samples."
    )
