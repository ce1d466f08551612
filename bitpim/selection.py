"""Which samples and layers of a trace are meant, as people type them and as scripts say them."""

import re
from collections.abc import Collection

from bitpim.config import did_you_mean
from bitpim.errors import ConfigError
from bitpim_traces.records import Trace

__all__ = ["Layers", "Samples", "chosen_layers", "parse_layers", "parse_samples", "sample_range"]

Samples = str | int | slice | range
"""Samples as a caller may say them: ``"0:16"``, ``7``, ``slice(0, 16)``, ``range(16)``."""

_INDEX = r"(?:[0-9]{1,18})"  # what 64 bits hold, which is more than any file has

Layers = str | Collection[int | str]
"""Layers as a caller may say them: ``"conv1,3,5:8"``, or names and indices."""


def parse_samples(text: str) -> slice:
    """Read samples as a user writes them: '0:16', ':16', '16:', '7' (one sample) or ':' (all).

    Raises
    ------
    ConfigError
        Anything else.
    """
    match = re.fullmatch(rf"\s*({_INDEX}?)\s*(:?)\s*({_INDEX}?)\s*", text)
    if match is None or not (match[1] or match[2]):
        raise ConfigError(f"samples {text!r}: need START:STOP, such as 0:16, or one number")
    start = int(match[1]) if match[1] else None
    if not match[2]:
        return slice(start, int(match[1]) + 1)
    return slice(start, int(match[3]) if match[3] else None)


def parse_layers(trace: Trace, text: str) -> tuple[int, ...]:
    """Read layers as a user writes them: 'conv1,3,5:8' is names, indices and ranges of indices.

    Raises
    ------
    ConfigError
        A name or index the trace does not have, or a number that is both for different layers.
    """
    by_name = {layer.name: layer.index for layer in trace.layers}
    n_layers = len(trace.layers)
    chosen: set[int] = set()
    for word in (piece.strip() for piece in text.split(",")):
        is_index = re.fullmatch(_INDEX, word) and int(word) < n_layers
        if is_index and by_name.get(word, int(word)) != int(word):
            raise ConfigError(
                f"layers: {word!r} is the name of layer {by_name[word]} and the index of another; "
                f"write {by_name[word]}:{by_name[word] + 1} or {word}:{int(word) + 1}"
            )
        if word in by_name:
            chosen.add(by_name[word])
        elif match := re.fullmatch(rf"({_INDEX}?):({_INDEX}?)", word):
            chosen.update(range(n_layers)[int(match[1] or 0) : int(match[2] or n_layers)])
        elif is_index:
            chosen.add(int(word))
        else:
            raise ConfigError(
                f"layers: trace {trace.name!r} has layers 0 to {n_layers - 1}, not {word!r}"
                f"{did_you_mean(word, by_name)}"
            )
    if not chosen:
        raise ConfigError(f"layers {text!r}: no layer chosen of 0 to {n_layers - 1}")
    return tuple(sorted(chosen))


def sample_range(trace: Trace, samples: Samples) -> range:
    """Return the samples of a trace that are meant; one that it does not have is an error.

    Raises
    ------
    ConfigError
        A step, a negative number, an empty range, or samples the trace does not have.
    """
    if isinstance(samples, str):
        samples = parse_samples(samples)
    elif not isinstance(samples, slice | range):
        samples = slice(samples, samples + 1)
    if not trace.n_samples:
        raise ConfigError(
            f"samples: need a trace with samples to run, got none in {trace.name!r}; make one with"
            " samples"
        )
    start = 0 if samples.start is None else samples.start
    stop = trace.n_samples if samples.stop is None else samples.stop
    if samples.step not in (None, 1) or not 0 <= start < stop <= trace.n_samples:
        raise ConfigError(
            f"samples {start}:{stop}: need 0 <= start < stop <= {trace.n_samples}, the samples "
            f"of trace {trace.name!r}, one after the other"
        )
    return range(start, stop)


def chosen_layers(trace: Trace, layers: Layers | None) -> tuple[int, ...]:
    """Return the indices of the layers that are meant, sorted; all when None.

    Raises
    ------
    ConfigError
        No layer, or one that the trace does not have.
    """
    n_layers = len(trace.layers)
    if layers is None:
        return tuple(range(n_layers))
    if isinstance(layers, str):
        return parse_layers(trace, layers)
    kept = {
        index
        for layer in layers
        for index in (parse_layers(trace, layer) if isinstance(layer, str) else (layer,))
    }
    if not kept or not all(0 <= index < n_layers for index in kept):
        raise ConfigError(
            f"layers: need some of 0 to {n_layers - 1}, the layers of trace {trace.name!r}, got "
            f"{sorted(kept)}"
        )
    return tuple(sorted(kept))
