"""The task that shows where a word differs, field by field."""

from .template import fill, template
from .words import Slice

__all__ = ["show_task"]


def show_task(name: str, place: str, part: Slice, *, per_key: bool) -> str:
    """Return the task.

    Args:
        name: of the task.
        place: what a line names before the case: `unit.stream`.
        part: the fields of the word.
        per_key: whether a word is one of several in a case.
    """
    fields = []
    for field, low in part.fields:
        lanes = field.lanes > 1
        which = " lane %0d" if lanes else ""
        fields.append(
            fill(
                template("field.sv"),
                lanes=field.lanes,
                bits=f"lane*{field.bits}+{low}+:{field.bits}",
                zero=f"{field.bits}'d0",
                format=f"  {place} case %0d{' beat %0d' if per_key else ''}{which} {field.name}",
                values=f"row{', key' if per_key else ''}{', lane' if lanes else ''}",
            )
        )
    return fill(template("show.sv"), name=name, high=part.width - 1, fields="\n".join(fields))
