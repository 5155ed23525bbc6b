"""`bitlog2 status`, `resume`, `report` and `compare`: commands on runs in folders."""

from pathlib import Path
from typing import Annotated

from bitlog2.names import FIGURE_FORMATS

from .options import refuse
from .terminal import command, progress, show, write_json
from .values import (
    CheckThreads,
    Json,
    comma_list,
    image_layer_head,
    one_of,
    output_file,
    value,
)

Run = Annotated[Path, value(help="folder of a run")]


def status(run: Run, /, *, json: Json = None) -> int:
    """Show how far the cells of a run are, whether or not it is being run.

    A finished cell in integer arithmetic is shown with the digest of its logits.
    """
    from bitlog2.models.runs.folder import RunFolder

    folder = RunFolder.open(run)
    cells = folder.status()
    write_json(json, {"cells": cells})
    print("\n".join(folder.status_lines(cells)))
    return 0


STATUS_EXAMPLES = """example:
  bitlog2 status RUN --json status.json"""


def resume(run: Run, /, *, check_threads: CheckThreads = None, json: Json = None) -> int:
    """Evaluate what is missing of a run; a finished one shows its result again."""
    from bitlog2.flow.evaluation import Outputs, evaluated

    return evaluated(run, None, check_threads, progress, Outputs(json))


RESUME_EXAMPLES = """examples:
  bitlog2 resume RUN
  torchrun --nproc-per-node 4 -m bitlog2 resume RUN     shared by four processes: the same bytes

Versions, weights and images must be those that the run began with.

exit status: 0 every value compared agreed, 1 a register differed, 2 wrong usage"""


def report(
    run: Path,
    /,
    *more: Path,
    out: Annotated[Path | None, value(output_file)] = None,
    figures: Path | None = None,
    format: Annotated[tuple[str, ...] | None, value(comma_list(one_of(FIGURE_FORMATS)))] = None,
    tables: Path | None = None,
    latex: Annotated[Path | None, value(output_file)] = None,
    csv: Annotated[Path | None, value(output_file)] = None,
    pairs: Annotated[Path | None, value(output_file)] = None,
    map: Annotated[tuple[int, int, int] | None, value(image_layer_head)] = None,
    vectors: Path | None = None,
    mutation: bool = False,
) -> int:
    """Draw finished runs: one page that needs nothing else, and files for a paper.

    Accuracy, comparisons, agreement and confusion, what each code does to the attention map, ranges
    of registers against their widths.

    Args:
        run: folder of a run
        more: folders of other runs
        out: the page
        figures: folder of every figure of the page as a file
        format: list of what figures are written as (default: svg); pgf needs LaTeX
        tables: folder of every table of the page as CSV and Markdown
        latex: accuracy in LaTeX with booktabs: a column per model, mean and spread over the seeds
        csv: the table of quantized cells, with the agreement of predictions with the same
            quantization in the arithmetic attention
        pairs: schemes compared in pairs over all seeds, as CSV: McNemar's test, Holm-corrected
        map: IMAGE,LAYER,HEAD of the attention maps that are drawn, by their numbers (default: 0,0,0
            of digits and fashion; others need their models and images for it)
        vectors: show the coverage of this vector set too
        mutation: show what mutation of the reference RTL found too
    """
    if not any((out, figures, tables, latex, csv, pairs)):
        raise ValueError(
            "--out, --figures, --tables, --latex, --csv or --pairs must be given, got none"
        )
    if figures is None:
        refuse("without --figures", ("--format", format))
    if not (out or figures):
        refuse("without --out or --figures", ("--map", map))
    if format:
        from bitlog2.models.report.drawing import require_format

        for kind in format:
            require_format(kind)
    from bitlog2.models.runs.folder import RunFolder
    from bitlog2.models.runs.latex import latex_table
    from bitlog2.models.runs.result import csv_table, pairs_table, read_result
    from bitlog2.sim.files import write_whole

    results = {path: read_result(path) for path in (run, *more)}
    if out or figures or tables:
        from bitlog2.flow.report import report_of

        found = report_of(results, vectors, map, mutation=mutation)
        if out is not None:
            write_whole(out, found.page().encode())
            print(f"{out}: {sum(len(result.cells) for result in results.values())} cells")
        if figures is not None:
            print(f"{figures}: {len(found.save_figures(figures, format or ('svg',)))} files")
        if tables is not None:
            print(f"{tables}: {len(found.save_tables(tables))} files")
    if latex is not None:
        write_whole(latex, latex_table(list(results.values())).encode())
        print(f"{latex}: the table")
    if csv is not None:
        write_whole(csv, csv_table([RunFolder.open(path) for path in results]).encode())
        print(f"{csv}: the table")
    if pairs is not None:
        write_whole(pairs, pairs_table(list(results.values())).encode())
        print(f"{pairs}: {sum(len(result.comparisons) for result in results.values())} pairs")
    return 0


REPORT_EXAMPLES = """examples:
  bitlog2 report RUN --out report.html
  bitlog2 report RUN1 RUN2 --out report.html --vectors build/vectors --mutation
  bitlog2 report RUN --figures figures --format pdf,svg --tables tables
  bitlog2 report RUN --latex table.tex
  bitlog2 report RUN --out report.html --map 5,2,1      image 5, layer 2, head 1"""


def compare(
    a: Path,
    b: Path,
    /,
    *,
    cell: tuple[str, str] | None = None,
    json: Json = None,
) -> int:
    """Compare the cells that two runs have in common, or two cells by name.

    Shown are the digests of integer logits, the images whose prediction changed, and the first
    layer and register that differs: in integer arithmetic the first of the whole network, else of
    its attention.

    Args:
        a: folder of a run
        b: folder of another, or the same
        cell: two cells by name
    """
    from bitlog2.models.runs.compare import compare_cells
    from bitlog2.models.runs.folder import RunFolder

    compared = []
    for found in compare_cells(RunFolder.open(a), RunFolder.open(b), cell):
        compared.append(found)
        show(found.lines())
    same = all(found.same for found in compared)
    write_json(json, {"same": same, "cells": compared})
    return 0 if same else 1


COMPARE_EXAMPLES = """examples:
  bitlog2 compare RUN_A RUN_B
  bitlog2 compare RUN RUN --cell digits-BitLog2_Half_16-integer-w4a4-seed0 \\
      digits-BitLog2_Half_17-integer-w4a4-seed0

exit status: 0 nothing differs, 1 something does, 2 they cannot be compared"""

status_app = command(status, STATUS_EXAMPLES)
resume_app = command(resume, RESUME_EXAMPLES)
report_app = command(report, REPORT_EXAMPLES)
compare_app = command(compare, COMPARE_EXAMPLES)
