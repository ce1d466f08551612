"""`python -m bench.networks NAME --real-data FOLDER -o FILE`: make one of the real traces."""

import argparse
import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from bench.networks import NETWORKS
from bitpim_traces import write_trace
from bitpim_traces.errors import TraceError


def main() -> int:
    """Make the trace that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=__doc__)
    parser.add_argument("name", choices=tuple(NETWORKS))
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
    module, chosen = NETWORKS[options.name]
    make = partial(import_module(f"bench.networks.{module}").make, **chosen)
    if options.requantize:
        make = partial(make, requantize=options.requantize)
    try:
        trace = make(Path(options.real_data), n_samples=options.samples)
        write_trace(trace, options.output)
    except (TraceError, OSError) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 3
    print(f"{options.output}: {trace.name}, {len(trace.layers)} layers, {trace.n_samples} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
