"""Draws what a report says, as SVG that is the same for the same figures: bars of ours and of the peers, and what is to be reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import Report, Row, number

OURS, OWN, PEER, GREY, GOAL, INK = "#1f6f8b", "#7fb3c4", "#b8c4cc", "#7a868e", "#c0392b", "#333333"
BAR, HEAD, WIDTH = 0.27, 0.75, 9.0
"""Inches: a bar with its space, what stands around the bars of a panel, the whole."""
MOST_BARS = 12
FAR = 20
"""Where the largest is so many times the smallest, lengths are logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar, with what stands at its end; `beside` is a thinner one under it, `goals` are lines across both."""

    label: str
    value: float
    shown: str
    colour: str = OURS
    beside: float | None = None
    goals: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """`legend`: words and their colours, from left to right. `shares`: of a limit, of which each bar says what it is."""

    title: str
    unit: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]] = ()
    shares: bool = False


def draw(report: Report, file: Path) -> None:
    """Writes the plot of the report."""
    panels = panels_of(report.rows)
    heights = [HEAD + BAR * len(panel.bars) for panel in panels]
    style = {"svg.hashsalt": report.name, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context({**style, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}):
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _panel(axes, panel)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # A file that ends as text does, in every version of the library, is one that a diff can show.
    file.write_text("\n".join(line.rstrip() for line in file.read_text().splitlines()) + "\n")


def panels_of(rows: Sequence[Row]) -> list[Panel]:
    """A panel for each case with several peers, one for the other cases of a unit, and one for all that has only a limit.

    What has neither a peer nor a target is not drawn: a bar of its own says nothing.
    """
    panels: list[Panel] = []
    for unit in dict.fromkeys(row.unit for row in rows):
        by_case: dict[str, list[Row]] = {}
        for row in rows:
            if row.unit == unit and row.ours is not None and (row.peer or _least(row)):
                by_case.setdefault(row.case, []).append(row)
        panels += [_beside_peers(case, unit, some) for case, some in by_case.items() if len(some) > 1]
        single = [some[0] for some in by_case.values() if len(some) == 1]
        panels += [_cases(title, unit, some) for title, some in _parted(single)]
    limited = [row for row in rows if row.ours is not None and not row.peer and row.target and row.target.max]
    return [*panels, _limits(limited)] if limited else panels


def _parted(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Where a panel would have too many bars, one for each first part of the cases' names."""
    if len(rows) <= MOST_BARS:
        return [("", list(rows))] if rows else []
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.case.partition(", ")[0], []).append(row)
    return list(parts.items())


def _least(row: Row) -> bool:
    return row.target is not None and row.target.min is not None


def _beside_peers(case: str, unit: str, rows: Sequence[Row]) -> Panel:
    goals = [goal for row in rows if (goal := _goal(row)) is not None]
    ours = Bar(label="FedState", value=rows[0].ours or 0, shown=number(rows[0].ours), goals=goals)
    peers = sorted((row for row in rows if row.peer_value), key=lambda row: -(row.peer_value or 0))
    said = "; ".join(f"{row.target} {row.peer}" for row in rows if row.target is not None)
    legend = ((f"to reach: {said}", GOAL),) if said else ()
    return Panel(title=case, unit=unit, bars=[ours, *(_peer(row) for row in peers)], legend=legend)


def _peer(row: Row) -> Bar:
    name = row.peer or ""
    own = name.startswith("ours ")
    label = f"FedState, {name.removeprefix('ours ')}" if own else name
    return Bar(label=label, value=row.peer_value or 0, shown=number(row.peer_value), colour=OWN if own else PEER)


def _cases(title: str, unit: str, rows: Sequence[Row]) -> Panel:
    bars = []
    for row in rows:
        goal = _goal(row)
        goals = () if goal is None else (goal,)
        bars.append(
            Bar(
                label=row.case.removeprefix(f"{title}, "),
                value=row.ours or 0,
                shown=number(row.ours),
                beside=row.peer_value,
                goals=goals,
            )
        )
    legend = [("FedState", OURS)]
    legend += [(peer, GREY) for peer in dict.fromkeys(row.peer for row in rows) if peer]
    legend += [("to reach", GOAL)] if any(bar.goals for bar in bars) else []
    return Panel(title=title, unit=unit, bars=bars, legend=legend)


def _limits(rows: Sequence[Row]) -> Panel:
    """Figures of any unit, each as a share of what it may be."""
    bars = []
    for row in rows:
        limit = row.target.max if row.target is not None else None
        shown = f"{number(row.ours)} of {number(limit)} {row.unit}"
        bars.append(Bar(label=row.case, value=100 * (row.ours or 0) / (limit or 1), shown=shown, goals=(100,)))
    return Panel(title="Limits", unit="% of what it may be", bars=bars, legend=(("at most", GOAL),), shares=True)


def _goal(row: Row) -> float | None:
    """What a target demands of our own figure."""
    if row.target is None:
        return None
    bound = row.target.min if row.target.min is not None else row.target.max
    return bound * (row.peer_value or 0) if row.target.of == "ratio" and bound is not None else bound


def _panel(axes: Axes, panel: Panel) -> None:
    numbers = [value for bar in panel.bars for value in (bar.value, bar.beside, *bar.goals) if value]
    far = not panel.shares and bool(numbers) and max(numbers) / min(numbers) > FAR
    if far:
        axes.set_xscale("log")
        axes.set_xlim(min(numbers) / 2, max(numbers) * 3)
    else:
        axes.set_xlim(0, max(numbers, default=1) * (1.5 if panel.shares else 1.25))
    for line, bar in enumerate(panel.bars):
        _bar(axes, line, bar, 100 if panel.shares else bar.value * 1.8)
    axes.set_yticks(range(len(panel.bars)), [bar.label for bar in panel.bars])
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel(panel.unit + (", logarithmic" if far else ""))
    axes.set_title(panel.title, loc="left", fontweight="bold", fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    place = 1.0
    for text, colour in reversed(panel.legend):
        axes.annotate(
            text, (place, 1.0), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", ha="right", color=colour
        )
        place -= (len(text) + 3) * 0.0105


def _bar(axes: Axes, place: int, bar: Bar, near: float) -> None:
    thin = bar.beside is not None
    at = place - 0.2 if thin else place
    axes.barh(at, bar.value, height=0.42 if thin else 0.7, color=bar.colour)
    if bar.beside is not None:
        axes.barh(place + 0.2, bar.beside, height=0.3, color=PEER)
    for goal in bar.goals:
        axes.plot([goal, goal], [place - 0.45, place + 0.45], color=GOAL, linewidth=1.8)
    # A figure that stands just short of a line would be struck out by it.
    end = max([bar.value, *(goal for goal in bar.goals if bar.value < goal <= near)])
    axes.annotate(bar.shown, (end, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
