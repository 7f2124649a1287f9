"""Plots of a report, from its JSON alone. matplotlib is an extra, imported where one is drawn."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.errors import StreamdError, Unavailable
from streamd.evaluation.cache import default_directory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Figures = Mapping[str, Any]

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, TEAL, RED = "#2f6fb2", "#d9822b", "#2a9d8f", "#c4453c"
SERIES = (BLUE, ORANGE, TEAL, RED, "#7d5ba6", "#5c6b73")
MAX_FILES = 10
STYLE = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def need() -> None:
    """Check that plots can be drawn, before anything is evaluated.

    matplotlib keeps its settings and list of fonts in streamd's cache folder, unless
    MPLCONFIGDIR says where.

    Raises:
        StreamdError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise StreamdError("plots need matplotlib: pip install 'streamd-voice[plot]'")
    os.environ.setdefault("MPLCONFIGDIR", str(default_directory(os.environ).parent / "matplotlib"))


def draw(figures: Figures, place: Path) -> Path:
    """Draw a report.

    Args:
        figures: of the report, as its JSON has them.
        place: a file (`.png`, `.svg`, `.pdf`), or a folder for `MODULE.png`.

    Returns:
        The file that was written.

    Raises:
        StreamdError: matplotlib is not installed, or does not know the kind of file.
        Unavailable: it cannot be written.
    """
    need()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    module = figures["module"]
    file = place if place.suffix else place / f"{module}.png"
    with mpl.rc_context(STYLE):
        figure = Figure(layout="constrained")
        _DRAWN[module](figure, figures)
        conditions = ", ".join(figures["conditions"]) or "recordings as they are"
        figure.suptitle(
            f"{module} · {Path(figures['manifest']).name} · {conditions}",
            x=0.01, ha="left", fontsize=9, color=QUIET,
        )  # fmt: skip
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file)
        except ValueError as error:
            raise StreamdError(f"{file}: {error}; name a .png, .svg or .pdf") from error
        except OSError as error:
            raise Unavailable(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def _title(name: str, metric: Figures, scale: float = 100, unit: str = " %") -> str:
    if metric["value"] is None:
        return name
    text = f"{name} {scale * metric['value']:.3g}{unit}"
    if metric["ci95"] is not None:
        low, high = metric["ci95"]
        text += f" [{scale * low:.3g}, {scale * high:.3g}]"
    return text


def _vad(figure: Figure, found: Figures) -> None:
    files = sorted(found["files"], key=lambda f: -_wrong(f))[:MAX_FILES]
    figure.set_size_inches(9, 2.0 + 0.42 * len(files))
    lines, bars = figure.subplots(1, 2, width_ratios=(3, 1))
    for row, file in enumerate(files):
        for spans, offset, color in ((file["labelled"], 0.2, QUIET), (file["heard"], -0.2, BLUE)):
            bar = [(a / 1000, (b - a) / 1000) for a, b in spans]
            lines.broken_barh(bar, (row + offset - 0.16, 0.32), facecolors=color)
    names = [_short(Path(file["path"]).name) for file in files]
    lines.set_yticks(range(len(files)), names)
    lines.set_ylim(len(files) - 0.4, -0.6)
    lines.set_xlim(0, max((f["duration_ms"] for f in files), default=1000) / 1000)
    lines.set_xlabel("seconds")
    lines.grid(axis="y", visible=False)
    lines.set_title(_title("Speech edges: F1", found["f1"]))
    _key(lines, {"reported": BLUE, "labelled": QUIET})
    for offset, key, color in ((-0.18, "miss", ORANGE), (0.18, "false_alarm", RED)):
        values = [100 * (file[key] or 0) for file in files]
        bars.barh([r + offset for r in range(len(files))], values, 0.34, color=color)
    bars.set_yticks(range(len(files)), [])
    bars.set_ylim(lines.get_ylim())
    bars.set_xlabel("% of speech, of the rest")
    bars.grid(axis="y", visible=False)
    _key(bars, {"missed": ORANGE, "false": RED})


def _wrong(file: Figures) -> float:
    """Return milliseconds that were missed or false."""
    speech = sum(b - a for a, b in file["labelled"])
    missed, false = (file["miss"] or 0.0), (file["false_alarm"] or 0.0)
    return float(missed * speech + false * (file["duration_ms"] - speech))


def _key(axes: Axes, colors: Mapping[str, str]) -> None:
    """A legend beside the title, out of the way of the data."""
    from matplotlib.patches import Patch

    handles = [Patch(color=color, label=name) for name, color in colors.items()]
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles),
        borderaxespad=0.3, handlelength=1, columnspacing=1.2,
    )  # fmt: skip


