"""`bitpim cache`: the compiled kernels on the disk."""

import json as json_text
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.options import Json

__all__ = ["cache"]


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove kernels compiled from other sources.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the folder and size of the compiled kernels."""
    from bitpim_kernels.jit import cache_root, source_digest

    root, digest = cache_root(), source_digest()
    old = [folder for folder in _digest_folders(root) if folder.name != digest]
    freed = sum(map(_n_bytes, old)) if prune else 0
    if prune:
        for folder in old:
            shutil.rmtree(folder)
        old = []
    row = {
        "folder": str(root),
        "digest": digest,
        "n_bytes": _n_bytes(root / digest),
        "other_digests": len(old),
        "other_n_bytes": sum(map(_n_bytes, old)),
        "freed_n_bytes": freed,
    }
    if json:
        typer.echo(json_text.dumps(row))
        return
    typer.echo(f"{root / digest}  {_mebibytes(_n_bytes(root / digest))}")
    if freed:
        typer.echo(f"freed {_mebibytes(freed)}")
    elif old:
        size = _mebibytes(sum(map(_n_bytes, old)))
        typer.echo(f"{len(old)} of other sources, {size}: bitpim cache --prune removes them")


def _digest_folders(root: Path) -> list[Path]:
    """Folders that hold kernels of one digest each; nothing else in the cache is ours to touch."""
    if not root.is_dir():
        return []
    return sorted(
        folder
        for folder in root.iterdir()
        if folder.is_dir() and not folder.is_symlink() and re.fullmatch("[0-9a-f]{16}", folder.name)
    )


def _n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"
