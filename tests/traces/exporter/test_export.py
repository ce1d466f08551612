"""From a module to a trace: codes against the float network, provenance, weights, wrong input."""

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bitpim.proof.reference import run_network
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import Pixels, export, load_weights
from bitpim_traces.quantize import LayerBits, Settings
from bitpim_traces.records import REQUANTIZE_MODES, Trace
from tests.traces.exporter.modules import (
    Branches,
    Forward,
    InvertedResidual,
    SmallResidual,
    seeded,
)

N = 12


def pictures(n: int = N, channels: int = 3, size: int = 8, seed: int = 3) -> npt.NDArray[Any]:
    """Smooth random images, so that channels and pixels differ in range as in photos."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, channels, 3, 3))
    fine = np.kron(coarse, np.ones((1, 1, 3, 3)))[:, :, :size, :size]
    return (fine + 0.2 * rng.normal(size=fine.shape)).astype(np.float32)


def decibel(trace: Trace) -> float:
    """Signal-to-quantization-noise ratio of the network's output over all samples."""
    codes = trace.samples.codes.read()
    last = trace.layers[-1]
    (found,) = run_network(trace, codes).values()
    assert last.output_float is not None
    expected = last.output_float.read().astype(np.float64)
    real = (found.astype(np.float64) - last.output.zero_point[0]) * last.output.scale[0]
    return float(10 * np.log10(np.square(expected).sum() / np.square(real - expected).sum()))


def test_references_are_the_modules_own_outputs() -> None:
    module = seeded(SmallResidual())
    x = pictures()
    trace = export(module, x, settings=Settings(reference_samples=5), name="small")
    assert trace.name == "small"
    seen: dict[str, torch.Tensor] = {}
    assert isinstance(module, SmallResidual)
    module.block.register_forward_hook(lambda *a: seen.update(block=a[2].clone()))
    with torch.no_grad():
        logits = module(torch.from_numpy(x)).numpy()
    by_name = {layer.name: layer for layer in trace.layers}
    block = by_name["block.add"].output_float
    last = trace.layers[-1].output_float
    assert block is not None and last is not None
    assert block.shape[0] == 5 and last.shape[0] == N
    np.testing.assert_allclose(block.read(), seen["block"].numpy()[:5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last.read(), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("make", [SmallResidual, Branches])
def test_every_requantize_mode_keeps_the_signal(make: type[nn.Module], mode: str) -> None:
    trace = export(seeded(make()), pictures(), settings=Settings(requantize=mode))
    assert {x.requantize.mode for x in trace.layers if x.requantize is not None} == {mode}
    assert decibel(trace) > (15 if mode == "truncate_shift" else 25)


def test_depthwise_blocks_keep_the_signal() -> None:
    module = nn.Sequential(seeded(InvertedResidual()), seeded(InvertedResidual(), 1))
    trace = export(module, pictures(channels=4))
    assert [layer.geometry.groups for layer in trace.layers if layer.geometry] == [1, 12, 1] * 2
    assert decibel(trace) > 25


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "mse"])
def test_every_calibration_keeps_the_signal(calibration: str) -> None:
    settings = Settings(calibration=calibration, percentile=99.9)
    assert decibel(export(seeded(SmallResidual()), pictures(), settings=settings)) > 22


def test_an_outlier_moves_minmax_and_not_percentile() -> None:
    module = seeded(nn.Sequential(nn.Conv2d(3, 4, 1)))
    x = pictures(64)
    x[0, 0, 0, 0] = 1000.0
    scales = {
        calibration: float(
            export(
                module, x, settings=Settings(calibration=calibration, percentile=99.0)
            ).samples.quantization.scale[0]
        )
        for calibration in ("minmax", "percentile")
    }
    assert scales["percentile"] < scales["minmax"] / 50


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
def test_wider_weights_are_closer(bits: int, per_channel: bool) -> None:
    settings = Settings(
        weight_bits=bits, activation_bits=16, accumulator_bits=48, per_channel=per_channel
    )
    trace = export(seeded(SmallResidual()), pictures(), settings=settings)
    for layer in trace.layers:
        if layer.weight_quantization is not None and layer.weight is not None:
            assert layer.weight_quantization.bits == bits
            assert layer.weight_quantization.scale.size == (
                layer.output_shape[0] if per_channel else 1
            )
            assert np.abs(layer.weight.read().astype(np.int64)).max() == 2 ** (bits - 1) - 1
    # six decibel a bit, less what channels of small weights lose where they share a scale
    assert decibel(trace) > min(6 * bits - (14 if per_channel else 22), 60)


