"""Plant bugs in modules, one at a time, and tell which their tests do not find.

    python -m tests.mutation                            # a sample of every room
    python -m tests.mutation bitpim/sram --sample 20    # of one room
    python -m tests.mutation bitpim/sram/lanes.py --all
    python -m tests.mutation --again                    # survivors only, after tests were written
    python -m tests.mutation --table                    # what is known so far

A run goes on where the last one ended, as long as the modules are the same.
"""

import argparse
import signal
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from tests.mutation.ground import Ground
from tests.mutation.mirrors import ROOMS, modules_of, trials_of
from tests.mutation.plant import change_of, draw, find, plant
from tests.mutation.records import Mutation, Record, read_reasons, read_records
from tests.mutation.table import survivors, table

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Read the command line, try the mutants, print the table; 1 where unlisted ones survive."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    options = read_options()
    modules = [
        module
        for name in options.modules
        for module in (modules_of(ROOT, name) if name in ROOMS else [name])
    ]
    if not options.table:
        try_modules(modules, options)
    return show(modules, options)


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="tests.mutation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("modules", nargs="*", default=list(ROOMS), help="modules or rooms; default: all rooms")
    add("--sample", type=int, default=6, metavar="N", help="mutants of a module (6)")
    add("--all", action="store_true", help="every mutant instead of a sample")
    add("--seed", type=int, default=0, help="of the sample (0)")
    add("--again", action="store_true", help="try survivors once more")
    add("--table", action="store_true", help="try nothing, print what is known")
    add("--by-module", action="store_true", help="one row a module, not one a room")
    add("--results", type=Path, default=Path("out/mutants/results.jsonl"), help="file of results")
    add("--folder", type=Path, help="where to keep the copy and its kernels; default: nowhere")
    return parser.parse_args()


def try_modules(modules: list[str], options: argparse.Namespace) -> None:
    """Try the mutants that have no record yet; write each to the file as soon as it is known."""
    known = read_records(options.results)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as fresh, options.results.open("a") as file:
        ground = Ground(ROOT, Path(options.folder or fresh), ("tests.mutation.once",))
        for i, module in enumerate(modules, 1):
            source = (ROOT / module).read_text("utf-8")
            for mutation in chosen_of(module, source, options):
                old = known.get(mutation.key)
                if old and not (options.again and old.survived):
                    continue
                record = try_one(ground, mutation, source)
                if record is None:
                    continue
                if old:
                    record = replace(record, survived_first=old.survived_first)
                file.write(record.written())
                file.flush()
                print(f"[{i}/{len(modules)}] {record}", flush=True)


def chosen_of(module: str, source: str, options: argparse.Namespace) -> list[Mutation]:
    """Return the mutations of a module that are asked for."""
    found = find(module, source)
    return found if options.all else draw(found, source, options.sample, f"{options.seed} {module}")


def try_one(ground: Ground, mutation: Mutation, source: str) -> Record | None:
    """Return what became of a mutant; None where the change is not Python."""
    text = plant(mutation, source)
    if text is None:
        return None
    killed_by, late, seconds = "", False, 0.0
    for trial in trials_of(ROOT, mutation.module):
        ground.warm(trial)
        with ground.planted(mutation.module, text):
            outcome = ground.judge(trial)
        seconds += outcome.seconds
        if not outcome.passed:
            killed_by, late = trial.tests, outcome.out_of_time
            break
    before, after = change_of(source, text)
    return Record(
        **asdict(mutation),
        before=before,
        after=after,
        killed_by=killed_by,
        out_of_time=late,
        seconds=round(seconds, 1),
        survived_first=not killed_by,
    )


def show(modules: list[str], options: argparse.Namespace) -> int:
    """Print the table and the survivors without a reason; return 1 where there are any."""
    found = {module: find(module, (ROOT / module).read_text("utf-8")) for module in modules}
    keys = {mutation.key for mutations in found.values() for mutation in mutations}
    records = [r for key, r in read_records(options.results).items() if key in keys]
    reasons = read_reasons()
    left = survivors(records, reasons)
    print("\n".join(left))
    sites = {module: len(mutations) for module, mutations in found.items()}
    names = {"name_of": str} if options.by_module else {}
    print("\n" + table(records, sites, reasons, **names))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
