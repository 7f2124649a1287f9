"""Reports what each model is, for the metrics."""

from __future__ import annotations

from streamd import __version__
from streamd.models.catalogue import Model
from streamd.observability.metrics import Metrics


def report_model(
    metrics: Metrics, name: str, model: Model | None, backend: str, precision: str
) -> None:
    """Report a model of the server.

    Args:
        metrics: The metrics to report to.
        name: Name of its file without the ending, as in `streamd_model_loaded`.
        model: Its entry in the catalogue; None for a file of an owner's own.
        backend: What runs it.
        precision: Number format in which it computes.
    """
    about = ("", "", "") if model is None else (model.id, _version(model), model.licence)
    metrics.model_info.labels(name, *about, backend, precision).set(1)


def _version(model: Model) -> str:
    """Return the version of what the model comes in."""
    if model.wheel is not None:
        return model.wheel.version
    if model.published is not None:
        return model.published.revision
    return __version__ if model.bundled is not None else ""