def test_every_width_from_2_to_16_makes_a_trace() -> None:
    module = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    ratios = [
        decibel(
            export(
                module,
                pictures(4),
                settings=Settings(weight_bits=bits, activation_bits=bits, accumulator_bits=48),
            )
        )
        for bits in range(2, 17)
    ]
    assert all(later > earlier + 2 for earlier, later in pairwise(ratios))


def test_one_layer_may_have_its_own_widths() -> None:
    settings = Settings(overrides={"block.conv1": LayerBits(weight_bits=4, activation_bits=6)})
    trace = export(seeded(SmallResidual()), pictures(), settings=settings)
    by_name = {layer.name: layer for layer in trace.layers}
    quantization = by_name["block.conv1"].weight_quantization
    assert quantization is not None and quantization.bits == 4
    assert by_name["block.conv1"].output.bits == 6
    assert by_name["block.conv2"].output.bits == 8


def test_a_final_softmax_is_left_out_and_said() -> None:
    module = seeded(nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.LogSoftmax(1)))
    trace = export(module, pictures())
    assert trace.provenance["parameters"]["softmax_dropped"] == "log_softmax"
    assert trace.layers[-1].kind == "linear"


def test_provenance_names_weights_versions_and_settings() -> None:
    module = seeded(SmallResidual())
    one = export(module, pictures(), calibration=4).provenance
    assert one["parameters"]["calibration_samples"] == 4
    assert torch.__version__.startswith(one["versions"]["torch"])
    assert one["quantize"]["weight_bits"] == 8
    assert one["sources"] == export(module, pictures()).provenance["sources"]
    other = export(seeded(SmallResidual(), 1), pictures()).provenance
    assert one["sources"] != other["sources"]


def drifting(depth: int, *factors: float) -> nn.Module:
    """Convolutions whose outputs are multiplied by the next factor at each run."""
    parts = [nn.Conv2d(3, 3, 1, bias=False) for _ in range(depth)]
    for part in parts:
        part.weight.data = torch.eye(3).reshape(3, 3, 1, 1)
    left = list(factors)

    def run(m: Any, x: torch.Tensor) -> Any:
        return m.part(x) * (left.pop(0) if len(left) > 1 else left[0])

    return Forward(run, part=nn.Sequential(*parts))


@pytest.mark.parametrize(
    ("factors", "remedy"),
    [
        ((1.0, 1.001), "within 0.0001 .* difference of 0.00.* float32 rounds its sums"),
        ((1.0, 1.1), "report it as a defect, with the module"),
        ((1.0, 1.1, 1.2), "the module is not deterministic in evaluation"),
        ((1.0, float("nan")), "need finite outputs of the module"),
    ],
)
def test_a_network_that_differs_from_its_module_is_refused(
    factors: tuple[float, ...], remedy: str
) -> None:
    with pytest.raises(TraceDataError, match=remedy):
        export(drifting(1, *factors), pictures())


def test_a_deep_network_may_differ_more() -> None:
    assert export(drifting(64, 1.0, 1.00015), pictures()).layers
    with pytest.raises(TraceDataError, match=r"within 0\.0002 .* difference of 0\.0002"):
        export(drifting(64, 1.0, 1.00025), pictures())


