"""Run one layer record with the LiteRT interpreter's reference kernels.

A layer becomes a .tflite file of one operator, written with the schema classes that LiteRT ships,
and is run with BUILTIN_REF, so that neither XNNPACK nor an optimized kernel takes part.
"""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["run_litert"]

Array = npt.NDArray[Any]
_NHWC, _NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_TYPES = {
    np.dtype("int8"): schema.TensorType.INT8,
    np.dtype("uint8"): schema.TensorType.UINT8,
    np.dtype("int16"): schema.TensorType.INT16,
    np.dtype("int32"): schema.TensorType.INT32,
}
_ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


class _Model:
    """One subgraph with one operator, built tensor by tensor."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "bitpim test"
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.inputs, self.graph.outputs = [], [], []
        self.graph.operators = []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        quantization: Quantization | None,
        values: Array | None = None,
        axis: int = 0,
    ) -> int:
        """Add a tensor and yield its index; `values` make it a constant."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), _TYPES[dtype]
        tensor.name, tensor.buffer = f"t{len(self.graph.tensors)}".encode(), 0
        if values is not None:
            buffer = schema.BufferT()
            raw = np.ascontiguousarray(values, dtype=dtype).tobytes()
            buffer.data = np.frombuffer(raw, dtype=np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if quantization is not None:
            held = schema.QuantizationParametersT()
            held.scale = [float(s) for s in quantization.scale]
            held.zeroPoint = [int(z) for z in quantization.zero_point]
            held.quantizedDimension = axis
            tensor.quantization = held
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self, code: int, options_type: int, options: Any, inputs: list[int], outputs: list[int]
    ) -> None:
        """Add the operator."""
        opcode = schema.OperatorCodeT()
        opcode.builtinCode, opcode.deprecatedBuiltinCode, opcode.version = code, min(code, 127), 1
        self.model.operatorCodes = [opcode]
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        self.graph.operators.append(operator)

    def run(self, feeds: dict[int, Array], output: int) -> Array:
        """Serialize, interpret, and yield the output tensor."""
        self.graph.inputs, self.graph.outputs = list(feeds), [output]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        interpreter = Interpreter(
            model_content=bytes(builder.Output()),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        for index, values in feeds.items():
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        got: Array = interpreter.get_tensor(output)
        return got


def run_litert(
    layer: LayerRecord, inputs: Sequence[Array], quantizations: Sequence[Quantization]
) -> Array:
    """Yield what LiteRT's reference kernel gives for this layer and these codes."""
    model = _Model()
    images = len(layer.input_shapes[0]) == 3
    feeds = {}
    for codes, quantization in zip(inputs, quantizations, strict=True):
        values = codes.transpose(_NHWC) if images else codes
        index = model.tensor(values.shape, values.dtype, quantization)
        feeds[index] = np.ascontiguousarray(values)
    shape = (inputs[0].shape[0], *layer.output_shape)
    if images:
        shape = tuple(shape[i] for i in _NHWC)
    constants: list[int] = []
    if layer.weight is not None:
        constants = _weights(model, layer, quantizations[0])
    output = model.tensor(shape, inputs[0].dtype, layer.output)
    code, options_type, options = _OPTIONS[layer.kind](layer)
    if _is_depthwise(layer):
        code, options_type, options = _depthwise(layer)
    model.operator(code, options_type, options, [*feeds, *constants], [output])
    got = model.run(feeds, output)
    return got.transpose(_NCHW) if images else got


def _is_depthwise(layer: LayerRecord) -> bool:
    return layer.kind == "conv2d" and layer.geometry is not None and layer.geometry.groups > 1


def _weights(model: _Model, layer: LayerRecord, source: Quantization) -> list[int]:
    assert layer.weight is not None and layer.weight_quantization is not None
    weight, axis = layer.weight.read(), 0
    if _is_depthwise(layer):  # (channels, 1, R, S) -> (1, R, S, channels)
        weight, axis = weight.transpose(1, 2, 3, 0), 3
    elif weight.ndim == 4:
        weight = weight.transpose(0, 2, 3, 1)
    indices = [model.tensor(weight.shape, weight.dtype, layer.weight_quantization, weight, axis)]
    if layer.bias is not None:
        bias = layer.bias.read()
        scale = np.float64(np.float32(source.scale[0])) * layer.weight_quantization.scale
        held = Quantization(32, True, scale, np.zeros(scale.shape, np.int64))
        indices.append(model.tensor(bias.shape, np.dtype(np.int32), held, bias))
    return indices


def _padding(layer: LayerRecord) -> int:
    """VALID when nothing is padded, else SAME; refuses what TFLite cannot say."""
    geometry = layer.geometry
    assert geometry is not None
    if not any(geometry.padding):
        return int(schema.Padding.VALID)
    same = []
    for axis in range(2):
        size, stride = layer.input_shapes[0][1 + axis], geometry.stride[axis]
        reach = (geometry.kernel[axis] - 1) * geometry.dilation[axis] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        same += [total // 2, total - total // 2]
    assert geometry.padding == tuple(same), "TFLite pads SAME or not at all"
    return int(schema.Padding.SAME)


def _windowed(layer: LayerRecord, options: Any) -> Any:
    assert layer.geometry is not None
    options.padding = _padding(layer)
    options.strideH, options.strideW = layer.geometry.stride
    options.fusedActivationFunction = _ACTIVATIONS[layer.activation]
    return options


def _conv(layer: LayerRecord) -> tuple[int, int, Any]:
    assert layer.geometry is not None
    options = _windowed(layer, schema.Conv2DOptionsT())
    options.dilationHFactor, options.dilationWFactor = layer.geometry.dilation
    return schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions, options


def _depthwise(layer: LayerRecord) -> tuple[int, int, Any]:
    assert layer.geometry is not None
    options = _windowed(layer, schema.DepthwiseConv2DOptionsT())
    options.depthMultiplier = layer.output_shape[0] // layer.input_shapes[0][0]
    options.dilationHFactor, options.dilationWFactor = layer.geometry.dilation
    kind = schema.BuiltinOptions.DepthwiseConv2DOptions
    return schema.BuiltinOperator.DEPTHWISE_CONV_2D, kind, options


def _pool(code: int) -> Any:
    def make(layer: LayerRecord) -> tuple[int, int, Any]:
        assert layer.geometry is not None
        options = _windowed(layer, schema.Pool2DOptionsT())
        options.filterHeight, options.filterWidth = layer.geometry.kernel
        return code, schema.BuiltinOptions.Pool2DOptions, options

    return make


def _linear(layer: LayerRecord) -> tuple[int, int, Any]:
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = _ACTIVATIONS[layer.activation]
    kind = schema.BuiltinOptions.FullyConnectedOptions
    return schema.BuiltinOperator.FULLY_CONNECTED, kind, options


def _add(layer: LayerRecord) -> tuple[int, int, Any]:
    options = schema.AddOptionsT()
    options.fusedActivationFunction = _ACTIVATIONS[layer.activation]
    return schema.BuiltinOperator.ADD, schema.BuiltinOptions.AddOptions, options


def _concat(layer: LayerRecord) -> tuple[int, int, Any]:
    options = schema.ConcatenationOptionsT()
    options.axis = {0: 3, 1: 1, 2: 2}[layer.params.integer("concat_axis")]  # CHW -> NHWC
    kind = schema.BuiltinOptions.ConcatenationOptions
    return schema.BuiltinOperator.CONCATENATION, kind, options


_OPTIONS = {
    "conv2d": _conv,
    "linear": _linear,
    "add": _add,
    "concat": _concat,
    "avg_pool2d": _pool(schema.BuiltinOperator.AVERAGE_POOL_2D),
    "max_pool2d": _pool(schema.BuiltinOperator.MAX_POOL_2D),
}
