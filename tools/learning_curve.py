"""Draw the model card's table of error rates by steps: `python tools/learning_curve.py` (extra `dev`)."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

CARD = Path(__file__).parent.parent / "ocrformer" / "weights" / "README.md"
LINES_A_STEP = 47.7  # batches hold constant pixels, not constant lines: a mean


def table(card: str) -> tuple[list[str], list[list[float]]]:
    """Headings and rows of the card's table that begins with steps; NaN where a cell is empty."""
    _, rest = card.split("| steps | journal", 1)
    heading, _, *rows = ("| steps | journal" + rest.split("\n\n", 1)[0]).splitlines()
    cells = [[cell.strip().replace(",", "") for cell in re.split(r"\|", row)[1:-1]] for row in rows]
    return [cell.strip() for cell in heading.split("|")[1:-1]], [[float(c or "nan") for c in row] for row in cells]


def main() -> None:
    """Write `learning-curve.svg` beside the card."""
    headings, rows = table(CARD.read_text("utf-8"))
    steps, *curves = zip(*rows, strict=True)
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, rates in zip(headings[1:], curves, strict=True):
        axes.plot(
            [step * LINES_A_STEP / 1e6 for step in steps], rates, marker=".", markersize=4, linewidth=1, label=name
        )
    axes.set(xlabel="lines seen, millions", ylabel="character error rate, %", yscale="log", ylim=(0.15, 100))
    axes.grid(alpha=0.3, which="both")
    axes.legend(ncols=2, fontsize="small")
    figure.savefig(CARD.with_name("learning-curve.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
