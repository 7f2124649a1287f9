"""The metrics of a server that has done nothing yet."""

from prometheus_client import Counter, Gauge, Histogram

from streamd.observability.metrics import Metrics

ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def families() -> dict[str, set[str]]:
    """The labels of each metric, by the name that the documentation gives it."""
    found = {"streamd_build_info": {"version"}}
    for name, kind, labels in _made():
        found[name + ("_total" if kind == "counter" else "")] = labels
    return found


def samples() -> set[str]:
    """The name of each sample."""
    endings = ((name, ENDINGS.get(kind, ("",))) for name, kind, _ in _made())
    return {"streamd_build_info", *(name + end for name, ends in endings for end in ends)}


def _made() -> list[tuple[str, str, set[str]]]:
    """Name without ending, type and labels of each metric of our own."""
    found = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            found.append((family.name, family.type, set(metric._labelnames)))
    return found
