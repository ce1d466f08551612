"""Every group, dataset and attribute of a trace file; FORMAT.md says the same in prose.

One table a group. The decoder reads by these tables, and a test compares them with those of
FORMAT.md row by row.
"""

from dataclasses import dataclass

from bitpim_traces.records import ACTIVATIONS, LAYER_KINDS, REQUANTIZE_MODES

__all__ = [
    "DATASET_ATTRIBUTES",
    "EAGER_BYTES",
    "EAGER_MULTIPLE",
    "EXTRA_DTYPES",
    "FOOTER_MAGIC",
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "GROUPS",
    "LAYER",
    "LAYERS",
    "MAX_AXES",
    "MAX_AXIS",
    "MAX_CHUNK_BYTES",
    "MAX_LAYERS",
    "MAX_OBJECTS",
    "MAX_PARAMETERS",
    "MAX_ROW_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_WINDOW",
    "QUANTIZATION",
    "REQUANTIZE",
    "ROOT",
    "SAMPLES",
    "Attribute",
    "Dataset",
    "Group",
]

FORMAT_NAME = "bitpim.trace"
FORMAT_VERSION = (1, 0)
FOOTER_MAGIC = b"bpTrace\x1a"
"""Opens the last 48 bytes of a sealed file; then its length (uint64) and the SHA-256 before it."""

MAX_LAYERS = 10_000
MAX_OBJECTS = 400_000
"""Groups and datasets of one file."""
MAX_AXES = 6
MAX_AXIS = 2**31 - 1
"""Longest axis of a tensor."""
MAX_PARAMETERS = 2**24
"""Entries of a tensor that is read as a whole: scales, zero points, multipliers, tables."""
EAGER_MULTIPLE, EAGER_BYTES = 16, 2**22
"""All tensors read when a file is opened: at most this multiple of the file and these bytes."""
MAX_WINDOW = 2**16
"""Largest kernel, stride, padding, dilation and number of groups."""
MAX_CHUNK_BYTES = 2**24
MAX_ROW_BYTES = 2**28
"""Unpacked bytes of the chunks that hold one sample, where they hold others too."""
MAX_TEXT_BYTES = 4096
"""Bytes of a text attribute. (Provenance is a dataset and may have MAX_PARAMETERS bytes.)"""

