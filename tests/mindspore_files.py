"""Writes checkpoints as MindSpore does: with protobuf itself, by the definition it publishes."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from streamd.models.convert import ecapa

TYPES = {"<f4": "Float32", "<f2": "Float16", "<i4": "Int32", "<i8": "Int64"}
SMALL = ecapa.Sizes(channels=32, squeezed=12, attention=10, width=24)
_FIELD = descriptor_pb2.FieldDescriptorProto


def _definition() -> descriptor_pb2.FileDescriptorProto:
    """`checkpoint.proto`, as far as a checkpoint of tensors uses it."""
    file = descriptor_pb2.FileDescriptorProto(name="checkpoint.proto", syntax="proto2")
    tensor = file.message_type.add(name="TensorProto")
    tensor.field.add(name="dims", number=1, type=_FIELD.TYPE_INT64, label=_FIELD.LABEL_REPEATED)
    for number, name, kind in (
        (2, "tensor_type", _FIELD.TYPE_STRING),
        (3, "tensor_content", _FIELD.TYPE_BYTES),
    ):
        tensor.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_REQUIRED)
    checkpoint = file.message_type.add(name="Checkpoint")
    value = checkpoint.nested_type.add(name="Value")
    value.field.add(name="tag", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_REQUIRED)
    value.field.add(
        name="tensor",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".TensorProto",
        label=_FIELD.LABEL_REQUIRED,
    )
    checkpoint.field.add(
        name="value",
        number=1,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".Checkpoint.Value",
        label=_FIELD.LABEL_REPEATED,
    )
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_definition())
_Checkpoint = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("Checkpoint"))


def content(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a checkpoint: a message for each tensor, one behind the other."""
    written = b""
    for name, array in tensors.items():
        checkpoint = _Checkpoint()
        value = checkpoint.value.add()
        value.tag = name
        value.tensor.dims.extend(array.shape or (0,))
        value.tensor.tensor_type = TYPES[array.dtype.str]
        value.tensor.tensor_content = array.tobytes()
        written += checkpoint.SerializeToString()
    return written


def write(path: Path, tensors: Mapping[str, np.ndarray], *, checksum: bool = False) -> Path:
    """Write a checkpoint, with a CRC-32 behind it as `save_checkpoint(crc_check=True)` does."""
    written = content(tensors)
    if checksum:
        written += b"crc_num" + zlib.crc32(written).to_bytes(10, "big")
    path.write_bytes(written)
    return path


def ecapa_weights(sizes: ecapa.Sizes = SMALL, seed: int = 5) -> dict[str, np.ndarray]:
    """Weights of ECAPA-TDNN by MindAudio's names.

    They keep the activations of each layer near 1, as trained ones do.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for name, shape in ecapa.shapes(sizes):
        if name.endswith(("gamma", "moving_variance")):
            values = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            values = rng.normal(0, 0.3, shape)
        else:
            values = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        weights[name] = values.astype("<f4")
    weights["0.conv.weight"] /= 10  # the features are in dB
    return weights
