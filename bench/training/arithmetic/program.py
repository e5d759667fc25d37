"""A network as a program of operations, and the order in which a step runs them.

A step does not run one operation after the other over the whole batch, because the values of a batch do not fit a
cache. It runs *stages*. A batch normalisation in training needs sums over all images before it can pass on any, so it
begins a stage. Within a stage a few images at a time go through all operations, and their values stay in the cache. The
results of convolutions are kept for the backward pass, and cheap values are computed again. None of this changes a bit,
because every sum has its order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Operation

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Program:
    """Operation i computes value i + 1; value 0 are the images, the last one the log-probabilities.

    `shapes` has (height, width, channels) of every value.
    """

    shapes: tuple[Shape, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Stage:
    """What a few images go through before the next batch normalisation can go on.

    `forward` are the operations in order; then `gathers`, a batch normalisation, takes its input into its sums.
    `again` are the cheap operations that the backward pass runs once more; `backward` are operations in their order
    there, and for each of its inputs whether its gradient is wanted, and whether it is the first part of it. Then
    `gathers_gradient`, the batch normalisation that began the stage, takes in the gradient of its output. `values` are
    all values that the stage reads or writes.
    """

    forward: tuple[int, ...]
    gathers: int | None
    again: tuple[int, ...]
    backward: tuple[tuple[int, tuple[tuple[bool, bool], ...]], ...]
    gathers_gradient: int | None
    values: frozenset[int]


@dataclass(frozen=True)
class Plan:
    """The stages of a step, and the values and gradients that are kept for the whole batch."""

    stages: tuple[Stage, ...]
    kept: frozenset[int]
    kept_gradients: frozenset[int]


def plan(program: Program, trainable: frozenset[str], batch_statistics: bool = True) -> Plan:
    """The stages of a program; one alone without `batch_statistics`, when a batch normalisation waits for nobody."""
    operations = program.operations
    stages, number = [], 0
    for operation in operations:
        number += batch_statistics and isinstance(operation, BatchNorm)
        stages.append(number)
    begins = {stages[i]: i for i in reversed(range(len(operations)))}  # the operation that begins each stage
    kept = frozenset({0, len(operations)})
    if batch_statistics:  # else there is no backward pass, and no later stage
        kept |= {i + 1 for i, one in enumerate(operations) if not one.is_cheap}
    wanted = _wanted(operations, trainable)
    backward_stages = [stages[i] - isinstance(one, BatchNorm) for i, one in enumerate(operations)]
    kept_gradients = {len(operations)}
    for i, operation in enumerate(operations):
        if isinstance(operation, BatchNorm):
            kept_gradients.add(i + 1)
        kept_gradients |= {v for v in operation.inputs if v > 0 and backward_stages[v - 1] != backward_stages[i]}

    def needed(values: Iterable[int], stage: int) -> tuple[int, ...]:
        """The operations that give these values where only kept values of the stages before are there."""
        found: set[int] = set()
        waiting = list(values)
        while waiting:
            i = waiting.pop() - 1
            if i >= 0 and i not in found and not (i + 1 in kept and stages[i] < stage):
                found.add(i)
                waiting += operations[i].inputs
        return tuple(sorted(found))

    made: list[Stage] = []
    seen: set[int] = set()
    for stage in range(number, -1, -1):
        following = begins.get(stage + 1)
        targets = [i + 1 for i in range(len(operations)) if stages[i] == stage and i + 1 in kept]
        if following is not None:
            targets.append(operations[following].inputs[0])
        begun_by = begins[stage] if stage > 0 else None
        backward, reads = [], []
        for i in reversed(range(len(operations))):
            if not batch_statistics or backward_stages[i] != stage or i + 1 not in wanted:
                continue  # without batch statistics nothing is trained
            firsts = []
            for value in reversed(operations[i].inputs):
                is_wanted = value in wanted
                firsts.append((is_wanted, value not in seen))
                seen.add(value)
            backward.append((i, tuple(reversed(firsts))))
            reads += [*operations[i].inputs] if operations[i].reads_inputs else []
            reads += [i + 1] if operations[i].reads_output else []
        if begun_by is not None:
            reads.append(operations[begun_by].inputs[0])
        forward, again = needed(targets, stage), needed(reads, number + 1)
        touched = {value for i in (*forward, *again) for value in (i + 1, *operations[i].inputs)}
        touched |= {value for i, _ in backward for value in (i + 1, *operations[i].inputs)} | set(reads)
        if begun_by is not None:
            touched.add(begun_by + 1)
        made.append(Stage(forward, following, again, tuple(backward), begun_by, frozenset(touched)))
    return Plan(tuple(reversed(made)), kept, frozenset(kept_gradients))


def _wanted(operations: tuple[Operation, ...], trainable: frozenset[str]) -> frozenset[int]:
    """The values whose gradients lead to a trainable parameter."""
    wanted: set[int] = set()
    for i, operation in enumerate(operations):
        if trainable.intersection(operation.parameters) or wanted.intersection(operation.inputs):
            wanted.add(i + 1)
    return frozenset(wanted)
