"""What each module assumes of its inputs, and when its registers and outputs mean something."""

from collections.abc import Mapping
from dataclasses import replace

from .boundary import Boundary

__all__ = ["BOUNDARIES"]

_P = "bitlog2_pkg::"
_ONE, _MOST = f"(1 << {_P}TABLE_BITS)", f"({_P}MAX_TOKENS << {_P}TABLE_BITS)"
_SUM = (f"e <= {_ONE}", f"s >= {_ONE}", f"s <= {_MOST}")
_LAYER = (f"n <= {_P}MAX_N",)
_LAYER_2 = (f"n2 <= {_P}MAX_N2",)

_ROW_ENDS = ("!m_axis_tvalid || first",)


def _accumulators(names: str, **others: str) -> tuple[Mapping[str, str], ...]:
    """Return when two states of accumulators agree; they are cleared where `first` is 1.

    A sum means something while its row lasts and until it is taken. Or else it always does where it
    is 0, and then it means nothing whether it is to be cleared.
    """
    in_a_row = "m_axis_tvalid || !first"
    cleared = {names: f"{in_a_row} || self == 0", "first": f"any({names})"}
    return ({names: in_a_row, **others}, {**cleared, **others})


_PENDING = "m_axis_tvalid || m_axis_keys_tvalid"
_ROW_MAX = Boundary(
    "row_max",
    assumes=(f"!s_axis_tvalid || s_axis_tlast || index != {_P}MAX_TOKENS - 1",),
    invariants=(
        "!m_axis_keys_tvalid || index <= last_index",
        "!m_axis_tvalid || m_axis_keys_tvalid || index == 0",
    ),
    relations=(
        {
            "m_axis_tdata": f"index != 0 || {_PENDING}",
            "last_index": "m_axis_keys_tvalid",
            "buffer": "m_axis_keys_tvalid ? entry <= last_index : entry < index",
        },
    ),
)

#: A byte of a plane means something where it is written.
_WRITTEN = (
    "{m_axis_memory_tvalid, {8{m_axis_memory_tvalid && m_axis_memory_tdata[17]}}, "
    "m_axis_memory_tvalid, {8{m_axis_memory_tvalid && m_axis_memory_tdata[8]}}}"
)
_CODE_MEMORY = Boundary(
    "code_memory",
    assumes=("!s_axis_tdata[0] || s_axis_tdata[4:1] == 0",),
    invariants=("low_flags >> place == 0",),
    relations=(
        {
            "m_axis_memory_tdata": _WRITTEN,
            "m_axis_memory_tlast": "m_axis_memory_tvalid",
            "low_nibble": "place[0]",
        },
    ),
    seen={"m_axis_memory_tdata": _WRITTEN},
)

_FLAG = f"{_P}HEAD_DIM * {_P}V_WIDTH"
_TAP = f"({_P}T_WIDTH + {_P}D_WIDTH + {_P}E_WIDTH + {_P}LEVEL_WIDTH + 5)"


def _kept(keep: str, width: str, valid: str) -> str:
    """Return the mask of the lanes that a beat keeps."""
    lanes = (f"{{{width}{{{keep}[{lane}] && {valid}}}}}" for lane in (3, 2, 1, 0))
    return "{" + ", ".join(lanes) + "}"


def _softmax(module: str, part: str) -> Boundary:
    """Return the boundary of a row module of 4 lanes, whose softmax has names that begin so."""
    index, last, state, keep = (
        f"{part}{name}" for name in ("index", "last_index", "state", "last_keep")
    )
    offered = "s_axis_score_tkeep"
    return Boundary(
        module,
        assumes=(
            *_LAYER,
            f"!s_axis_score_tvalid || {_low_lanes(offered)}",
            f"!s_axis_score_tvalid || s_axis_score_tlast || "
            f"(&{offered} && {index} != ({_P}MAX_TOKENS + 3) / 4 - 1)",
        ),
        invariants=(
            f"{state} != 3",
            f"{state} == 0 || {index} <= {last}",
            f"{state} == 0 || {_low_lanes(keep)}",
        ),
        lemmas={
            "BL2-SUM-01, BL2-SUM-02": f"{state} != 2 || (row_sum >= {_ONE} && row_sum <= {_MOST})"
        },
        relations=(
            {
                "row_max": f"{state} != 0 || {index} != 0",
                "row_sum": f"{state} == 2 || ({state} == 1 && {index} != 0)",
                last: f"{state} != 0",
                keep: f"{state} != 0",
                f"{part}buffer": f"{state} == 0 ? entry < {index} : entry <= {last}",
            },
        ),
        seen={"tap_keys_tdata": _kept("tap_keys_tkeep", _TAP, "tap_keys_tvalid")},
    )


def _low_lanes(keep: str) -> str:
    return f"({keep}[0] && ({keep} & ({keep} + 1)) == 0)"


_ROW = _softmax("softmax_row", "")
_SOFTMAX_ROW = replace(
    _ROW,
    seen={
        **_ROW.seen,
        "m_axis_tdata": _kept("m_axis_tkeep", "5", "m_axis_tvalid"),
        "row_max": "m_axis_tvalid",
        "row_sum": "m_axis_tvalid",
    },
)
_ATTENTION = _softmax("attention_row", "softmax_")
_ATTENTION_ROW = replace(
    _ATTENTION,
    assumes=(*_ATTENTION.assumes, *_LAYER_2),
    invariants=(*_ATTENTION.invariants, *_ROW_ENDS, "first || softmax_state == 2"),
    relations=_accumulators(
        ".*__acc", **_ATTENTION.relations[0], **{"tap_row_max|tap_row_sum": "m_axis_tvalid"}
    ),
)

#: Every boundary by its module.
BOUNDARIES: dict[str, Boundary] = {
    each.module: each
    for each in (
        Boundary(
            "score_accumulator", invariants=_ROW_ENDS, relations=_accumulators("m_axis_tdata")
        ),
        Boundary("score_requantizer", assumes=_LAYER),
        _ROW_MAX,
        Boundary("distance", assumes=("$signed(t) <= $signed(row_max)",)),
        Boundary("exp2"),
        Boundary(
            "row_sum",
            assumes=(
                f"s_axis_tdata <= {_ONE}",
                f"!s_axis_tvalid || first || m_axis_tdata <= {_MOST} - {_ONE}",
            ),
            invariants=_ROW_ENDS,
            relations=_accumulators("m_axis_tdata"),
        ),
        Boundary("log2_quantizer", assumes=_SUM),
        Boundary("log2_quantizer_divide", assumes=_SUM),
        Boundary("code_register", assumes=(f"level <= {_P}TOP_LEVEL",)),
        _CODE_MEMORY,
        Boundary(
            "shift_add",
            assumes=(f"!s_axis_tdata[{_FLAG}] || s_axis_tdata[{_FLAG} + 1 +: 4] == 0",),
            invariants=_ROW_ENDS,
            relations=_accumulators(".*__acc"),
        ),
        Boundary("shift_add_lane", assumes=("!flag || nibble == 0",)),
        Boundary("output_requantizer", assumes=_LAYER_2),
        _SOFTMAX_ROW,
        _ATTENTION_ROW,
    )
}
