"""Write one network in full, or a list of all networks, as lines. Pure; needs no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tabulate import tabulate

from bench.network.specification import VARIED, Architecture, Claim, Document, Layer, Recipe
from bench.network.structure_facts import FunctionCall, Structure

_TABLE_SOURCES = {
    "document": "The documented rows are printed in the document",
    "notebook": "The documented rows were read in the author's notebook, because the document has no table as text",
}
_LIMITS: Mapping[str, Callable[[Architecture, Structure], int]] = {
    "parameters_below": lambda architecture, structure: structure.parameters,
    "epochs_below": lambda architecture, structure: architecture.recipe.epochs,
}
"""The kinds of claims that set a limit, with the value that must be below it."""

ASSIGNMENT = (
    Claim("parameters_below", 20_000, "fewer than 20,000 parameters", "document"),
    Claim("epochs_below", 20, "fewer than 20 epochs", "document"),
)
"""The limits of the assignment that the documents solve."""

_LIST_WIDTHS = [None, 16, None, None, 48]
"""The widths, in characters, at which the cells of each column of the list are wrapped."""


def format_list(architectures: Mapping[str, Architecture], structures: Mapping[str, Structure]) -> list[str]:
    """The lines of the list, with one row for each network and the claims about it."""
    rows = [
        (
            name,
            architecture.document.title if architecture.document else "",
            f"{structures[name].parameters:,}" if name in structures else "",
            _recipe_in_brief(architecture.recipe),
            "; ".join(claim.text for claim in architecture.claims if claim.kind != "parameters"),
        )
        for name, architecture in architectures.items()
    ]
    headers = ("network", "document", "parameters", "recipe", "claimed")
    return _table(rows, headers, ("left", "left", "right", "left", "left"), _LIST_WIDTHS)


def format_show(
    architecture: Architecture, structure: Structure, unused: Sequence[str] = (), remarks: Sequence[str] = ()
) -> list[str]:
    """The lines about one network: its layers, its size, its recipe, and whether it meets the limits.

    If the network has a document, the documented values stand beside the measured ones. No gradient reaches the
    parameters `unused`, and `remarks` says what is probably a mistake in a user's own network.
    """
    document = architecture.document
    if document is None:
        return _show_own(architecture, structure, unused, remarks)
    rows = list(itertools.zip_longest(structure.layers, document.layers))
    facts = [
        ("layers", f"{sum(measured == printed for measured, printed in rows)} of {len(rows)} rows equal"),
        ("parameters", _beside(structure.parameters, document.parameters)),
        ("work", _work(structure)),
        ("arithmetic", _arithmetic(architecture)),
        ("recipe", _recipe(architecture.recipe, document)),
        ("digest", _digests(architecture)),
        *(("limit", _limit(claim, architecture, structure)) for claim in document.claims if claim.kind in _LIMITS),
        *(("remark", remark) for remark in document.remarks),
    ]
    return [
        f'{architecture.name}: "{document.title}", {document.repository} @ {document.commit}, {document.date}',
        "",
        *_layers(rows, structure.functions or ()),
        "",
        f"Shapes are channels x height x width. {_TABLE_SOURCES[document.layers_source]}.",
        *_on_functions(structure.functions),
        "",
        *_table(facts, (), ("left", "left")),
    ]


def _show_own(
    architecture: Architecture, structure: Structure, unused: Sequence[str], remarks: Sequence[str]
) -> list[str]:
    calls = structure.functions or ()
    rows: list[tuple[object, ...]] = [("", f"({call.name})", "", "") for call in calls if call.after == 0]
    for number, layer in enumerate(structure.layers, start=1):
        rows.append((number, *_cells(layer)))
        rows += [("", f"({call.name})", "", "") for call in calls if call.after == number]
    scores = "logits; the harness applies a log-softmax" if architecture.gives_logits else "log-probabilities"
    facts = [
        ("parameters", f"{structure.parameters:,}"),
        *([("unused", f"no gradient reaches {', '.join(unused)}")] if unused else []),
        ("work", _work(structure)),
        ("arithmetic", _arithmetic(architecture)),
        ("scores", scores),
        *(("remark", remark) for remark in remarks),
        ("recipe", _recipe(architecture.recipe)),
        ("digest", _digests(architecture)),
        ("target", f"{architecture.target.correct:,} of {architecture.target.total:,} test images"),
        *(("claim", claim.text) for claim in architecture.claims),
        *(("limit", _limit(claim, architecture, structure)) for claim in ASSIGNMENT),
    ]
    return [
        f"{architecture.name}: {architecture.call} in {architecture.path}",
        "",
        *_table(rows, ("", "layer", "output", "parameters"), ("right", "left", "left", "right")),
        "",
        "Shapes are channels x height x width.",
        *_on_functions(structure.functions),
        "",
        *_table(facts, (), ("left", "left")),
    ]


def _arithmetic(architecture: Architecture) -> str:
    """How the network is trained, and what keeps it from exact arithmetic."""
    if architecture.uncovered:
        return f"native, by PyTorch's operators; exact arithmetic does not cover: {'; '.join(architecture.uncovered)}"
    if architecture.uncovered_on_gpu:
        more = "; ".join(architecture.uncovered_on_gpu)
        return f"exact on the CPU, with the same bits on every machine; native on a GPU, which does not cover: {more}"
    return "exact, with the same bits on every machine"


def _work(structure: Structure) -> str:
    return f"{structure.multiply_accumulates:,} multiply-accumulates in the forward pass of one image"


def _layers(rows: Sequence[tuple[Layer | None, Layer | None]], functions: Sequence[FunctionCall]) -> list[str]:
    lines: list[tuple[object, ...]] = [*_function_rows(functions, 0)]
    for number, (measured, printed) in enumerate(rows, start=1):
        mark = "equal" if measured == printed else "different"
        lines.append((number, *_cells(measured), *_cells(printed), mark))
        lines.extend(_function_rows(functions, number))
    headers = ("", "layer", "output", "parameters", "documented", "output", "parameters", "")
    return _table(lines, headers, ("right", "left", "left", "right", "left", "left", "right", "left"))


def _function_rows(functions: Sequence[FunctionCall], after: int) -> Iterator[tuple[object, ...]]:
    return (("", f"({call.name})", *[""] * 6) for call in functions if call.after == after)


def _cells(layer: Layer | None) -> tuple[str, str, str]:
    if layer is None:
        return "none", "", ""
    return layer.kind, "x".join(str(size) for size in layer.shape), f"{layer.parameters:,}"


def _on_functions(calls: tuple[FunctionCall, ...] | None) -> list[str]:
    if calls is None:
        return ["The forward pass cannot be traced, so functions between the layers are not shown."]
    if not calls:
        return []
    return ["The forward pass calls the functions in brackets. They are not modules and not in any printed table."]


def _beside(measured: int, documented: int) -> str:
    mark = "equal" if measured == documented else "different"
    return f"{measured:,} measured, {documented:,} documented: {mark}"


def _recipe(recipe: Recipe, document: Document | None = None) -> str:
    """Every field of the recipe, with its source if the network has a document."""
    where = dict(document.recipe_sources) if document else {}
    names = where or recipe.facts
    parts = (
        f"{name.replace('_', ' ')} {_shown(getattr(recipe, name))}" + (f" ({where[name]})" if where else "")
        for name in names
    )
    return "SGD, " + ", ".join(parts)


def _digests(architecture: Architecture) -> str:
    """What stands in the column `recipe` of the record."""
    varied = (f"{vary} {architecture.varied(vary).digest}" for vary in VARIED)
    return f"{architecture.digest}; with --vary {', '.join(varied)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " then ".join(map(str, value))
    return value if isinstance(value, str) else f"{value:g}"


def _recipe_in_brief(recipe: Recipe) -> str:
    return f"SGD {recipe.learning_rate:g}\nbatch {recipe.batch_size}\n{recipe.epochs} epochs"


def _limit(claim: Claim, architecture: Architecture, structure: Structure) -> str:
    value, unit = _LIMITS[claim.kind](architecture, structure), claim.kind.removesuffix("_below")
    verdict = "met" if value < claim.value else "not met"
    return f"fewer than {claim.value:,} {unit}: {verdict}, {value:,}"


def _table(
    rows: Iterable[tuple[object, ...]],
    headers: tuple[str, ...],
    alignment: tuple[str, ...],
    widths: list[int | None] | None = None,
) -> list[str]:
    form = "simple" if headers else "plain"
    text: str = tabulate(
        list(rows), headers, tablefmt=form, colalign=alignment, disable_numparse=True, maxcolwidths=widths
    )
    return [line.rstrip() for line in text.splitlines()]
