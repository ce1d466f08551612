"""`python -m bench.networks NAME --real-data FOLDER -o FILE`: make one of the real traces."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from bitpim_traces import write_trace
from bitpim_traces.errors import TraceError

NAMES = ("resnet20", "resnet8", "mobilenetv2")


def main() -> int:
    """Make the trace that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument(
        "--real-data",
        type=Path,
        default=os.environ.get("BITPIM_REAL_DATA"),
        help="folder of the real networks and images (default: BITPIM_REAL_DATA)",
    )
    parser.add_argument("--samples", type=int, help="only so many of the first images")
    parser.add_argument("--requantize", help="another requantize mode than the network's usual one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the trace to write")
    options = parser.parse_args()
    if options.real_data is None:
        parser.error("give --real-data FOLDER or set BITPIM_REAL_DATA")
    network = importlib.import_module(f"bench.networks.{options.name}")
    try:
        chosen = {"requantize": options.requantize} if options.requantize else {}
        trace = network.make(Path(options.real_data), n_samples=options.samples, **chosen)
        write_trace(trace, options.output)
    except (TraceError, OSError) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 3
    print(f"{options.output}: {trace.name}, {len(trace.layers)} layers, {trace.n_samples} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