WEIGHTED = ("conv2d", "linear")
WINDOWED = ("conv2d", "max_pool2d", "avg_pool2d")
CODES = ("int8", "uint8", "int16", "uint16")
EXTRA_DTYPES = (*CODES, "int32", "uint32", "int64", "uint64", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: an integer (`int`), a list of them (`ints`), 0 or 1 (`flag`), or `text`.

    Results also have texts of several lines (`lines`) and lists of texts (`texts`).
    """

    name: str
    form: str
    meaning: str
    length: int | None = None  # of `ints`; None: any
    choices: tuple[str, ...] = ()  # of `text`; (): any
    kinds: tuple[str, ...] = LAYER_KINDS  # layer kinds that have it


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: allowed dtypes (little-endian) and axes, unit, and who has it."""

    name: str
    dtypes: tuple[str, ...]
    axes: tuple[str, ...]
    units: str
    meaning: str
    required: bool = True
    kinds: tuple[str, ...] = LAYER_KINDS
    eager: bool = False  # read when the file is opened
    attributes: tuple[Attribute, ...] = ()  # beside those of every dataset


@dataclass(frozen=True, slots=True)
class Group:
    """One group: what it MUST and MAY hold."""

    path: str
    attributes: tuple[Attribute, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    groups: tuple[str, ...] = ()
    optional_groups: tuple[str, ...] = ()
    listed: bool = True  # other members than those named are faults


DATASET_ATTRIBUTES = (
    Attribute("axes", "text", "one letter an axis, outermost first"),
    Attribute("units", "text", "`code`, `real` or `1`"),
    Attribute("role", "text", "what the numbers are for; in this version the dataset's own name"),
    Attribute("sha256", "text", "SHA-256 of the values: C order, little-endian; 64 hex digits"),
)

ROOT = Group(
    "/",
    (
        Attribute("format_name", "text", "names the format", choices=(FORMAT_NAME,)),
        Attribute("format_version", "ints", "major, minor", length=2),
        Attribute("name", "text", "name of the network"),
        Attribute("digest", "text", "SHA-256 of the manifest (section 4); 64 hex digits"),
    ),
    (
        Dataset(
            "provenance", ("text",), ("K",), "1", "one JSON object, UTF-8 (section 3.7)", eager=True
        ),
    ),
    groups=("layers", "samples"),
)

LAYERS = Group("/layers", listed=False)

LAYER = Group(
    "/layers/NNNN",
    (
        Attribute("name", "text", "unique name, not empty"),
        Attribute("kind", "text", "operator", choices=LAYER_KINDS),
        Attribute("inputs", "ints", "indices of the layers it reads; -1 is the network input"),
        Attribute("output_shape", "ints", "C, H, W or C; without the sample axis"),
        Attribute("activation", "text", "activation kind, fused or alone", choices=ACTIVATIONS),
        Attribute("clamp", "ints", "lowest and highest output code", length=2),
        Attribute("accumulator_bits", "int", "width of the signed accumulator, 2 to 64"),
        Attribute("pad_code", "int", "code that a padded input position holds"),
        Attribute("kernel", "ints", "R, S: window height and width", length=2, kinds=WINDOWED),
        Attribute("stride", "ints", "vertical, horizontal", length=2, kinds=WINDOWED),
        Attribute("padding", "ints", "top, bottom, left, right", length=4, kinds=WINDOWED),
        Attribute("dilation", "ints", "vertical, horizontal", length=2, kinds=WINDOWED),
        Attribute("groups", "int", "groups of channels; 1 for pooling", kinds=WINDOWED),
        Attribute("ceil_mode", "flag", "output size rounds up; 0 for conv2d", kinds=WINDOWED),
        Attribute(
            "count_include_pad", "flag", "padding counts; 0 but for avg_pool2d", kinds=WINDOWED
        ),
        Attribute(
            "pads", "ints", "front, back, top, bottom, left, right", length=6, kinds=("pad",)
        ),
        Attribute("concat_axis", "int", "axis of the shape without samples", kinds=("concat",)),
    ),
    (
        Dataset("weight", CODES, ("OIHW", "OI"), "code", "weight codes", kinds=WEIGHTED),
        Dataset(
            "bias",
            ("int32", "int64"),
            ("O",),
            "code",
            "bias at scale input x weight; int64 if accumulator_bits > 32",
            required=False,
            kinds=WEIGHTED,
        ),
        Dataset(
            "weight_float",
            ("float32",),
            ("OIHW", "OI"),
            "real",
            "weights before quantization",
            required=False,
            kinds=WEIGHTED,
        ),
        Dataset(
            "bias_float",
            ("float32",),
            ("O",),
            "real",
            "bias before quantization",
            required=False,
            kinds=WEIGHTED,
        ),
        Dataset(
            "table",
            CODES,
            ("K",),
            "code",
            "output code by (input code - code_min); sigmoid and tanh only",
            required=False,
            kinds=("activation",),
        ),
        Dataset(
            "output_float",
            ("float32",),
            ("NCHW", "NC"),
            "real",
            "output of the float network for the first samples",
            required=False,
        ),
    ),
    groups=("output",),
    optional_groups=("weight_quantization", "requantize", "extra"),
)

QUANTIZATION = Group(
    "quantization groups: output, weight_quantization, /samples/quantization",
    (
        Attribute("bits", "int", "width of a code, 1 to 16"),
        Attribute("signed", "flag", "1: two's complement"),
        Attribute("axis", "int", "axis of the scales, or -1 for one scale per tensor"),
    ),
    (
        Dataset("scale", ("float64",), ("Q",), "real", "real per code step; > 0", eager=True),
        Dataset("zero_point", ("int64",), ("Q",), "code", "code of real 0", eager=True),
    ),
)

REQUANTIZE = Group(
    "/layers/NNNN/requantize",
    (
        Attribute("mode", "text", "rounding rule (section 5)", choices=REQUANTIZE_MODES),
        Attribute("output_multiplier", "int", "add in fixed_point_half_away; otherwise 0"),
        Attribute("output_shift", "int", "add in fixed_point_half_away; otherwise 0"),
        Attribute("left_shift", "int", "add in fixed_point_half_away; otherwise 0"),
    ),
    (
        Dataset("multiplier", ("int32",), ("Q",), "1", "not negative", required=False, eager=True),
        Dataset("shift", ("int32",), ("Q",), "1", "binary places", required=False, eager=True),
        Dataset(
            "scale", ("float32",), ("Q",), "1", "float_scale_half_even", required=False, eager=True
        ),
    ),
)

SAMPLES = Group(
    "/samples",
    (Attribute("dataset", "text", "name of the data set; may be empty"),),
    (
        Dataset("codes", CODES, ("NCHW", "NC"), "code", "network inputs"),
        Dataset("labels", ("int32",), ("N",), "1", "class of each sample", required=False),
    ),
    groups=("quantization",),
)

GROUPS = (ROOT, LAYERS, LAYER, QUANTIZATION, REQUANTIZE, SAMPLES)
