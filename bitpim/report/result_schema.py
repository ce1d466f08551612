"""Every group, dataset and attribute of a result file; RESULT.md says the same in prose."""

from bitpim.report.figures import ERROR_COLUMNS
from bitpim.report.result_records import FORMAT_NAME
from bitpim_traces.file_bounds import MAX_RANK
from bitpim_traces.records import axes_of
from bitpim_traces.schema_forms import Attribute, Dataset, Group

__all__ = [
    "DATASET_ATTRIBUTES",
    "FIGURES",
    "LAYER",
    "LAYERS",
    "OUTPUTS",
    "PRICES",
    "axes_of_outputs",
    "root_of",
]

_CODES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

DATASET_ATTRIBUTES = (Attribute("axes", "text", "one letter an axis, outermost first"),)

_HEADER = (
    Attribute("format_name", "text", "names the format", choices=(FORMAT_NAME,)),
    Attribute("format_version", "ints", "major, minor", length=2),
    Attribute("trace_name", "lines", "the trace that was run"),
    Attribute("trace_digest", "lines", "its digest"),
    Attribute("machine", "lines", "name of the machine"),
    Attribute("preset", "lines", "its settings, the whole preset as TOML"),
    Attribute("fidelity", "lines", "`bit` or `integer`"),
    Attribute("samples", "ints", "first sample and the one after the last", length=2),
    Attribute("software", "lines", "program and version"),
    Attribute("options", "lines", "JSON object of texts: what else decides the outcome"),
    Attribute("provenance", "lines", "JSON object: versions and platform"),
)
_LEGEND = Attribute("legend", "lines", "JSON object: how the counts are to be read; since 1.1")


def axes_of_outputs(n_axes: int) -> str:
    """Name the axes of a batch of the network's outputs, the sample axis among them."""
    return "S" + axes_of(n_axes)[1:]


_OUTPUT_AXES = tuple(axes_of_outputs(n) for n in range(1, MAX_RANK + 2))


def root_of(version: tuple[int, int]) -> Group:
    """Yield the root of a version; 1.0 had no legend."""
    legend = () if version == (1, 0) else (_LEGEND,)
    return Group(
        "/",
        (*_HEADER, *legend),
        groups=("layers", "outputs"),
        optional_groups=("prices", "figures"),
    )


LAYERS = Group(
    "/layers",
    (
        Attribute("phases", "texts", "name the axis P of all layers"),
        Attribute("events", "texts", "name the axis E of all layers"),
    ),
    listed=False,
)

LAYER = Group(
    "/layers/NNNN",
    (
        Attribute("index", "int", "index of the layer in the trace"),
        Attribute("name", "lines", "as in the trace"),
        Attribute("kind", "lines", "as in the trace"),
        Attribute("plan", "lines", "JSON object of scalars: the layer's row in the plan"),
    ),
    (
        Dataset("digests", ("uint8",), ("SB",), "", "digest of each sample's output", eager=True),
        Dataset("counts", ("int64",), ("PE",), "", "events of each phase", eager=True),
        Dataset("cycles", ("int64",), ("P",), "", "cycles of each phase", eager=True),
        Dataset(
            "energy_pj", ("float64",), ("P",), "", "counts times prices", required=False, eager=True
        ),
        Dataset(
            "error_rows",
            ("float64",),
            ("SF",),
            "",
            f"{', '.join(ERROR_COLUMNS)} of each sample",
            eager=True,
            attributes=(Attribute("columns", "texts", "names the axis F"),),
        ),
    ),
)

OUTPUTS = Group(
    "/outputs",
    (),
    (
        Dataset(
            "final", _CODES, _OUTPUT_AXES, "", "codes of the last layer", required=False, eager=True
        ),
        Dataset("predictions", ("int64",), ("S",), "", "largest code", required=False, eager=True),
    ),
)

PRICES = Group(
    "/prices",
    (
        Attribute("name", "lines", "name of the price table"),
        Attribute("table", "lines", "the price table, whole, as TOML"),
    ),
)
FIGURES = Group("/figures", (Attribute("figures", "lines", "JSON object: error figures"),))
