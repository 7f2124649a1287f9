"""The commented configuration file that `streamd config init` writes."""

from __future__ import annotations

from pathlib import Path


def template() -> str:
    """Return `config/streamd.toml`: every key, commented out, with its default."""
    packaged = Path(__file__).parent / "streamd.toml"
    checkout = Path(__file__).parents[2] / "config" / "streamd.toml"
    return (packaged if packaged.exists() else checkout).read_text(encoding="utf-8")
