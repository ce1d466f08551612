"""Every group, dataset and attribute of a trace file; FORMAT.md says the same in prose.

One table a group; what is of one kind of layer alone stands in its operator's record. The decoder
reads by these tables, and a test compares them with those of FORMAT.md row by row.
"""

from dataclasses import replace

from bitpim_traces.file_bounds import MAX_BITS, MAX_RANK
from bitpim_traces.operators import LAYER_KINDS, OPERATORS
from bitpim_traces.records import (
    CLIPS,
    CLUSTER_BOUNDARIES,
    CLUSTER_IMPORTANCES,
    MAX_CLUSTERS,
    MIN_CLUSTERS,
    REQUANTIZE_MODES,
    axes_of,
)
from bitpim_traces.schema_forms import CODES, Attribute, Dataset, Group

__all__ = [
    "CLUSTERS",
    "DATASET_ATTRIBUTES",
    "FOOTER_MAGIC",
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "GROUPS",
    "LAYER",
    "LAYERS",
    "LAYER_FIELDS",
    "LAYER_OF",
    "PRODUCT_TABLE",
    "QUANTIZATION",
    "REQUANTIZE",
    "ROOT",
    "SAMPLES",
]

FORMAT_NAME = "bitpim.trace"
FORMAT_VERSION = (1, 3)
FOOTER_MAGIC = b"bpTrace\x1a"
"""Opens the last 48 bytes of a sealed file; then its length (uint64) and the SHA-256 before it."""

_BATCHES = tuple(axes_of(1 + rank) for rank in (3, 1, 2, 4, 5))

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
            "provenance", ("text",), ("K",), "1", "one JSON object, UTF-8 (section 3.9)", eager=True
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
        Attribute("output_shape", "ints", f"C, H, W or C, ...; 1 to {MAX_RANK} axes, no samples'"),
        Attribute(
            "activation",
            "text",
            f"activation, fused or alone: {', '.join(f'`{c}`' for c in CLIPS)}, or the function of "
            "a table",
        ),
        Attribute("clamp", "ints", "lowest and highest output code", length=2),
        Attribute("accumulator_bits", "int", "width of the signed accumulator, 2 to 64"),
        Attribute("pad_code", "int", "code that a padded input position holds"),
    ),
    (
        Dataset(
            "output_float",
            ("float32",),
            _BATCHES,
            "real",
            "output of the float network for the first samples",
            required=False,
        ),
    ),
    groups=("output",),
    optional_groups=("weight_quantization", "requantize", "product_table", "clusters", "extra"),
)

LAYER_OF = {
    kind: replace(
        LAYER,
        attributes=LAYER.attributes + operator.attributes,
        datasets=LAYER.datasets + operator.datasets,
    )
    for kind, operator in OPERATORS.items()
}
"""The group of a layer of each kind: what all have, and what its operator adds."""

LAYER_FIELDS = ("output_float", "weight", "bias", "weight_float", "bias_float", "table")
"""Datasets of layers that are fields of a record; others are in its `tensors`."""

QUANTIZATION = Group(
    "quantization groups: output, weight_quantization, /samples/quantization",
    (
        Attribute("bits", "int", f"width of a code, 1 to {MAX_BITS}; raw accumulators: up to 64"),
        Attribute(
            "signed",
            "int",
            "0: no; 1: two's complement; 2: codes 0 and 1 stand for -1 and 1; 3: a codebook",
        ),
        Attribute("axis", "int", "axis of the scales, or -1 for one scale per tensor"),
    ),
    (
        Dataset("scale", ("float64",), ("Q",), "real", "real per code step; > 0", eager=True),
        Dataset("zero_point", ("int64",), ("Q",), "code", "code of real 0", eager=True),
        Dataset(
            "values",
            ("int64",),
            ("K",),
            "1",
            "of a codebook: value of each code, rising, 0 among them",
            required=False,
            eager=True,
            attributes=(
                Attribute("value_bits", "int", "width of signed values, 2 to 32"),
                Attribute("fraction_bits", "int", "those of them behind the point, -64 to 64"),
            ),
        ),
        Dataset(
            "levels",
            ("int64",),
            ("LK",),
            "1",
            "of a codebook that is a tree: the value above each code, at depth 1, 2, ...",
            required=False,
            eager=True,
        ),
    ),
)

PRODUCT_TABLE = Group(
    "/layers/NNNN/product_table",
    (
        Attribute("fraction_bits", "int", "binary places of products and sums, -128 to 128"),
        Attribute("bits", "int", "width of signed products, 2 to 62"),
    ),
    (
        Dataset("products", ("int64",), ("RU",), "1", "row by input code (5.7)", eager=True),
        Dataset(
            "points",
            ("int64",),
            ("PX",),
            "1",
            "an activation by table: sum, and value of the output",
            required=False,
            eager=True,
        ),
    ),
)

CLUSTERS = Group(
    "/layers/NNNN/clusters",
    (
        Attribute("count", "int", f"number of clusters, {MIN_CLUSTERS} to {MAX_CLUSTERS}"),
        Attribute(
            "importance", "text", "what weights are ranked by (3.8)", choices=CLUSTER_IMPORTANCES
        ),
        Attribute("boundaries", "text", "where a cluster ends (3.8)", choices=CLUSTER_BOUNDARIES),
    ),
    (
        Dataset(
            "index", ("uint8",), ("OIHW", "OI"), "1", "cluster of each weight, 0 the most important"
        ),
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
        Dataset("codes", CODES, _BATCHES, "code", "network inputs"),
        Dataset("labels", ("int32",), ("N",), "1", "class of each sample", required=False),
    ),
    groups=("quantization",),
)

GROUPS = (ROOT, LAYERS, LAYER, QUANTIZATION, REQUANTIZE, PRODUCT_TABLE, CLUSTERS, SAMPLES)
