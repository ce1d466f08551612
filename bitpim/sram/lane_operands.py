"""The operands of layers of one lane an output element, gathered from codes, and where codes go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import window_counts, window_of
from bitpim.sram.elementwise_plan import LaneWork
from bitpim.sram.lane_codes import LaneCodes
from bitpim_kernels.windows import Window
from bitpim_traces.records import LayerRecord

__all__ = ["LaneOperands", "lane_operands", "multiplier_of"]

Codes = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LaneOperands:
    """What a work's lanes take.

    Attributes
    ----------
    streamed : the elements of each lane's window, one after the other, each (n_lanes,)
    named : its other operands by their fields, each (n_lanes,)
    offset : what is still to be taken off a program's codes: nothing once they are requantized
    place : puts what lanes made, less the offset, where it belongs in the output, batch first
    """

    streamed: list[Codes]
    named: dict[str, Codes]
    offset: int
    place: Callable[[Codes, Codes], None]

    @property
    def n_lanes(self) -> int:
        """Lanes that the work has, of all samples."""
        return int((self.streamed or list(self.named.values()))[0].size)


def lane_operands(
    layer: LayerRecord, lane_codes: Sequence[LaneCodes], inputs: Sequence[Codes], work: LaneWork
) -> LaneOperands:
    """Gather the operands of a work from a layer's inputs, encoded as lanes hold them."""
    return _OPERANDS[layer.kind](layer, lane_codes, inputs, work)


def multiplier_of(layer: LayerRecord, work: LaneWork) -> dict[str, int]:
    """Return the multiplier that all lanes of a work share, if its program takes one."""
    program = work.program
    if "multiplier" not in program.inputs:
        return {}
    assert layer.requantize is not None and layer.requantize.multiplier is not None
    entry = work.key - 1 if layer.kind == "avg_pool2d" else work.key
    values = layer.requantize.multiplier
    return {"multiplier": int(values[min(entry, values.size - 1)])}


def _offset(layer: LayerRecord, codes: LaneCodes) -> int:
    return codes.offset if layer.requantize is None else 0


def _met(images: Codes, window: Window, tap: int, pad: int) -> Codes:
    """Return the codes that a tap meets, channels first, then samples, rows and columns."""
    y, x = divmod(tap, window.kernel_x)
    ends = []
    for at, step, size, n in (
        (y * window.dilation_y - window.top, window.stride_y, window.height, window.rows),
        (x * window.dilation_x - window.left, window.stride_x, window.width, window.cols),
    ):
        first, last = min(n, max(0, -(at // step))), max(0, min(n, -((at - size) // step)))
        ends.append((slice(first, last), slice(at + first * step, at + last * step, step)))
    (rows, ys), (cols, xs) = ends
    met = np.full((images.shape[1], images.shape[0], window.rows, window.cols), pad, images.dtype)
    met[:, :, rows, cols] = images[:, :, ys, xs].swapaxes(0, 1)
    return met


def _pooled(
    layer: LayerRecord, lane_codes: Sequence[LaneCodes], inputs: Sequence[Codes], work: LaneWork
) -> LaneOperands:
    """Gather each window element of the positions this work serves."""
    geometry = layer.geometry
    assert geometry is not None
    images, codes_in = inputs[0], lane_codes[0]
    n_samples, n_channels = images.shape[:2]
    window = window_of(geometry, layer.input_shapes[0])
    size = (window.rows, window.cols)
    n_positions = n_samples * size[0] * size[1]
    pad = 0  # the smallest code, or nothing added
    mine = np.ones(n_positions, np.bool_)
    if layer.kind == "avg_pool2d":
        pad = int(codes_in.zero_point[0])
        counts = window_counts(geometry, layer.input_shapes[0])
        mine = np.tile((counts == work.key).reshape(-1), n_samples)
    taps = []
    for tap in range(window.n_taps):
        lanes = _met(images, window, tap, pad).reshape(n_channels, n_positions)
        taps.append((lanes if mine.all() else lanes[:, mine]).reshape(-1))

    def place(out: Codes, made: Codes) -> None:
        by_channel = out.transpose(1, 0, 2, 3).reshape(n_channels, n_positions).copy()
        by_channel[:, mine] = made.reshape(n_channels, -1)
        out[:] = by_channel.reshape(n_channels, n_samples, *size).transpose(1, 0, 2, 3)

    return LaneOperands(taps, {}, _offset(layer, codes_in), place)


def _operand_codes(
    layer: LayerRecord, lane_codes: Sequence[LaneCodes], inputs: Sequence[Codes], work: LaneWork
) -> LaneOperands:
    named = {"x": inputs[0]} if layer.kind == "activation" else {}
    named = named or {f"x{i}": codes for i, codes in enumerate(inputs)}
    shape = (inputs[0].shape[0], *layer.output_shape)
    spread = {  # a view of the same shape could not be written, for which Numba compiles once more
        name: codes if codes.shape == shape else np.broadcast_to(codes, shape)
        for name, codes in named.items()
    }
    flat = {name: np.ascontiguousarray(codes).reshape(-1) for name, codes in spread.items()}

    def place(out: Codes, made: Codes) -> None:
        out[:] = made.reshape(out.shape)

    return LaneOperands([], flat, _offset(layer, lane_codes[0]), place)


def _joined(
    layer: LayerRecord, lane_codes: Sequence[LaneCodes], inputs: Sequence[Codes], work: LaneWork
) -> LaneOperands:
    axis = layer.params.integer("concat_axis") + 1
    before = sum(
        shape[layer.params.integer("concat_axis")] for shape in layer.input_shapes[: work.key]
    )
    extent = layer.input_shapes[work.key][layer.params.integer("concat_axis")]
    codes = np.ascontiguousarray(inputs[work.key])

    def place(out: Codes, made: Codes) -> None:
        index = [slice(None)] * out.ndim
        index[axis] = slice(before, before + extent)
        out[tuple(index)] = made.reshape(codes.shape)

    return LaneOperands([], {"x": codes.reshape(-1)}, _offset(layer, lane_codes[work.key]), place)


_OPERANDS: dict[
    str, Callable[[LayerRecord, Sequence[LaneCodes], Sequence[Codes], LaneWork], LaneOperands]
] = {
    "max_pool2d": _pooled,
    "avg_pool2d": _pooled,
    "add": _operand_codes,
    "multiply": _operand_codes,
    "activation": _operand_codes,
    "concat": _joined,
}
