"""Validation of values from outside against the types that streamd declares.

Messages, module options and the configuration are msgspec types. `convert` makes such a
type from plain JSON or TOML values, or raises `Invalid` with every `Fault` in plain words.
"""

from streamd.validation.faults import Fault, Invalid
from streamd.validation.walk import convert, fits, unknown_keys
from streamd.validation.words import expected, quoted, show

__all__ = ["Fault", "Invalid", "convert", "expected", "fits", "quoted", "show", "unknown_keys"]
