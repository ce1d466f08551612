"""ADC models, one a file. Whatever file lies here is imported, and its model known by name."""

from importlib import import_module
from pkgutil import iter_modules

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