def test_calibration_may_be_a_number_an_array_or_all_there_is() -> None:
    module = seeded(SmallResidual())
    x = pictures()
    few = export(module, x, calibration=2).samples.quantization
    same = export(module, x, calibration=x[:2]).samples.quantization
    whole = export(module, torch.from_numpy(x)).samples.quantization
    assert few.scale == same.scale
    assert whole.scale == export(module, x, calibration=x).samples.quantization.scale
    with pytest.raises(TraceDataError, match="need from 1 to 12 samples, got 13"):
        export(module, x, calibration=13)
    with pytest.raises(TraceDataError, match=r"need samples of shape \[3, 8, 8\]"):
        export(module, x, calibration=x[:, :, :4])
    with pytest.raises(TraceDataError, match="need samples of shape"):
        export(module, x, calibration=x[:0])


def test_float_outputs_are_those_of_the_samples_whatever_calibrates() -> None:
    module, x = seeded(SmallResidual()), pictures()
    expected = export(module, x).layers[-1].output_float
    found = export(module, x, calibration=-x).layers[-1].output_float
    assert found is not None and expected is not None
    np.testing.assert_array_equal(found.read(), expected.read())


def test_labels_go_along_and_must_fit() -> None:
    module = seeded(SmallResidual())
    labels = np.arange(N, dtype=np.uint8) % 10
    recorded = export(module, pictures(), labels=labels).samples.labels
    assert recorded is not None and recorded.dtype == np.int32
    np.testing.assert_array_equal(recorded.read(), labels)
    with pytest.raises(TraceDataError, match="one label for each of 12 samples"):
        export(module, pictures(), labels=labels[1:])


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), r"wrap images in Pixels"),
        (np.zeros((2,), np.float32), r"N x C x H x W or the like"),
        (np.zeros((2, 3, 8, 8), np.int64), r"need floats"),
        (np.full((2, 3, 8, 8), np.nan, np.float32), r"NaN|nan"),
        (np.zeros((0, 3, 8, 8), np.float32), r"need at least one, got none"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: npt.NDArray[Any], said: str) -> None:
    with pytest.raises(TraceDataError, match=said):
        export(seeded(SmallResidual()), samples)


