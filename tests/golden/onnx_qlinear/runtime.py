"""Run one layer record with onnxruntime, as a model of one quantized operator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from bitpim_traces.records import Geometry, LayerRecord, Quantization

__all__ = ["run_onnx"]

Array = npt.NDArray[Any]


def run_onnx(
    layer: LayerRecord, inputs: Sequence[Array], quantizations: Sequence[Quantization]
) -> Array:
    """Yield what onnxruntime gives for this layer and these codes."""
    dtype = inputs[0].dtype
    constants = _quantization_constants("y", layer.output, dtype)
    for i, quantization in enumerate(quantizations):
        constants |= _quantization_constants(f"x{i}", quantization, dtype)
    if layer.weight is not None and layer.weight_quantization is not None:
        weight = layer.weight.read()
        constants |= _quantization_constants("w", layer.weight_quantization, weight.dtype)
        constants["w"] = weight if weight.ndim == 4 else np.ascontiguousarray(weight.T)
    if layer.bias is not None:
        constants["b"] = layer.bias.read()
    node = _NODES[layer.kind](layer)
    return _run(node, {f"x{i}": codes for i, codes in enumerate(inputs)}, constants)


def _quantization_constants(
    name: str, quantization: Quantization, dtype: np.dtype[Any]
) -> dict[str, Array]:
    scale, zero = quantization.scale.astype(np.float32), quantization.zero_point.astype(dtype)
    if quantization.axis is None:
        scale, zero = scale.reshape(()), zero.reshape(())
    return {f"s{name}": scale, f"z{name}": zero}


def _run(node: onnx.NodeProto, feeds: dict[str, Array], constants: dict[str, Array]) -> Array:
    element = TensorProto.INT8 if feeds["x0"].dtype == np.int8 else TensorProto.UINT8
    graph = helper.make_graph(
        [node],
        "one_operator",
        [helper.make_tensor_value_info(name, element, v.shape) for name, v in feeds.items()],
        [helper.make_tensor_value_info("y", element, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in constants.items() if k in node.input],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL
    if feeds["x0"].dtype == np.uint8:
        # Processors that lack VNNI multiply u8 by s8 in saturating 16-bit pairs. With this entry
        # weights become u8 first; it is an optimization, so it needs these to be enabled.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    output: Array = session.run(None, feeds)[0]
    return output


def _windows(geometry: Geometry) -> dict[str, Any]:
    top, bottom, left, right = geometry.padding
    return {
        "kernel_shape": list(geometry.kernel),
        "strides": list(geometry.stride),
        "pads": [top, left, bottom, right],
    }


def _conv(layer: LayerRecord) -> onnx.NodeProto:
    assert layer.geometry is not None
    names = ["x0", "sx0", "zx0", "w", "sw", "zw", "sy", "zy", "b"]
    dilations, groups = list(layer.geometry.dilation), layer.geometry.groups
    return helper.make_node(
        "QLinearConv", names, ["y"], dilations=dilations, group=groups, **_windows(layer.geometry)
    )


def _linear(layer: LayerRecord) -> onnx.NodeProto:
    if layer.bias is None:
        names = ["x0", "sx0", "zx0", "w", "sw", "zw", "sy", "zy"]
        return helper.make_node("QLinearMatMul", names, ["y"])
    names = ["x0", "sx0", "zx0", "w", "sw", "zw", "b", "sy", "zy"]
    return helper.make_node("QGemm", names, ["y"], domain="com.microsoft")


def _add(layer: LayerRecord) -> onnx.NodeProto:
    names = ["x0", "sx0", "zx0", "x1", "sx1", "zx1", "sy", "zy"]
    return helper.make_node("QLinearAdd", names, ["y"], domain="com.microsoft")


def _avg_pool(layer: LayerRecord) -> onnx.NodeProto:
    assert layer.geometry is not None
    names = ["x0", "sx0", "zx0", "sy", "zy"]
    if layer.geometry.kernel == layer.input_shapes[0][1:]:
        return helper.make_node(
            "QLinearGlobalAveragePool", names, ["y"], domain="com.microsoft", channels_last=0
        )
    return helper.make_node(
        "QLinearAveragePool",
        names,
        ["y"],
        domain="com.microsoft",
        ceil_mode=int(layer.geometry.ceil_mode),
        count_include_pad=int(layer.geometry.count_include_pad),
        **_windows(layer.geometry),
    )


def _max_pool(layer: LayerRecord) -> onnx.NodeProto:
    assert layer.geometry is not None
    return helper.make_node(
        "MaxPool",
        ["x0"],
        ["y"],
        ceil_mode=int(layer.geometry.ceil_mode),
        dilations=list(layer.geometry.dilation),
        **_windows(layer.geometry),
    )


def _concat(layer: LayerRecord) -> onnx.NodeProto:
    names = ["sy", "zy", "x0", "sx0", "zx0", "x1", "sx1", "zx1"]
    return helper.make_node(
        "QLinearConcat",
        names,
        ["y"],
        domain="com.microsoft",
        axis=layer.params.integer("concat_axis") + 1,
    )


_NODES = {
    "conv2d": _conv,
    "linear": _linear,
    "add": _add,
    "avg_pool2d": _avg_pool,
    "max_pool2d": _max_pool,
    "concat": _concat,
}
