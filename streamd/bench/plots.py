"""Plots of a measurement, from its JSON alone, in the style of the evaluation's plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.errors import StreamdError, Unavailable
from streamd.evaluation.plots import BLUE, GRID, INK, ORANGE, QUIET, RED, SERIES, STYLE, need

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures = Mapping[str, Any]

SUFFIXES = (".png", ".svg", ".pdf")
_STAGE_COLORS = {
    "vad": SERIES[2],
    "wake": SERIES[1],
    "voice": SERIES[0],
    "voice_speculative": SERIES[3],
    "emotion": SERIES[4],
    "rest": "#b8c2cc",
}


def check(file: Path) -> None:
    """Check that the plot can be drawn, before minutes of measuring.

    Raises:
        StreamdError: matplotlib is not installed, or does not know the kind of file.
    """
    need()
    if file.suffix and file.suffix not in SUFFIXES:
        raise StreamdError(f"{file}: not a picture format; use .png, .svg or .pdf")


def draw(found: Figures, file: Path) -> Path:
    """Draw a measurement to a `.png`, `.svg` or `.pdf`, or to `bench.png` of a folder.

    Returns:
        The file that was written.

    Raises:
        StreamdError: as `check`.
        Unavailable: it cannot be written.
    """
    check(file)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = file if file.suffix else file / "bench.png"
    by_streams = {step["streams"]: step for step in found["steps"]}
    steps = [by_streams[streams] for streams in sorted(by_streams)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 7), layout="constrained")
        (cost, latency), (stages, spread) = figure.subplots(2, 2)
        _cost(cost, steps)
        _latency(latency, steps, found["options"]["p99_ms"])
        _stages(stages, steps, found["server"]["cores"])
        _spread(spread, found["at_capacity"])
        for axes in (cost, latency):
            _mark_capacity(axes, found)
        at_least = "" if found["ended"] == "found" else "at least "
        figure.suptitle(
            f"carries {at_least}{found['capacity']} live streams · {found['cpu']}, "
            f"{found['cores']} cores · {found['date'][:10]}",
            x=0.01, ha="left", fontsize=9, color=QUIET,
        )  # fmt: skip
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file)
        except OSError as error:
            raise Unavailable(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def _cost(axes: Axes, steps: list[Figures]) -> None:
    told = [s for s in steps if s["server"] and s["server"]["cpu_ms"] is not None]
    values = [s["server"]["cpu_ms"] for s in told]
    axes.plot([s["streams"] for s in told], values, "-o", ms=4, color=BLUE)
    axes.set_ylim(0, 1.15 * max([*values, 1]))
    axes.set_ylabel("ms of CPU per stream-second")
    axes.set_xlabel("streams")
    axes.set_title("CPU of a stream")


def _latency(axes: Axes, steps: list[Figures], bound_ms: float) -> None:
    told = [s for s in steps if "all" in s["latency_ms"]]
    for name, color in (("p50", BLUE), ("p99", ORANGE)):
        values = [s["latency_ms"]["all"][name] for s in told]
        axes.plot([s["streams"] for s in told], values, "-o", ms=4, color=color, label=name)
    axes.axhline(bound_ms, color=RED, lw=0.9, ls="--")
    axes.annotate(f"bound {bound_ms:g} ms", (0.01, bound_ms), (0, 3), color=RED, fontsize=8,
                  xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    axes.set_yscale("log")
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted(lambda value, _: f"{value:g}" if str(value)[0] in "125" else "")
    axes.set_ylabel("latency of all events, ms")
    axes.set_xlabel("streams")
    axes.set_title("Latency")
    axes.legend(loc="lower right")


def _stages(axes: Axes, steps: list[Figures], cores: int | None) -> None:
    told = [s for s in steps if s["server"] and s["server"]["stages_ms"]]
    names = sorted(
        {name for s in told for name in s["server"]["stages_ms"]},
        key=lambda name: (name == "rest", name),
    )
    places = range(len(told))
    bottoms = [0.0] * len(told)
    for number, name in enumerate(names):
        # From ms per stream-second to cores: 1000 ms over all streams are one core.
        heights = [s["server"]["stages_ms"].get(name, 0.0) * s["streams"] / 1000 for s in told]
        color = _STAGE_COLORS.get(name, SERIES[number % len(SERIES)])
        label = "transport, sessions, …" if name == "rest" else name
        axes.bar(places, heights, 0.7, bottom=bottoms, color=color, label=label)
        bottoms = [low + height for low, height in zip(bottoms, heights, strict=True)]
    used = [s["server"]["cores"] for s in told if s["server"]["cores"] is not None]
    if len(used) == len(told):
        axes.plot(places, used, "D", ms=5, color=INK, mec="white", label="CPU of the process")
    if cores is not None and max(bottoms, default=0) > cores / 2:
        axes.axhline(cores, color=INK, lw=0.9, ls="--")
    axes.set_ylim(0, 1.35 * max([*bottoms, 0.1]))
    axes.set_xticks(places, [str(s["streams"]) for s in told])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("streams")
    axes.set_ylabel("cores")
    axes.set_title("Where the CPU goes")
    axes.legend(ncols=3, loc="upper left", handlelength=1, columnspacing=1)


def _spread(axes: Axes, step: Figures | None) -> None:
    if step is None or not step["histogram"]["counts"]:
        axes.text(0.5, 0.5, "no event came", ha="center", color=QUIET, transform=axes.transAxes)
        axes.set_axis_off()
        return
    edges, counts = step["histogram"]["edges_ms"], step["histogram"]["counts"]
    width = edges[1] if len(edges) > 1 else 1.0
    total = sum(map(sum, counts.values()))
    bottoms = [0.0] * len(edges)
    for color, (kind, column) in zip(SERIES * 2, counts.items(), strict=False):
        heights = [100 * count / total for count in column]
        axes.bar(edges, heights, width, bottom=bottoms, align="edge", color=color, label=kind,
                 edgecolor="white", lw=0.4)  # fmt: skip
        bottoms = [low + height for low, height in zip(bottoms, heights, strict=True)]
    p50, p99 = (step["latency_ms"]["all"][name] for name in ("p50", "p99"))
    for value in (p50, p99):
        axes.axvline(value, ymax=0.78, color=INK, lw=0.8, ls="--")
    axes.set_title(f"Latency with {step['streams']} streams: p50 {p50:.0f}, p99 {p99:.0f} ms")
    axes.set_xlim(0, edges[-1] + width)
    axes.set_ylim(0, 1.35 * max(bottoms))
    axes.set_xlabel("ms; the last bar is all that is more")
    axes.set_ylabel("% of events")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left", ncols=3, handlelength=1, columnspacing=1)


def _mark_capacity(axes: Axes, found: Figures) -> None:
    axes.set_xlim(left=0)
    if found["capacity"]:
        axes.axvspan(0, found["capacity"], color=GRID, alpha=0.5, lw=0, zorder=0)
