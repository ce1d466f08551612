"""Cycles of the bit-serial operations under the three cost modes; the bits never change.

Source: Neural Cache (n^2 + 5n - 2 and n + 1 recalled, reproduced by construction; 236 and 132
recalled, their split unknown); MVE (bs_intrinsics_latency.csv, found).
"""

from dataclasses import dataclass, replace

from bitpim.errors import ConfigError
from bitpim.sram.settings import CacheTimingSettings

__all__ = ["StepCosts", "masked_costs", "step_costs"]

_MVE_MULTIPLY = {8: 42, 16: 152, 32: 560, 64: 2144}  # truncated to the operand width


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Cycles of what a lane does again and again."""

    multiply_accumulate: int  # one tap
    accumulate: int  # one tap of a sum of inputs without weights
    reduction: int  # the whole tree
    moves: int  # of these, plain accesses that bring the partners' sums


def step_costs(
    timing: CacheTimingSettings,
    *,
    input_bits: int,
    weight_bits: int,
    sum_bits: int,
    level_bits: list[int],
) -> StepCosts:
    """Yield the closed-form cycles of a convolution's steps; `level_bits` are the sum's widths.

    The calibrated and `mve` modes price what their sources tell: multiply-accumulate, window sum
    and reduction. Requantization, pooling and additions keep the lengths of their programs.

    In `mve` a product of n x m bits is charged as a multiply of the next element width that holds
    n + m bits, since that model truncates products to the operand width.
    """
    accumulate = sum_bits + 1
    move = timing.move_cycles_per_bit
    moves = sum(v * move for v in level_bits)
    if timing.cost_mode == "nc_formula":
        multiply = (input_bits + weight_bits) + 1 + input_bits
        multiply += (weight_bits - 1) * (input_bits + 3)
        tree = moves + sum(v + 1 for v in level_bits)
        return StepCosts(multiply + accumulate, accumulate, tree, moves)
    if timing.cost_mode == "nc_paper_calibrated":
        if (input_bits, weight_bits) != (8, 8):
            raise ConfigError(
                f"need operands of 8 x 8 bits, whose cycles timing.cost_mode nc_paper_calibrated "
                f"knows, got {input_bits} x {weight_bits}; use `--set timing.cost_mode=nc_formula`"
            )
        tree = timing.reduction_step_cycles_calibrated * len(level_bits)
        mac = timing.mac_cycles_calibrated
        return StepCosts(mac, accumulate, tree, min(moves, tree))
    width = next(w for w in _MVE_MULTIPLY if w >= input_bits + weight_bits)
    return StepCosts(_MVE_MULTIPLY[width] + sum_bits, sum_bits, moves + sum(level_bits), moves)


def masked_costs(costs: StepCosts, n_owners: int, copied_bits: int) -> StepCosts:
    """Yield the costs of lanes that owners share: each loads its mask, copies its lanes, reduces.

    Source: Bit Prudent (tag load, masked copy and tree for each owner: assumed).
    """
    reduction = n_owners * (1 + copied_bits + costs.reduction)
    return replace(costs, reduction=reduction, moves=n_owners * costs.moves)
