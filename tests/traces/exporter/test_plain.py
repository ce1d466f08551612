"""Modules that keep their numbers otherwise: read rightly, or refused with a remedy that works."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import export, finetune, load_weights, prune_module
from bitpim_traces.exporter.plain import plain_module, plain_name
from bitpim_traces.quantize import PatternPruning
from tests.traces.exporter.modules import Forward, seeded

SHAPE = (3, 8, 8)
X = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)

AO: Any = torch.ao.quantization  # without types
JIT: Any = torch.jit
COMPILE: Any = torch.compile

Make = Callable[[], nn.Module]


def net() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    seeded(made)
    return made


def outputs(module: nn.Module) -> Any:
    last = export(module, X).layers[-1].output_float
    assert last is not None
    return last.read()


class Codes(torch.Tensor):
    """A tensor held as codes and a scale, which computes by its own dispatch, as torchao's do."""

    codes: torch.Tensor
    scale: float

    @staticmethod
    def __new__(cls, codes: torch.Tensor, scale: float) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32)

    def __init__(self, codes: torch.Tensor, scale: float) -> None:
        self.codes, self.scale = codes, scale

    def __tensor_flatten__(self) -> Any:
        return ["codes"], self.scale

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, scale: Any, *_: Any) -> Any:
        return cls(inner["codes"], scale)

    def floats(self) -> torch.Tensor:
        return self.codes.float() * self.scale

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return cls(args[0].codes, args[0].scale)
        if func in (torch.ops.aten.t.default, torch.ops.aten.addmm.default):
            return func(*(a.floats() if isinstance(a, Codes) else a for a in args))
        raise NotImplementedError(f"{func} of codes")


class Dequantized(Codes):
    def dequantize(self) -> torch.Tensor:
        return self.floats()


class Plain(torch.Tensor):
    """A subclass that changes nothing."""


def coded(kind: type[Codes]) -> Any:
    module: Any = net()
    weight = module[3].weight.detach()
    scale = float(weight.abs().max() / 127)
    codes = kind((weight / scale).round().to(torch.int8), scale)
    module[3].weight = nn.Parameter(codes, requires_grad=False)
    return module


def weighted(change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    def make() -> Any:
        module: Any = net()
        weight = change(module[3].weight.detach())
        module[3].weight = nn.Parameter(weight, requires_grad=False)
        return module

    return make


def with_buffer(make_buffer: Callable[[], torch.Tensor]) -> Make:
    def make() -> nn.Module:
        module = net()
        module.register_buffer("more", make_buffer(), persistent=False)
        return module

    return make


def quantized(weight: torch.Tensor) -> torch.Tensor:
    found = torch.quantize_per_tensor(weight, 0.01, 0, torch.qint8)
    assert isinstance(found, torch.Tensor)
    return found


def in_fakes() -> nn.Module:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        return net()


def on_meta() -> nn.Module:
    return net().to("meta")


def lazy() -> nn.Module:
    parts = nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)
    return nn.Sequential(*parts).eval()


