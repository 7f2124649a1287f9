"""The results of a measurement, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streamd.bench.bars import bar

Figures = Mapping[str, Any]

BAR = 36
CROWD = 0.25
"""Cores that other programs may use before the summary mentions it."""
_STAGES = {
    "emotion": "its network, on the event loop",
    "rest": "transport, sessions, dispatch",
}
_LOWER_BOUND = {
    "max": "more were not tried (--max)",
    "load": "above that, the load generator was late, not the server; run it on another machine, "
    "with --url",
    "refused": "above that, the server refuses streams; see its limits.max_streams",
    "interrupted": "interrupted; more were not tried",
}


def show(console: Console, found: Figures) -> None:
    """Print the summary, without the table of the steps."""
    console.print()
    console.print(Text(_where(found), "dim"))
    console.print()
    console.print(_headline(found))
    step = found["at_capacity"]
    if step is None:
        return
    console.print()
    console.print(Text(f"With {step['streams']} streams", "bold"))
    for part in _parts(found, step):
        console.print(Padding(part, (1, 0, 0, 2), expand=False))


def _where(found: Figures) -> str:
    server, options = found["server"], found["options"]
    place = f"{server['url']}, load from this machine: " if server["url"] else ""
    cores = f"{found['cores']} cores"
    if server["cores"] not in (None, found["cores"]):
        cores = f"server on {server['cores']} of {cores}"
    versions = found["versions"]
    words = f" of {len(options['words'])} words" if "wake" in options["modules"] else ""
    modules = ", ".join(options["modules"]).replace("wake", f"wake{words}")
    return (
        f"{place}{found['cpu']}, {cores}; {found['date'][:10]}\n"
        f"streamd {server['version'] or versions['streamd']}, "
        f"onnxruntime {versions.get('onnxruntime', '?')}, Python {versions['python']}\n"
        f"{modules}; voiced {100 * options['duty']:.0f} %, {options['message_ms']} ms messages, "
        f"{options['step_s']:g} s per step"
    )


def _headline(found: Figures) -> Text:
    broke = found["broke"]
    if not found["capacity"]:
        tried = f"; {broke['streams']} streams: {broke['why']}" if broke else ""
        return Text(f"Carries no live stream{tried}", "bold red")
    is_exact = found["ended"] == "found"
    at_least = "" if is_exact else "at least "
    text = Text.assemble(("Carries ", ""), (f"{at_least}{found['capacity']} live streams", "bold"))
    if found["streams_per_core"] is not None:
        text.append(f", {found['streams_per_core']:.0f} per core")
    if is_exact:
        text.append(f"; {broke['streams']} were too many ({broke['why']})")
    else:
        text.append(f"; {_LOWER_BOUND[found['ended']]}")
    return text


def _parts(found: Figures, step: Figures) -> Iterator[RenderableType]:
    if step["latency_ms"]:
        yield _latency(step["latency_ms"])
        yield _histogram(step["histogram"])
    else:
        yield Text("No events came; use audio with speech in it, or longer steps.")
    if step["server"] is not None:
        yield _cpu(step["server"])
    yield _rest(found, step)


def _latency(latency: Figures) -> Table:
    table = _table("latency, ms", "n", "p50", "p90", "p99", "most")
    kinds = sorted(latency, key=lambda kind: (kind != "all", kind))
    for kind in kinds:
        p = latency[kind]
        values = [f"{p[name]:.0f}" for name in ("p50", "p90", "p99", "most")]
        table.add_row(kind, str(p["n"]), *values, style="bold" if kind == "all" else "")
    return table


def _histogram(histogram: Figures) -> Table:
    edges = histogram["edges_ms"]
    totals = [sum(column) for column in zip(*histogram["counts"].values(), strict=True)]
    table = _table("all events, ms", "", "")
    for number, count in enumerate(totals):
        is_last = number == len(totals) - 1
        to = "and more" if is_last else f"– {edges[number + 1]:.0f}"
        share = count / (sum(totals) or 1)
        table.add_row(
            f"{edges[number]:>5.0f} {to}", f"{100 * share:.1f} %",
            Text(bar(count / (max(totals) or 1), BAR), "cyan"),
        )  # fmt: skip
    table.columns[2].justify = "left"
    return table


def _cpu(server: Figures) -> Table:
    total = "" if server["cpu_ms"] is None else f"{server['cpu_ms']:.1f}"
    table = _table("CPU, ms per stream-second", total, "")
    stages = server["stages_ms"]
    most = max(stages.values(), default=0.0) or 1.0
    for name, value in stages.items():
        batch = server["mean_batch"].get(name)
        said = _STAGES.get(name, "" if batch is None else _fed(server, name))
        drawn = Text.assemble((bar(value / most, BAR // 2), "cyan"), ("  " + said, "dim"))
        table.add_row(name, f"{value:.1f}", drawn)
    table.columns[2].justify = "left"
    return table


def _fed(server: Figures, name: str) -> str:
    batch, each = server["mean_batch"][name], server["items_per_s"][name]
    return f"{each:.{1 if each >= 1 else 2}f} per second, in batches of {batch:.1f}"


def _rest(found: Figures, step: Figures) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    memory, late = found["memory"], step["late"]
    server = step["server"]
    if server is not None and server["cores"] is not None:
        table.add_row("cores busy", f"{server['cores']:.2f} by the server")
        if (others := step["others_cores"] or 0.0) > CROWD:
            said = f"{others:.2f} by other programs; without them it would carry more"
            table.add_row("", Text(said, "yellow"))
    if memory["before_bytes"] is not None:
        each = memory["per_stream_bytes"]
        said = f"{memory['before_bytes'] / 1e6:.0f} MB before the first stream"
        table.add_row("memory", said + (f", {each / 1e6:.2f} MB per stream" if each else ""))
    table.add_row("worst ack lag", f"{step['worst_lag_ms']:.0f} ms")
    table.add_row(
        "speech",
        f"in {100 * step['voiced']:.0f} % of the time clips were played, in "
        f"{100 * step['speech']:.0f} % utterances were found",
    )
    table.add_row(
        "load generator",
        f"{late['cpu_ms']:.1f} ms of CPU per stream-second; late {late['p99_ms']:.1f} ms p99, "
        f"{late['most_ms']:.0f} ms worst",
    )
    return table


def _table(*heads: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    return table
