"""Drafts under rewriting."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from bitpim_traces.exporter.drafts import Draft
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["Graph", "Rewrite"]


class Graph:
    """Drafts under rewriting: a rewritten draft keeps its index, a removed one redirects.

    Drafts that a rewrite adds lie behind all others; `order` tells which come first.
    """

    def __init__(self, drafts: list[Draft], output: int, input_shape: tuple[int, ...]) -> None:
        self.drafts = drafts
        self.output = output
        self.input_shape = input_shape

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a draft's output, or of the network input."""
        return self.input_shape if index == NETWORK_INPUT else self.drafts[index].shape

    def source(self, draft: Draft) -> Draft | None:
        """Yield the draft that feeds the first input, None for the network input."""
        index = draft.inputs[0]
        return None if index == NETWORK_INPUT else self.drafts[index]

    def add(self, draft: Draft) -> int:
        """Add a draft that others will read, and yield its index."""
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def apply(self, rewrite: "Rewrite") -> None:
        """Apply a rewrite to every live draft in execution order.

        A rewrite yields the draft's replacement, or the index to read instead of it.
        """
        for index in self.order():
            found = rewrite(self, index)
            if isinstance(found, Draft):
                self.drafts[index] = found
            else:
                self._redirect(index, found)

    def _redirect(self, old: int, new: int) -> None:
        for index, draft in enumerate(self.drafts):
            if old in draft.inputs:
                inputs = tuple(new if i == old else i for i in draft.inputs)
                self.drafts[index] = replace(draft, inputs=inputs)
        if self.output == old:
            self.output = new

    def readers(self, index: int) -> list[int]:
        """Live readers of a draft, in order."""
        return [i for i in self.order() if index in self.drafts[i].inputs]

    def n_users(self, index: int) -> int:
        """Number of live readers of a draft, the network's output among them."""
        return len(self.readers(index)) + (index == self.output)

    def order(self) -> list[int]:
        """Indices that the output depends on, each behind those it reads.

        Drafts stay in the order in which they were read, as far as that goes.
        """
        live, pending = set[int](), [self.output]
        while pending:
            index = pending.pop()
            if index >= 0 and index not in live:
                live.add(index)
                pending.extend(self.drafts[index].inputs)
        if all(max(self.drafts[i].inputs) < i for i in live):
            return sorted(live)
        return self._sorted(live)

    def _sorted(self, live: set[int]) -> list[int]:
        found: list[int] = []
        done = Counter({NETWORK_INPUT: 1})
        for index in sorted(live):
            stack = [index]
            while stack:
                at = stack[-1]
                missing = [i for i in self.drafts[at].inputs if not done[i]]
                if missing:
                    stack += missing[::-1]
                    continue
                stack.pop()
                if not done[at]:
                    done[at] = 1
                    found.append(at)
        return found


Rewrite = Callable[[Graph, int], Draft | int]
