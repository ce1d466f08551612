"""What every verification states: which layers equal the referee, and how far from float it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bitpim.proof.claims import Claim
from bitpim.report.figures import ErrorFigures
from bitpim.report.html import as_html
from bitpim.report.summary import float_accuracy_text
from bitpim.report.text import columns, printable, share, with_commas

__all__ = ["Verification"]

Row = dict[str, Any]
_NAMES = {
    "name": "layer",
    "n_samples": "samples",
    "equal": "equal",
    "n_references": "references",
    "max_abs": "max abs error",
    "relative_l2": "relative L2",
    "sqnr_db": "SQNR dB",
}


@dataclass(frozen=True, repr=False)
class Verification:
    """What was compared with the referee and what came out.

    `what` says what was compared: a machine with its settings, or a result file. `layers` has one
    entry a layer, each with index, name, n_samples and equal. `figures` measures the outputs
    against the float network. `lossy` says what the machine's settings may lose of the exact sums;
    None where they lose nothing, or where it is not known. `claims` holds what else a result file
    states, and whether it is so; none of a machine, which states nothing.
    """

    trace_name: str
    trace_digest: str
    start: int
    stop: int
    layers: Sequence[Any]
    figures: ErrorFigures | None = None
    what: str = ""
    lossy: str | None = None
    claims: tuple[Claim, ...] = ()

    @property
    def false_claims(self) -> tuple[Claim, ...]:
        """What a result states that is not so."""
        return tuple(claim for claim in self.claims if claim.outcome == "differs")

    @property
    def equal(self) -> bool:
        """Whether every layer was compared and equal in every code, and no claim is false."""
        return all(layer.equal for layer in self.layers) and not self.false_claims

    @property
    def exactness(self) -> str | None:
        """L0: equal to the integer referee in every layer. L2: known by its error figures only.

        None of a result that states what is not so.
        """
        if self.false_claims:
            return None
        return "L0" if self.equal else "L2"

    def require_equal(self) -> None:
        """Raise MismatchError, naming where, unless every layer is equal."""
        raise NotImplementedError

    def table(self) -> list[Row]:
        """Return one flat record a layer: what was compared, and its error figures."""
        known = {} if self.figures is None else {row.index: row for row in self.figures.layers}
        rows = []
        for layer in self.layers:
            near = known.get(layer.index)
            rows.append(
                {
                    "trace": self.trace_name,
                    "run": self.what,
                    "index": layer.index,
                    "name": layer.name,
                    "n_samples": layer.n_samples,
                    "equal": layer.equal,
                    "n_references": near.n_samples if near else 0,
                    "max_abs": near.max_abs if near else None,
                    "relative_l2": near.relative_l2 if near else None,
                    "sqnr_db": near.sqnr_db if near else None,
                }
            )
        return rows

    def to_dict(self) -> Row:
        """Return plain values, ready for JSON."""
        return {
            "trace": self.trace_name,
            "trace_digest": self.trace_digest,
            "run": self.what,
            "samples": [self.start, self.stop],
            "equal": self.equal,
            "exactness": self.exactness,
            "lossy": self.lossy,
            "layers": [layer.to_dict() for layer in self.layers],
            "figures": None if self.figures is None else self.figures.to_dict(),
            "claims": [claim.to_dict() for claim in self.claims],
        }

    def lines(self) -> list[str]:
        """Return a heading, one row a layer, what is known of the answers, and the verdict."""
        rows = [[row[key] for key in _NAMES] for row in self._shown()]
        table = columns(list(_NAMES.values()), rows).splitlines()
        return [self._heading(), "", *table, "", *self._closing()]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        rows = [{_NAMES[key]: row[key] for key in _NAMES} for row in self._shown()]
        return as_html([self._heading(), *self._closing()], rows)

    def _shown(self) -> list[Row]:
        return [row | {"equal": "yes" if row["equal"] else "NO"} for row in self.table()]

    def _heading(self) -> str:
        return printable(f"{self.trace_name} on {self.what}, samples {self.start}:{self.stop}")

    def _closing(self) -> list[str]:
        figures, lines = self.figures, []
        if figures is not None and figures.top1_agreement is not None:
            lines.append(
                f"top-1 agreement with the float network {figures.top1_agreement:.4f} "
                f"({with_commas(figures.n_compared)} samples)"
            )
        if figures is not None and figures.accuracy is not None:
            lines.append(
                f"accuracy {figures.accuracy:.4f} ({with_commas(figures.n_labelled)} samples)"
                f"{float_accuracy_text(figures)}"
            )
        lines += self._claimed()
        if self.false_claims:
            return lines
        if self.equal:
            return [*lines, "L0: every code of every layer compared equals the referee's"]
        n_equal = sum(layer.equal for layer in self.layers)
        found = f"{self.exactness}: {share(n_equal, len(self.layers))} layers equal the referee"
        if self.lossy is None:
            return [*lines, found]
        return [
            *lines,
            f"{found}; the others differ as the settings have it: {self.lossy}; the referee "
            "loses nothing",
        ]

    def _claimed(self) -> list[str]:
        """Tell of the claims: those that are so in one line, those that are not, the unknown."""
        lines = []
        equal = [claim.what for claim in self.claims if claim.outcome == "equal"]
        if equal:
            lines.append(f"computed again and equal: {', '.join(equal)}")
        unknown: dict[str, list[str]] = {}
        for claim in self.claims:
            if claim.outcome == "not checked":
                unknown.setdefault(claim.detail, []).append(claim.what)
        lines += [f"not checked: {', '.join(what)} ({why})" for why, what in unknown.items()]
        lines += [f"NOT what the run gives: {c.what}: {c.detail}" for c in self.false_claims]
        return list(map(printable, lines))