SETTABLE: dict[str, tuple[Make, str]] = {
    "codes": (
        lambda: coded(Dequantized),
        r"3\.weight: .* got .*\.Dequantized of shape \[5, 144\], which computes in its own way; "
        "give the module as it was before",
    ),
    "buffer": (
        with_buffer(lambda: Dequantized(torch.ones(2, 2, dtype=torch.int8), 0.5)),
        r"^more: .*\.Dequantized of shape \[2, 2\]",
    ),
    "qint8": (weighted(quantized), r"3\.weight: .* got codes of torch.qint8 of shape \[5, 144\]"),
    "qint8 buffer": (with_buffer(lambda: quantized(torch.ones(3))), "^more: .* codes of torch.q"),
    "sparse": (weighted(torch.Tensor.to_sparse), r"3\.weight: .* sparse one, torch.sparse_coo of"),
    "sparse rows": (
        weighted(torch.Tensor.to_sparse_csr),
        r"3\.weight: .* sparse one, torch.sparse_csr of",
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("case", SETTABLE)
def test_the_tensor_that_is_said_to_be_set_works(case: str) -> None:
    make, message = SETTABLE[case]
    module = make()
    with pytest.raises(TraceDataError, match=message) as caught:
        export(module, X)
    assert "\n" not in str(caught.value)
    told = re.search(r"(?:; |, or )set (module\..*)$", str(caught.value))
    assert told is not None
    exec(told[1], {"module": module, "torch": torch})
    with torch.no_grad():
        expected = module(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(outputs(module), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(expected, outputs(net()), atol=0.2)  # it is still the same network


def test_a_tensor_that_cannot_be_made_plain_needs_the_module_before() -> None:
    with pytest.raises(TraceDataError, match=r"before its tensors were replaced$"):
        export(coded(Codes), X)


def test_numbers_that_are_not_there_are_named_and_may_be_loaded() -> None:
    for make in (on_meta, in_fakes):
        module = make()
        with pytest.raises(TraceDataError, match=r"^0\.weight: .*without values .*\[4, 3, 3, 3\]"):
            export(module, X)
        with pytest.raises(TraceDataError, match="without values"):
            load_weights(module, net().state_dict())  # PyTorch would let them vanish
    module = on_meta().to_empty(device="cpu")
    load_weights(module, net().state_dict())
    np.testing.assert_array_equal(outputs(module), outputs(net()))


def test_a_lazy_module_needs_one_run() -> None:
    module = lazy()
    with pytest.raises(TraceDataError, match=r"^0\.weight: .* without a shape yet .* run the modu"):
        export(module, X)
    module(torch.from_numpy(X))
    load_weights(module, net().state_dict())
    np.testing.assert_array_equal(outputs(module), outputs(net()))


def dynamic() -> nn.Module:
    found: nn.Module = AO.quantize_dynamic(net(), {nn.Linear}, dtype=torch.qint8)
    return found


def prepared() -> nn.Module:
    module: Any = net().train()
    module.qconfig = AO.get_default_qat_qconfig("x86")
    found: nn.Module = AO.prepare_qat(module)
    return found.eval()


def scripted_part() -> nn.Module:
    module = net()
    module[3] = JIT.script(module[3])
    return module


def nested() -> torch.Tensor:
    found = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert isinstance(found, torch.Tensor)
    return found


ODD: dict[str, tuple[Make, str]] = {
    "dynamic": (dynamic, r"^3: .*dynamic.* packed codes; give the float module it was made of"),
    "prepared": (prepared, r"^0\.weight_fake_quant: .*give the float module .* before prepare"),
    "script": (lambda: JIT.script(net()), r"^\(root\): .* TorchScript; give the Python modu"),
    "traced": (
        lambda: JIT.trace(net(), torch.zeros(2, *SHAPE)),
        r"^\(root\): .*TopLevelTracedModule, which is TorchScript",
    ),
    "scripted part": (scripted_part, r"^3: .* TorchScript; give"),
    "nested": (with_buffer(nested), r"^more: .* got a nested tensor; make more one tensor"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ODD)
def test_what_cannot_be_read_is_named_by_its_path(case: str) -> None:
    make, message = ODD[case]
    module = make()
    with pytest.raises(TraceDataError, match=message) as caught:
        export(module, X)
    assert "\n" not in str(caught.value)
    for use in (
        lambda: prune_module(module),
        lambda: load_weights(module, {}),
        lambda: finetune(module, X, np.zeros(4, np.int64), {}),
    ):
        with pytest.raises(TraceDataError, match=message):
            use()


class Phases(nn.Module):
    """Holds complex numbers, used or not."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.fc = seeded(nn.Linear(192, 5))
        self.phase = nn.Parameter(torch.full((5,), 1.5 + 2.0j))
        self.use = use

    def forward(self, x: torch.Tensor) -> Any:
        y = self.fc(x.flatten(1))
        if self.use == "real part":
            return y * torch.view_as_real(self.phase)[:, 0]
        return (y * self.phase).real if self.use == "product" else y


@pytest.mark.parametrize("use", ["", "real part"])
def test_complex_numbers_may_be_held(use: str) -> None:
    module = Phases(use)
    with torch.no_grad():
        np.testing.assert_allclose(
            outputs(module), module(torch.from_numpy(X)), rtol=1e-4, atol=1e-4
        )


def test_complex_activations_are_refused_at_their_operator() -> None:
    with pytest.raises(TraceDataError, match=r"\(root\): aten.mul.* got torch.complex64"):
        export(Phases("product"), X)


def parametrized(way: str) -> Any:
    ways: Any = torch.nn.utils.parametrizations
    module: Any = net().train()
    change: dict[str, Callable[[], Any]] = {
        "weight norm": lambda: ways.weight_norm(module[3]),
        "spectral norm": lambda: ways.spectral_norm(module[3]),
        "orthogonal": lambda: ways.orthogonal(module[3]),
        "subclass": lambda: setattr(
            module[3], "weight", nn.Parameter(module[3].weight.detach().as_subclass(Plain))
        ),
    }
    change[way]()
    module(torch.from_numpy(X))
    return module.eval()


@pytest.mark.parametrize("way", ["weight norm", "spectral norm", "orthogonal", "subclass"])
def test_weights_that_are_computed_are_read(way: str) -> None:
    module = parametrized(way)
    with torch.no_grad():
        expected = module(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(outputs(module), expected, rtol=1e-4, atol=1e-5)


def test_modules_made_in_inference_mode_are_read() -> None:
    with torch.inference_mode():
        module = net()
    np.testing.assert_array_equal(outputs(module), outputs(net()))


def compiled_part() -> Any:
    module: Any = net()
    module[0] = COMPILE(nn.Sequential(COMPILE(module[0])))
    return module


WRAPPED: dict[str, Make] = {
    "compiled": lambda: COMPILE(net()),
    "parallel": lambda: nn.DataParallel(net()),
    "both": lambda: nn.DataParallel(COMPILE(net())),
    "parts": compiled_part,
}


@pytest.mark.parametrize("case", WRAPPED)
def test_wrappers_are_taken_off_and_nothing_is_compiled(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = WRAPPED[case]()
    parts = list(module.modules())
    monkeypatch.setattr("torch._dynamo.eval_frame.OptimizedModule.__call__", None)
    taken = plain_module(module)
    assert {type(part) for part in taken.modules()} <= {nn.Sequential, *map(type, net().modules())}
    assert {id(p) for p in taken.parameters()} == {id(p) for p in module.parameters()}
    assert list(module.modules()) == parts  # the module given is as it was
    trace, expected = export(module, X), export(net(), X)
    last, need = trace.layers[-1].output_float, expected.layers[-1].output_float
    assert last is not None and need is not None
    np.testing.assert_array_equal(last.read(), need.read())
    if case != "parts":
        assert [layer.name for layer in trace.layers] == [layer.name for layer in expected.layers]
        assert trace.provenance["sources"] == expected.provenance["sources"]


@pytest.mark.parametrize("case", WRAPPED)
def test_masks_of_a_wrapped_module_find_their_layers(case: str) -> None:
    module = WRAPPED[case]()
    masks = prune_module(module, PatternPruning(skip_first=False)).masks
    (name,) = masks
    wanted = "0.0.weight" if case == "parts" else "0.weight"
    assert name != wanted and plain_name(module, name) == wanted
    trace = export(module, X, masks=masks)
    assert "pruning_mask" in trace.layers[0].extra


def test_a_constant_that_cannot_be_computed_is_named() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = seeded(nn.Linear(192, 5))
            self.register_buffer("matrix", torch.zeros(5, 5))

        def forward(self, x: torch.Tensor) -> Any:
            matrix = self.get_buffer("matrix")
            return self.fc(x.flatten(1)) @ torch.linalg.inv(matrix)

    with pytest.raises(TraceDataError, match=r"\(root\): aten.linalg_inv.* a constant that can be"):
        export(Broken(), X)


def test_a_module_for_two_samples_alone_is_said_to_be_one() -> None:
    only = Forward(lambda m, x: m.c(x).reshape(2, -1), c=seeded(nn.Conv2d(3, 1, 1)))
    assert len(export(only, X[:2]).layers) == 2
    four = Forward(lambda m, x: m.c(x.reshape(2, *SHAPE)), c=seeded(nn.Conv2d(3, 1, 1)))
    with pytest.raises(
        TraceDataError, match=r"runs on samples of shape \[4, 3, 8, 8\], got Runtim"
    ):
        export(four, X)


def test_operators_that_quantize_ask_for_the_float_module() -> None:
    fake = Forward(
        lambda m, x: torch.fake_quantize_per_tensor_affine(m.c(x), 0.1, 0, 0, 255),
        c=seeded(nn.Conv2d(3, 1, 1)),
    )
    with pytest.raises(TraceDataError, match=r"fake_quantize.*; give the float module, before pre"):
        export(fake, X)


@pytest.mark.parametrize(
    "change",
    [torch.Tensor.to_sparse, lambda x: x.to("meta"), quantized],
    ids=["sparse", "meta", "quantized"],
)
def test_samples_that_are_no_plain_tensor_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    with pytest.raises(TraceDataError, match="samples: need a plain tensor of numbers, got"):
        export(net(), change(torch.from_numpy(X)))


def test_samples_in_bfloat16_are_taken() -> None:
    samples = torch.from_numpy(X).bfloat16()
    found = export(net(), samples).samples.codes.read()
    np.testing.assert_array_equal(found, export(net(), samples.float()).samples.codes.read())
