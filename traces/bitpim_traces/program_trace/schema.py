"""Every group, dataset and attribute of a program trace; PROGRAMS.md says the same in prose."""

from bitpim_traces.schema import DATASET_ATTRIBUTES
from bitpim_traces.schema_forms import CODES, EXTRA_DTYPES, Attribute, Dataset, Group

__all__ = [
    "AFTER",
    "DATASET_ATTRIBUTES",
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "GROUPS",
    "LAYER",
    "MAX_STATE_AXES",
    "ROOT",
    "TABLES",
    "axes_of_table",
]

FORMAT_NAME = "bitpim.program"
FORMAT_VERSION = (1, 1)
MAX_STATE_AXES = 3

ROOT = Group(
    "/",
    (
        Attribute("format_name", "text", "names the format", choices=(FORMAT_NAME,)),
        Attribute("format_version", "ints", "major, minor", length=2),
        Attribute("name", "text", "name of the program or tile"),
        Attribute("array", "text", "kind of the array that takes the steps"),
        Attribute("digest", "text", "SHA-256 of the manifest; 64 hex digits"),
    ),
    (
        Dataset("header", ("text",), ("K",), "1", "one JSON object, UTF-8", eager=True),
        Dataset("steps", ("int32",), ("TF",), "1", "opcode, a, b, dst, predicate of each step"),
        Dataset(
            "port",
            EXTRA_DTYPES,
            ("PW",),
            "1",
            "a row for each step that takes from outside or gives to it, in their order",
            required=False,
        ),
    ),
    groups=("state",),
    optional_groups=("constants", "expected", "layer"),
)

TABLES = Group("/state, /constants and /expected: any names", listed=False)

AFTER = Dataset(
    "after", ("int64",), ("E",), "1", "of expected: numbers of steps, rising", eager=True
)

_NUMBERS = (*CODES, "int32", "int64")

LAYER = Group(
    "/layer",
    datasets=(
        Dataset("input_places", ("int32",), ("IA",), "1", "which input, sample, coordinate"),
        Dataset("inputs", _NUMBERS, ("I",), "1", "the code of the layer's input at each of them"),
        Dataset("output_places", ("int32",), ("OB",), "1", "sample, coordinate"),
        Dataset("sums", ("int64",), ("O",), "1", "what the tile computes of each output"),
        Dataset(
            "outputs",
            _NUMBERS,
            ("O",),
            "1",
            "what the layer makes there, of all its tiles together",
            required=False,
        ),
    ),
)

GROUPS = (ROOT, TABLES, LAYER)

_LETTERS = "XYZ"


def axes_of_table(n_axes: int, *, expected: bool = False) -> str:
    """Name the axes of a state or constant; of an expected one with the chosen steps first."""
    return "E" * expected + _LETTERS[: n_axes - expected]