def _short(name: str, length: int = 24) -> str:
    return name if len(name) <= length else "…" + name[-length + 1 :]


def _wake(figure: Figure, found: Figures) -> None:
    figure.set_size_inches(9, 3.8)
    trade, by_threshold = figure.subplots(1, 2)
    curves = found["words"] if len(found["words"]) < len(SERIES) else {"all": found}
    rates = []
    for color, (word, own) in zip(SERIES, curves.items(), strict=False):
        points = [
            (p["threshold"], 100 * p["miss"]["value"], p["fa_per_h"]["value"])
            for p in own["curve"]
            if p["miss"]["value"] is not None and p["fa_per_h"]["value"] is not None
        ]
        rates += [rate for *_, rate in points]
        trade.plot([p[2] for p in points], [p[1] for p in points], "-o", ms=3, color=color,
                   label=word)  # fmt: skip
        served = found["thresholds"].get(word)
        near = [p for p in points if served is not None and abs(p[0] - served) < 1e-6]
        for threshold, miss, rate in near:
            trade.plot([rate], [miss], "o", ms=9, mfc="none", mec=color, mew=1.5)
            trade.annotate(f"{threshold:g}, as served", (rate, miss), (8, 8),
                           textcoords="offset points", fontsize=8, color=color)  # fmt: skip
        _band(by_threshold, own["curve"], color, word)
    trade.set_xscale("symlog", linthresh=max(min((r for r in rates if r > 0), default=1.0), 0.01))
    trade.set_xlim(left=0)
    misses = [100 * p["miss"]["value"] for own in curves.values() for p in own["curve"]
              if p["miss"]["value"] is not None]  # fmt: skip
    highest = max([*misses, 4.5]) * 1.1
    trade.set_ylim(-0.03 * highest, highest)
    trade.set_xlabel("false accepts per hour")
    trade.set_ylabel("missed, %")
    trade.set_title("Misses against false accepts")
    trade.legend()
    by_threshold.set_xlabel("threshold")
    by_threshold.set_ylabel("missed, %")
    by_threshold.set_xlim(0, 1)
    by_threshold.set_title(_title("Missed as served:", found["miss"]))
    by_threshold.set_ylim(bottom=0)


def _band(axes: Axes, curve: list[Figures], color: str, label: str) -> None:
    """Misses with their interval."""
    points = [p for p in curve if p["miss"]["value"] is not None]
    x = [p["threshold"] for p in points]
    axes.plot(x, [100 * p["miss"]["value"] for p in points], color=color, label=label)
    low, high = ([100 * p["miss"]["ci95"][i] for p in points] for i in (0, 1))
    axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


