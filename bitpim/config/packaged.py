"""TOML files that a package brings along: presets and price tables, by name."""

from importlib.resources.abc import Traversable

from bitpim.errors import ConfigError

__all__ = ["toml_files"]


def toml_files(folder: Traversable) -> dict[str, Traversable]:
    """Return the TOML files of a package's folder by their names without the ending.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: need a folder of .toml files, got none; the package that names it has to "
            "bring it along (package-data in its pyproject.toml)"
        )
    files = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): file for file in files}
