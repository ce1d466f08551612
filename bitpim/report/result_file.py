"""The result file: what a run leaves behind. RESULT.md is its specification."""

from bitpim.report.compare_results import Comparison, Difference, compare_results
from bitpim.report.result_reader import open_result
from bitpim.report.result_records import (
    FORMAT_NAME,
    FORMAT_VERSION,
    LayerResult,
    Result,
    RunHeader,
    digest_samples,
)
from bitpim.report.result_writer import LayerBatch, ResultWriter

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "Comparison",
    "Difference",
    "LayerBatch",
    "LayerResult",
    "Result",
    "ResultWriter",
    "RunHeader",
    "compare_results",
    "digest_samples",
    "open_result",
]
