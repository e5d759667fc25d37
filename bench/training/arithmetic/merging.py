"""A program with fewer passes over memory: a batch normalisation takes in the operations around it.

It computes the same bits, because the operations stay the same, one after the other, for each value.
"""

from __future__ import annotations

from dataclasses import replace

from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Activation, Dropout, Operation
from bench.training.arithmetic.program import Program


def merged(program: Program) -> Program:
    """The program with a ReLU before each batch normalisation, and a ReLU and a dropout behind it, taken into it."""
    operations = list(program.operations)
    users: dict[int, list[int]] = {}
    for i, operation in enumerate(operations):
        for value in operation.inputs:
            users.setdefault(value, []).append(i)
    stands_for: dict[int, int] = {}  # the value that an operation no longer computes, and the one in its place
    gone: set[int] = set()
    for i, operation in enumerate(operations):
        if not isinstance(operation, BatchNorm):
            continue
        made = operation
        before = operation.inputs[0]
        if before > 0 and before - 1 not in gone and _is_relu(operations[before - 1]) and len(users[before]) == 1:
            source = operations[before - 1].inputs
            if len(users[source[0]]) == 1:  # else the gradient of this value would be summed in another order
                made = replace(made, inputs=source, relu_before=True)
                gone.add(before - 1)
        last = i
        while len(users.get(last + 1, ())) == 1:
            following = users[last + 1][0]
            one = operations[following]
            if isinstance(one, Dropout) and made.dropout is None:
                made = replace(made, dropout=one)
            elif _is_relu(one) and made.dropout is None and not made.relu_first:
                made = replace(made, relu_first=True)
            elif _is_relu(one) and made.dropout is not None and not made.relu_first and not made.relu_last:
                made = replace(made, relu_last=True)
            else:
                break
            gone.add(following)
            last = following
        stands_for[last + 1] = i + 1
        operations[i] = made
    number = {0: 0}
    for i in range(len(operations)):
        if i not in gone:
            number[i + 1] = len(number)
    kept = [i for i in range(len(operations)) if i not in gone]
    renumbered = [
        replace(operations[i], inputs=tuple(number[stands_for.get(v, v)] for v in operations[i].inputs)) for i in kept
    ]
    return Program((program.shapes[0], *(program.shapes[i + 1] for i in kept)), tuple(renumbered))


def _is_relu(operation: Operation) -> bool:
    return isinstance(operation, Activation) and operation.kind == "relu"
