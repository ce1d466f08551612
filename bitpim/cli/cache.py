"""`bitpim cache`: the compiled kernels on the disk."""

import json as json_text
from typing import Annotated, Any

import typer

from bitpim.cli.options import Json

__all__ = ["cache"]


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove kernels compiled from other sources.")
    ] = False,
    json: Json = False,
) -> None:
    """Show where the compiled kernels are, what they take, and what they may take."""
    from bitpim_kernels import cache_folder
    from bitpim_kernels.kernel_cache import source_digest

    digest = source_digest()
    folder = cache_folder.kernel_folder(digest)
    freed = 0
    if prune and folder is not None:
        freed = cache_folder.prune(folder.parent, kept=digest)
    files = [] if folder is None else list(cache_folder.cached_files(folder.parent))
    own = [file for file in files if file.digest == digest]
    other = [file for file in files if file.digest != digest]
    row = {
        "folder": None if folder is None else str(folder.parent),
        "digest": digest,
        "n_kernels": len(own),
        "n_bytes": sum(file.n_bytes for file in own),
        "other_digests": len({file.digest for file in other}),
        "other_n_bytes": sum(file.n_bytes for file in other),
        "freed_n_bytes": freed,
        "max_bytes": cache_folder.MAX_BYTES,
        "max_days": cache_folder.MAX_DAYS,
    }
    typer.echo(json_text.dumps(row) if json else "\n".join(_lines(row)))


def _lines(row: dict[str, Any]) -> list[str]:
    """Say in words what the cache holds."""
    if row["folder"] is None:
        return ["no folder can be used: each run compiles its kernels again"]
    lines = [
        f"{row['folder']}",
        f"{row['n_kernels']:,} kernels of these sources, {_mebibytes(row['n_bytes'])}",
    ]
    if row["freed_n_bytes"]:
        lines.append(f"freed {_mebibytes(row['freed_n_bytes'])}")
    if row["other_digests"]:
        lines.append(
            f"{_mebibytes(row['other_n_bytes'])} of {row['other_digests']} other sources: "
            "bitpim cache --prune removes them"
        )
    lines.append(
        f"removed when unused for {row['max_days']} days, or, the oldest first, when all take more "
        f"than {_mebibytes(row['max_bytes'])}"
    )
    return lines


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"
