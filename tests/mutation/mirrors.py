"""Which tests are asked about a module: its mirror first, then wider ones, file after file."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOMS", "Trial", "modules_of", "room_of", "trials_of"]

KERNELS = "kernels/bitpim_kernels"

# Rooms whose modules are mutated, each with the folder that mirrors it and tests of wider reach.
ROOMS = {
    KERNELS: ("tests/kernels", ()),
    "bitpim/sram": (
        "tests/bitpim/sram",
        ("test_worked_counts", "test_worked_bytes", "test_plan", "test_rules",
         "../machine/test_neural_cache"),
    ),
    "bitpim/crossbar": (
        "tests/bitpim/crossbar",
        ("test_plan", "test_layout", "../machine/test_worked_counts", "test_dense_matrix",
         "test_pattern_matrix", "../machine/test_calibrated_ranges"),
    ),
    "bitpim/lookup": (
        "tests/bitpim/lookup",
        ("test_cam", "test_cam_naive", "test_cam_errors", "../cli/test_search"),
    ),
    "bitpim/weightstore": (
        "tests/bitpim/weightstore",
        (
            "test_store", "test_lines", "test_sizes", "test_page", "test_cache", "test_cache_run",
            "test_access_stream",
        ),
    ),
    "bitpim/machine": (
        "tests/bitpim/machine",
        ("test_worked_counts", "test_crossbar_machine", "test_presets", "test_calibrated_ranges"),
    ),
    "bitpim/digital": ("tests/bitpim/digital", ("test_layers", "test_modes")),
    "bitpim/programs": (
        "tests/bitpim/programs",
        ("test_assembler", "test_library", "test_rescaling", "test_catalog", "test_family"),
    ),
    "bitpim/cost": ("tests/bitpim/cost", ("test_model", "test_tables")),
    "bitpim": ("tests/bitpim", ()),
}  # fmt: skip

# Modules whose first tests bear another name; below the folder that mirrors the room.
# fmt: off
ELSEWHERE = {
    f"{KERNELS}/cache_folder.py": ("test_kernel_cache",),
    f"{KERNELS}/chunk.py": ("test_bitline",),
    f"{KERNELS}/digit_tile.py": ("test_pairs", "test_counted_sums"),
    f"{KERNELS}/errors.py": ("test_layout",),
    f"{KERNELS}/expressions.py": ("test_family", "test_straight_line"),
    f"{KERNELS}/family.py": ("test_bitline", "test_straight_line"),
    f"{KERNELS}/ir.py": ("test_vector", "test_list_tile", "test_layout", "test_bitline"),
    f"{KERNELS}/jit.py": ("test_kernel_cache", "test_straight_line"),
    f"{KERNELS}/magic.py": ("test_nor", "../bitpim/programs/test_family"),
    f"{KERNELS}/match_heap.py": ("test_match",),
    f"{KERNELS}/match_threes.py": ("test_match",),
    f"{KERNELS}/match_tile.py": ("test_match",),
    f"{KERNELS}/opcodes.py": ("test_bitline", "test_family"),
    f"{KERNELS}/ou_tile.py": ("test_crossbar",),
    f"{KERNELS}/carry_save.py": ("test_counted_sums",),
    f"{KERNELS}/counted_sums.py": ("../bitpim/lookup/test_counted_sums",),
    f"{KERNELS}/pair_tile.py": ("test_operands", "test_counted_sums"),
    f"{KERNELS}/operands.py": ("test_counted_sums", "../bitpim/lookup/test_counted_sums"),
    f"{KERNELS}/line_cache.py": ("../bitpim/weightstore/test_cache",),
    f"{KERNELS}/pairs.py": ("test_operands", "test_counted_sums"),
    f"{KERNELS}/vector.py": ("test_layout", "test_integer", "test_crossbar"),
    f"{KERNELS}/weight_lines.py": ("../bitpim/weightstore/test_store",),
    f"{KERNELS}/weight_places.py": ("../bitpim/weightstore/test_store",),
    f"{KERNELS}/windows.py": ("../bitpim/digital/test_windows", "../bitpim/sram/test_dot_products"),
    f"{KERNELS}/layout.py": ("test_windows",),
    f"{KERNELS}/shifted_windows.py": ("test_windows",),
    "bitpim/sram/accumulators.py": ("../machine/test_accumulator_ends",),
    "bitpim/sram/conv_layer.py": ("test_dot_products", "../machine/test_accumulator_ends"),
    "bitpim/sram/convolution.py": ("test_dot_products",),
    "bitpim/sram/layers.py": ("test_lane_programs", "../../equivalence/test_refusals"),
    "bitpim/sram/settings.py": ("../machine/test_presets",),
    "bitpim/sram/requantize_rule.py": ("test_lane_programs",),
    "bitpim/crossbar/accounts.py": ("../machine/test_pipelayer", "../machine/test_isaac"),
    "bitpim/crossbar/readout.py": ("../machine/test_pipelayer",),
    "bitpim/crossbar/schedule.py": ("../machine/test_schedules",),
    "bitpim/crossbar/layer_setup.py": (
        "../machine/test_by_layer", "../machine/test_crossbar_machine",
    ),
    "bitpim/crossbar/adc/__init__.py": ("test_adc",),
    "bitpim/crossbar/adc/code_table.py": ("test_adc_code_table",),
    "bitpim/crossbar/adc/converter.py": ("test_adc", "test_adc_code_table"),
    "bitpim/crossbar/adc/model.py": ("test_adc", "test_adc_toy", "test_adc_code_table"),
    "bitpim/crossbar/adc/ranged.py": ("test_adc", "test_adc_toy"),
    "bitpim/crossbar/adc/sizing.py": ("test_adc",),
    "bitpim/crossbar/encodings.py": ("test_compressed_matrix",),
    "bitpim/crossbar/layers.py": ("../machine/test_crossbar_machine", "../machine/test_isaac"),
    "bitpim/crossbar/contents.py": ("test_recording",),
    "bitpim/crossbar/events.py": ("test_array", "test_stepped"),
    "bitpim/crossbar/unit_lists.py": ("test_stepped",),
    "bitpim/crossbar/products.py": ("test_dense_matrix", "test_compressed_matrix"),
    "bitpim/crossbar/row_lists.py": ("test_compressed_matrix", "test_pattern_matrix"),
    "bitpim/crossbar/segments.py": ("test_compressed_matrix", "test_compressed_layout"),
    "bitpim/crossbar/plan.py": ("../machine/test_crossbar_machine", "../machine/test_schedules"),
    "bitpim/crossbar/settings.py": (
        "../machine/test_crossbar_machine", "../machine/test_presets", "../machine/test_registry",
    ),
    "bitpim/crossbar/indices.py": ("test_compressed_layout", "test_pattern_blocks"),
    "bitpim/lookup/answers.py": ("test_cam",),
    "bitpim/lookup/answer_files.py": ("../cli/test_search",),
    "bitpim/lookup/coded_neurons.py": ("test_recording",),
    "bitpim/lookup/lines.py": ("test_cam_naive", "test_cam"),
    "bitpim/lookup/matching.py": ("test_cam_naive", "test_cam"),
    "bitpim/lookup/neurons.py": ("test_recording",),
    "bitpim/lookup/search_run.py": ("test_cam_naive", "test_cam"),
    "bitpim/lookup/searches.py": ("test_cam_errors", "test_cam_page", "test_cam"),
    "bitpim/lookup/summed_neurons.py": ("test_recording",),
    "bitpim/lookup/winners.py": ("test_cam_naive", "test_nearest_modes", "test_cam"),
    "bitpim/lookup/words.py": ("test_cam", "test_cam_errors", "test_word_files"),
    "bitpim/lookup/word_arrays.py": ("test_word_files",),
    "bitpim/lookup/word_text.py": ("test_word_files",),
    "bitpim/machine/cache_machine.py": ("test_neural_cache", "test_accumulator_ends"),
    "bitpim/machine/registry.py": ("test_presets", "../../additions/test_bad_packages"),
    "bitpim/machine/machine.py": ("test_neural_cache", "../test_run"),
    "bitpim/digital/requantize.py": ("test_modes",),
    "bitpim/digital/additions.py": ("test_layers",),
    "bitpim/digital/weighted.py": ("test_layers",),
    "bitpim/programs/nor_draft.py": ("test_nor_files",),
    "bitpim/programs/nor_names.py": ("test_nor_files",),
    "bitpim/programs/nor_text.py": ("test_nor_files",),
    "bitpim/programs/nor_sums.py": ("test_nor_arithmetic",),
    "bitpim/programs/program.py": ("test_assembler", "test_family"),
}
# fmt: on
ADC_MODELS = "bitpim/crossbar/adc/models/"

# What these emit for the compiler is seen by compiled kernels only.
EMITTING = tuple(
    f"{KERNELS}/{name}.py"
    for name in (
        "carry_save",
        "chunk",
        "digit_tile",
        "group_digits",
        "ir",
        "list_tile",
        "match_tile",
        "ou_tile",
        "pair_tile",
        "vector",
        "weight_vector",
    )
)

# What these do is seen where kernels are compiled, never where they are plain.
COMPILING = tuple(
    f"{KERNELS}/{name}.py" for name in ("cache_folder", "jit", "kernel_cache", "straight_line")
)


@dataclass(frozen=True)
class Trial:
    """One file of tests: with plain kernels or compiled ones, and whether those are made anew."""

    tests: str
    plain: bool = False
    anew: bool = False


def room_of(module: str) -> str:
    """Return the room of a module."""
    return next(room for room in ROOMS if module.startswith(f"{room}/"))


def modules_of(root: Path, room: str) -> list[str]:
    """Return the modules of a room, those of the rooms in it too; of `bitpim`, two of its own."""
    if room == "bitpim":
        return ["bitpim/counts.py", "bitpim/placement.py"]
    found = (
        path for path in (root / room).rglob("*.py") if "\n" in path.read_text("utf-8").strip()
    )
    return sorted(str(path.relative_to(root)) for path in found)


def trials_of(root: Path, module: str) -> list[Trial]:
    """Return the trials a mutant of this module goes through until one kills it."""
    room = room_of(module)
    folder, wider = ROOMS[room]
    first = ELSEWHERE.get(module, ())
    if module.startswith(ADC_MODELS):
        first = ("test_adc", "test_adc_toy", "test_adc_code_table")
    names = [f"test_{Path(module).stem}", *first, *wider]
    paths = [(root / folder / f"{name}.py").resolve() for name in names]
    tests = list(dict.fromkeys(str(p.relative_to(root.resolve())) for p in paths if p.exists()))
    if room != KERNELS:
        return [Trial(path) for path in tests]
    if module in COMPILING:
        return [Trial(path, anew=True) for path in tests]
    plain = [Trial(path, plain=True) for path in tests]
    return plain + [Trial(path, anew=True) for path in tests if module in EMITTING]
