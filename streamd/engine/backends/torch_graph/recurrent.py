"""The LSTM of ONNX on torch's own, and onnxruntime's LSTM with int8 weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamd.engine.backends.torch_graph.operators import Make, UnknownOperator, only
from streamd.engine.backends.torch_graph.reader import Node

_HELD = 1e4
"""Weight of the input that stops an item: the sigmoid of it is 1 to the bit, of minus it 0."""
_LEVELS = 255.0


class Lstm(torch.nn.Module):
    """Runs the operator `LSTM` in one or both directions, over items of unequal lengths too.

    torch's LSTM takes unequal lengths only if the host knows them, which would wait for the device.
    Instead, one more input is 1 behind an item's end. It closes the input gate and opens the forget
    gate, so that the cell keeps its value to the bit.
    """

    weight: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        direction = only(node, "direction", "forward", "bidirectional")
        _check(node)
        weight, recurrent, bias = (node.constant(place) for place in (1, 2, 3))
        if weight is None or recurrent is None or (bias is None and node.has(3)):
            raise UnknownOperator("LSTM with computed weights")
        self._is_both = direction == "bidirectional"
        self._has_lengths = node.has(4)
        if self._has_lengths and self._is_both:
            raise UnknownOperator("LSTM in both directions over items of unequal lengths")
        hidden = node.attributes["hidden_size"]
        inputs = weight.shape[2] + self._has_lengths
        self.rnn = torch.nn.LSTM(inputs, hidden, bidirectional=self._is_both)
        for number, suffix in enumerate(("", "_reverse")[: len(weight)]):
            into = _gates(weight[number])
            if self._has_lengths:
                stop = np.zeros((4, hidden), np.float32)
                stop[0], stop[1] = -_HELD, _HELD
                into = np.concatenate((into, stop.reshape(-1, 1)), axis=1)
            both = np.zeros(8 * hidden, np.float32) if bias is None else bias[number]
            halves = both.reshape(2, 4 * hidden)
            for name, value in (
                ("weight_ih", into),
                ("weight_hh", _gates(recurrent[number])),
                ("bias_ih", _gates(halves[0])),
                ("bias_hh", _gates(halves[1])),
            ):
                parameter = torch.nn.Parameter(torch.from_numpy(value.copy()), requires_grad=False)
                setattr(self.rnn, f"{name}_l0{suffix}", parameter)
        self.rnn.flatten_parameters()

    def forward(
        self,
        x: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor | None = None,
        lengths: Tensor | None = None,
        h: Tensor | None = None,
        c: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all outputs `[T, directions, N, H]`, and the last output and cell."""
        steps, items = x.shape[:2]
        state = [
            x.new_zeros(2 if self._is_both else 1, items, self.rnn.hidden_size)
            if part is None
            else part.to(x.dtype)
            for part in (h, c)
        ]
        if lengths is None:
            y, (h, c) = self.rnn(x, (state[0], state[1]))
            turned = y.reshape(steps, items, -1, self.rnn.hidden_size).transpose(1, 2)
            return turned, h, c
        over = (torch.arange(steps, device=x.device)[:, None] >= lengths[None, :])[..., None]
        # What stands behind the end is hidden, because it could outweigh the stop.
        seen = torch.cat((x.masked_fill(over, 0.0), over.to(x.dtype)), 2)
        y, (_, c) = self.rnn(seen, (state[0], state[1]))
        h = _at_end(y, state[0], lengths)
        return y.masked_fill(over, 0.0)[:, None], h, c


class QuantizedLstm(torch.nn.Module):
    """Runs `DynamicQuantizeLSTM`: int8 weights, and uint8 inputs whose scale spans the batch.

    The products are those of whole numbers in float32, which holds their sums exactly. So it saves
    neither time nor memory here; it is there to run the same file.
    """

    weight: Tensor
    weight_scale: Tensor
    recurrent: Tensor
    recurrent_scale: Tensor
    bias: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        only(node, "direction", "forward")
        _check(node)
        bias = node.constant(3)
        if bias is None:
            raise UnknownOperator("DynamicQuantizeLSTM without a constant bias")
        self._hidden = node.attributes["hidden_size"]
        for name, places in (("weight", (1, 8, 9)), ("recurrent", (2, 10, 11))):
            value, scale, shift = (node.constant(place) for place in places)
            if value is None or scale is None or shift is None:
                raise UnknownOperator("DynamicQuantizeLSTM with computed weights")
            levels = value[0].astype(np.float32) - shift.reshape(-1).astype(np.float32)
            self.register_buffer(name, torch.from_numpy(levels))
            self.register_buffer(f"{name}_scale", torch.from_numpy(scale.reshape(-1).copy()))
        both = bias[0].reshape(2, -1).sum(axis=0)
        self.register_buffer("bias", torch.from_numpy(both))

    def forward(
        self,
        x: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        lengths: Tensor | None = None,
        h: Tensor | None = None,
        c: Tensor | None = None,
        *rest: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return all outputs `[T, 1, N, H]`, and the last output and cell `[1, N, H]`."""
        steps, items = x.shape[:2]
        zeros = x.new_zeros(items, self._hidden)
        first = out = zeros if h is None else h[0]
        cell = zeros if c is None else c[0]
        levels, scale = _quantized(x)
        coming = (levels @ self.weight) * (scale * self.weight_scale) + self.bias
        outputs = []
        for step in range(steps):
            levels, scale = _quantized(out)
            gates = coming[step] + (levels @ self.recurrent) * (scale * self.recurrent_scale)
            i, o, f, g = gates.chunk(4, dim=1)
            new = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            out = torch.sigmoid(o) * torch.tanh(new)
            if lengths is not None:
                new = torch.where((step < lengths)[:, None], new, cell)
            cell = new
            outputs.append(out)
        y = torch.stack(outputs)
        if lengths is None:
            return y[:, None], out[None], cell[None]
        over = torch.arange(steps, device=x.device)[:, None] >= lengths[None, :]
        h = _at_end(y, first[None], lengths)
        return y.masked_fill(over[..., None], 0.0)[:, None], h, cell[None]


def _quantized(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return levels around zero, and the step between them, as `DynamicQuantizeLinear` has them."""
    low, high = x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)
    scale = (high - low) / _LEVELS
    scale = torch.where(scale == 0.0, 1.0, scale)
    shift = torch.round(-low / scale).clamp(0.0, _LEVELS)
    levels = (torch.round(x / scale) + shift).clamp(0.0, _LEVELS)
    return levels - shift, scale


def _at_end(y: Tensor, before: Tensor, lengths: Tensor) -> Tensor:
    """Return each item's output at its last step, `[1, N, H]`; `before` where it has none."""
    last = (lengths.long() - 1).clamp(min=0)
    found = y.gather(0, last[None, :, None].expand(1, -1, y.shape[2]))
    return torch.where((lengths > 0)[None, :, None], found, before)


def _gates(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return gates in torch's order (i, f, g, o) from ONNX's (i, o, f, c), along the first axis."""
    i, o, f, c = np.split(rows, 4)
    return np.concatenate((i, f, c, o))


def _check(node: Node) -> None:
    only(node, "layout", 0)
    only(node, "input_forget", 0)
    if "clip" in node.attributes or "activations" in node.attributes or node.has(7):
        raise UnknownOperator(f"{node.kind} with clipping, peepholes or activations of its own")


STEPS: dict[str, Make] = {"DynamicQuantizeLSTM": QuantizedLstm, "LSTM": Lstm}
