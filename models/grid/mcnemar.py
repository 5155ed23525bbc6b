"""McNemar's test: whether two models that saw the same images differ by more than chance."""

from scipy.stats import binomtest

__all__ = ["mcnemar"]


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p value of the exact test.

    Args:
        only_a, only_b: images that one of the two got right and the other wrong.

    Source: McNemar (1947); the exact binomial form, which needs no large counts.
    """
    discordant = only_a + only_b
    return 1.0 if discordant == 0 else float(binomtest(only_a, discordant, 0.5).pvalue)
