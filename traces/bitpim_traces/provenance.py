"""Who made a trace, from what and with which settings: everything needed to make it again.

No user, host, folder or time: equal inputs must give equal bytes.
"""

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

__all__ = ["make_provenance", "version_of"]


def version_of(package: str) -> str:
    """Yield the installed version of a package, or "unknown"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def make_provenance(
    maker: str,
    parameters: Mapping[str, Any],
    *,
    seed: int | None = None,
    packages: Iterable[str] = ("numpy",),
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe how a trace was made, as FORMAT.md section 3.9 has it.

    `maker` names the command or function; `packages` those whose versions can change the numbers;
    `sources` maps a name ("weights", "samples") to what it was: a public name and its SHA-256.
    """
    return {
        "software": {"name": "bitpim", "version": version_of("bitpim"), "maker": maker},
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in sorted(packages)},
        },
        "parameters": dict(parameters),
        "seed": seed,
        "sources": dict(sources or {}),
    }