def _speaker(figure: Figure, found: Figures) -> None:
    figure.set_size_inches(9, 3.9)
    det, scores = figure.subplots(1, 2)
    curves = [curve for curve in found["curves"] if curve["det"]]
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40]
    for color, curve in zip(SERIES, curves, strict=False):
        length = "whole" if curve["length_s"] is None else f"{curve['length_s']:g} s"
        points = [(_probit(fa), _probit(miss)) for _, miss, fa in curve["det"]]
        det.plot([p[0] for p in points], [p[1] for p in points], color=color, label=length,
                 drawstyle="steps-post")  # fmt: skip
    places = [_probit(t / 100) for t in ticks]
    for axis in (det.xaxis, det.yaxis):
        axis.set_ticks(places, [f"{t:g}" for t in ticks])
    limits = (_probit(0.0008), _probit(0.5))
    det.set_xlim(limits)
    det.set_ylim(limits)
    det.plot(limits, limits, color=QUIET, lw=0.8, ls=":")
    det.set_xlabel("impostors let in, %")
    det.set_ylabel("own voice refused, %")
    det.set_title(_title("EER", found["eer"]))
    if curves:
        det.legend(title=f"{curves[0]['channel']}, test of", title_fontsize=8)
        _scores(scores, curves[0], found)


def _scores(axes: Axes, curve: Figures, found: Figures) -> None:
    histogram = curve["histogram"]
    edges = histogram["edges"]
    for name, color in (("impostor", ORANGE), ("genuine", BLUE)):
        counts = histogram[name]
        density = [c / max(sum(counts), 1) for c in counts]
        axes.stairs(density, edges, fill=True, alpha=0.55, color=color, label=name)
        axes.stairs(density, edges, color=color, lw=1)
    served: Figures = next(
        (c["served"] for c in found["thresholds"] if c["channel"] == curve["channel"]), {}
    )
    top = axes.get_ylim()[1]
    for name, value in served.items():
        axes.axvline(value, color=INK, lw=0.8, ls="--")
        axes.text(value, top, f" {name} {value:g}", va="top", fontsize=8)
    axes.set_xlabel("score")
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_title("Scores, and the thresholds that are served")
    axes.legend(loc="upper left")


def _probit(p: float) -> float:
    """Normal deviate: a normal distribution is a straight line on this scale."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(min(max(p, 1e-5), 1 - 1e-5))


def _emotion(figure: Figure, found: Figures) -> None:
    figure.set_size_inches(10.5, 3.8)
    matrix, reliability, coverage = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    if "confusion" not in found:
        matrix.set_title("Fewer than two labels")
        return
    _confusion(matrix, found)
    bins = found["reliability"]
    reliability.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=":")
    reliability.plot([b["confidence"] for b in bins], [b["precision"] for b in bins], "-o", ms=4,
                     color=BLUE)  # fmt: skip
    reliability.set_xlim(0, 1)
    reliability.set_ylim(0, 1)
    reliability.set_aspect("equal")
    reliability.set_xlabel("confidence")
    reliability.set_ylabel("share that is right")
    reliability.set_title(_title("ECE", found["ece"], 1, ""))
    curve = found["coverage_curve"]
    coverage.axhline(0.7, color=QUIET, lw=0.8, ls=":")
    coverage.plot([c for c, *_ in curve], [p for _, p, _ in curve], color=BLUE)
    at = found["coverage_at_p70"]["value"]
    coverage.axvline(at, color=ORANGE, lw=1, ls="--")
    coverage.set_xlim(0, 1)
    coverage.set_ylim(0, 1.02)
    coverage.set_xlabel("share of rows, the surest first")
    coverage.set_ylabel("share of them that is right")
    coverage.set_title(f"Covered at 70 %: {100 * at:.0f} %")


def _confusion(axes: Axes, found: Figures) -> None:
    rows = found["confusion"]
    columns = [name for name in next(iter(rows.values())) if name != "silent"]
    if any(row["silent"] for row in rows.values()):
        columns.append("silent")
    shares = [[row[c] / max(sum(row.values()), 1) for c in columns] for row in rows.values()]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(shares):
        for j, value in enumerate(row):
            color = "white" if value > 0.55 else INK
            axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(_title("UAR", found["uar"]))


_DRAWN: dict[str, Callable[[Figure, Figures], None]] = {
    "vad": _vad,
    "wake": _wake,
    "speaker": _speaker,
    "emotion": _emotion,
}
