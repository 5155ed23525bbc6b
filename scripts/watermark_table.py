"""The table of watermarks that `bitlog2 evaluate --watermarks` prints."""

from bitlog2.models.watch.watermarks import WATERMARKED, Watermarks, is_signed, provided_bits

__all__ = ["watermark_lines"]

_SHORT = {"row_max": "max", "row_sum": "sum", "out_product": "out_prod", "nibble": "nibb"}


def watermark_lines(title: str, marks: Watermarks) -> list[str]:
    """Return the table: bits used by layer and register, then what was provided and seen."""
    overall, config = marks.overall(), next(iter(marks.configs.values()))
    lines = [f"watermarks of {title}: bits used, by layer"]
    lines.append(_line("layer", [_SHORT.get(name, name) for name in WATERMARKED]))
    for layer, held in marks.layers.items():
        used = [held[name].bits(signed=is_signed(name, config)) for name in WATERMARKED]
        lines.append(_line(layer, used))
    lines.append(_line("provided", [provided_bits(name, config) for name in WATERMARKED]))
    lines.append(
        f"  {'register':<12}{'smallest':>15}{'largest':>15}{'values':>17}{'saturated':>15}"
    )
    for name, mark in overall.items():
        limited = "cannot" if mark.saturated is None else f"{mark.saturated:,}"
        lines.append(
            f"  {name:<12}{mark.smallest:>15,}{mark.largest:>15,}{mark.values:>17,}{limited:>15}"
        )
    return lines


def _line(first: str, columns: list[str] | list[int]) -> str:
    return f"  {first:<24}" + "".join(f"{column:>9}" for column in columns)