def test_samples_of_another_shape_are_refused_in_one_line() -> None:
    need = r"SmallResidual: need samples that the module takes, got RuntimeError: .* in stem\.0 for"
    with pytest.raises(TraceDataError, match=need) as caught:
        export(seeded(SmallResidual()), pictures(channels=4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken_in_float32(dtype: torch.dtype) -> None:
    module = seeded(SmallResidual()).to(dtype)
    found = export(module, pictures())
    assert {tensor.dtype for tensor in module.parameters()} == {dtype}  # left as they were
    expected = export(copy.deepcopy(module).float(), pictures())
    for layer, need in zip(found.layers, expected.layers, strict=True):
        assert (layer.weight is None) == (need.weight is None)
        if layer.weight is not None and need.weight is not None:
            assert np.array_equal(layer.weight.read(), need.weight.read())
        assert np.array_equal(layer.output.scale, need.output.scale)


def test_a_module_that_was_exported_is_read_as_it_was() -> None:
    module, x = seeded(SmallResidual()), pictures()
    sizes = {"x": {0: torch.export.Dim("n", min=2, max=64)}}
    program = torch.export.export(module, (torch.from_numpy(x[:4]),), dynamic_shapes=sizes)
    expected = export(module, x)
    for given in (program, program.module()):
        found = export(given, x, name=expected.name)
        assert len(found.layers) == len(expected.layers)
        for layer, need in zip(found.layers, expected.layers, strict=True):
            assert layer.kind == need.kind
            assert np.array_equal(layer.output.scale, need.output.scale)
    fixed = torch.export.export(module, (torch.from_numpy(x[:4]),))
    with pytest.raises(TraceDataError, match=r"exported with a batch of 2 or of any size$"):
        export(fixed, x)


# Weights


def test_weights_come_from_npz_pt_and_mappings(tmp_path: Path) -> None:
    source = seeded(SmallResidual(), 5)
    state = source.state_dict()
    arrays = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    np.savez(tmp_path / "w.npz", **arrays)
    torch.save(state, tmp_path / "w.pt")
    for weights in (tmp_path / "w.npz", tmp_path / "w.pt", arrays):
        module = SmallResidual()
        assert load_weights(module, weights) == []
        for key, value in arrays.items():
            np.testing.assert_array_equal(module.state_dict()[key].numpy(), value)


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_checkpoints_are_unwrapped_and_said_to_be(tmp_path: Path, entry: str, prefix: str) -> None:
    source, path = seeded(SmallResidual(), 5), tmp_path / "c.pt"
    state = {f"{prefix}{key}": value for key, value in source.state_dict().items()}
    torch.save({"epoch": 3, "acc": 0.9, entry: state}, path)
    module = SmallResidual()
    said = load_weights(module, path)
    for key, value in source.state_dict().items():
        assert torch.equal(module.state_dict()[key], value)
    parts = [part for part in prefix.replace(".", ". ").split() if part]
    assert said[0] == f"{path}: the weights are those of its entry {entry!r}"
    assert [line.split("'")[1] for line in said[1:]] == parts


def test_a_module_may_have_parts_named_like_a_prefix() -> None:
    source = nn.Sequential()
    source.add_module("module", nn.Linear(3, 2))
    assert load_weights(source, source.state_dict()) == []


def test_any_other_checkpoint_is_named_by_its_keys(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "generator": {}, "optimizer": {}, "a": 1, "b": 2}, tmp_path / "c.pt")
    keys = r"got the keys epoch, generator, optimizer, a, \.\.\.; save"
    with pytest.raises(TraceDataError, match=keys):
        load_weights(SmallResidual(), tmp_path / "c.pt")
    torch.save({0: torch.ones(2)}, tmp_path / "numbered.pt")
    with pytest.raises(TraceDataError, match="got the keys 0; save"):
        load_weights(SmallResidual(), tmp_path / "numbered.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(TraceDataError, match="need a state dict of tensors, got list"):
        load_weights(SmallResidual(), tmp_path / "list.pt")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    module = SmallResidual()
    state = {k: v.numpy() for k, v in module.state_dict().items()}
    with pytest.raises(TraceDataError, match=r"1 missing \(linear\.weight\)"):
        load_weights(module, {k: v for k, v in state.items() if k != "linear.weight"})
    with pytest.raises(TraceDataError, match=r"1 unknown \(more\)"):
        load_weights(module, {**state, "more": np.zeros(1, np.float32)})
    with pytest.raises(TraceDataError, match=r"linear\.bias: \[10\] against \[9\]"):
        load_weights(module, {**state, "linear.bias": np.zeros(9, np.float32)})
    with pytest.raises(TraceDataError, match="got none"):
        load_weights(module, tmp_path / "absent.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(TraceDataError, match=r"torn\.npz: need \.npz or \.npy of plain"):
        load_weights(module, tmp_path / "torn.npz")
    torch.save(module, tmp_path / "pickled.pt")
    with pytest.raises(TraceDataError, match="save the module's state_dict") as caught:
        load_weights(module, tmp_path / "pickled.pt")
    assert "\n" not in str(caught.value)


# Pixels


MEAN, STD = (0.5, 0.4, 0.45), (0.2, 0.25, 0.3)


def bytes_like(n: int = N, seed: int = 4) -> npt.NDArray[np.uint8]:
    real = pictures(n, seed=seed)
    found: npt.NDArray[np.uint8] = np.clip(110 + 50 * real, 0, 255).astype(np.uint8)
    return found


def test_pixels_are_normalized_as_asked() -> None:
    images = bytes_like()
    module = seeded(SmallResidual())
    trace = export(module, Pixels(images, MEAN, STD))
    expected = (images / 255.0 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    last = trace.layers[-1].output_float
    assert last is not None
    with torch.no_grad():
        logits = module(torch.from_numpy(expected.astype(np.float32))).numpy()
    np.testing.assert_allclose(last.read(), logits, rtol=1e-4, atol=1e-5)
    quantization = trace.samples.quantization
    real = (trace.samples.codes.read().astype(float) - quantization.zero_point[0]) * float(
        quantization.scale[0]
    )
    assert np.abs(real - expected).max() <= 0.501 * quantization.scale[0]
    assert decibel(trace) > 25


def test_no_pixel_saturates_whatever_calibration_saw() -> None:
    dark = np.full((4, 3, 8, 8), 100, np.uint8)
    trace = export(seeded(SmallResidual()), Pixels(bytes_like(), MEAN, STD), calibration=dark)
    quantization = trace.samples.quantization
    low = (0 - quantization.zero_point[0]) * quantization.scale[0]
    high = (255 - quantization.zero_point[0]) * quantization.scale[0]
    assert low <= min(-m / s for m, s in zip(MEAN, STD, strict=True)) + quantization.scale[0] / 2
    assert high >= max((1 - m) / s for m, s in zip(MEAN, STD, strict=True)) - quantization.scale[0]


class Unpadded(nn.Module):
    """Reads the image with a strided and a grouped convolution that do not pad."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 2, stride=2)
        self.two = nn.Conv2d(3, 6, 2, stride=2, groups=3, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.relu(self.one(x)) + self.two(x)


@pytest.mark.parametrize(
    "module", [Unpadded(), nn.Sequential(nn.Flatten(), nn.Linear(192, 7))], ids=["conv", "linear"]
)
def test_folded_pixels_are_the_codes_themselves(module: nn.Module) -> None:
    images = bytes_like()
    seeded(module)
    folded = export(module, Pixels(images, MEAN, STD, fold=True))
    np.testing.assert_array_equal(folded.samples.codes.read(), images)
    assert folded.samples.quantization.zero_point[0] == 0
    plain = export(module, Pixels(images, MEAN, STD))
    for one, other in zip(folded.layers, plain.layers, strict=True):
        assert one.output_float is not None and other.output_float is not None
        if one.kind != "flatten":
            np.testing.assert_allclose(
                one.output_float.read(), other.output_float.read(), rtol=1e-4, atol=1e-4
            )
    assert decibel(folded) > 25


def test_folding_is_refused_where_it_would_not_be_exact() -> None:
    with pytest.raises(TraceDataError, match=r"stem\.0: need an unpadded conv2d.*padding \(1, 1"):
        export(seeded(SmallResidual()), Pixels(bytes_like(), MEAN, STD, fold=True))
    with pytest.raises(TraceDataError, match="got max_pool2d"):
        export(nn.MaxPool2d(2), Pixels(bytes_like(), MEAN, STD, fold=True))
    with pytest.raises(TraceDataError, match="need 8 bits where pixels are the codes, got 4"):
        export(
            seeded(Unpadded()),
            Pixels(bytes_like(), MEAN, STD, fold=True),
            settings=Settings(activation_bits=4),
        )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mean": (0.5, 0.5)}, "need mean for 3 channels"),
        ({"std": (0.1, 0.2, 0.0)}, "need std above 0"),
        ({"images": np.zeros((2, 3, 8, 8), np.float32)}, "need uint8 images"),
        ({"images": np.zeros((3, 8, 8), np.uint8)}, "need uint8 images"),
    ],
)
def test_pixels_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(TraceDataError, match=said):
        replace(Pixels(bytes_like(), MEAN, STD), **fields)


def test_large_sets_are_read_piece_by_piece() -> None:
    rows: list[int] = []

    class Counted(np.ndarray[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            found = super().__getitem__(key)
            if isinstance(key, slice):
                rows.append(len(found))
            return found

    images = np.zeros((3000, 1, 4, 4), np.uint8).view(Counted)
    module = seeded(nn.Sequential(nn.Conv2d(1, 2, 1)))
    trace = export(module, Pixels(images), settings=Settings(reference_samples=2))
    assert trace.samples.codes.read(5, 9).shape == (4, 1, 4, 4)
    assert trace.n_samples == 3000
    assert sum(rows) > 3000  # the float outputs of all were computed
    assert max(rows) <= 256
