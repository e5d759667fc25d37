"""Write the numbers of the report as JSON for scripts. The same rows give the same bytes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from bench.evidence.results import Timing
from bench.evidence.summary import GroupSummary, Images, NetworkSummary, SeedResult, Summary
from bench.evidence.verdicts import Course, Verdict
from bench.report.written import MARK


def as_json(summary: Summary) -> str:
    """All numbers of a summary as JSON with sorted keys. A missing number is null."""
    content = {
        "about": MARK,
        "networks": {network.name: _network(network) for network in summary.networks},
        "other_recipes": [asdict(other) for other in summary.other_recipes],
        "between_networks": [asdict(test) for test in summary.between_networks],
        "between_devices": [asdict(test) for test in summary.between_devices],
        "images": _images(summary.images),
        "repeats": asdict(summary.repeats),
        "sources_of_variance": asdict(summary.sources),
        "problems": [asdict(problem) for problem in summary.problems],
        "problems_of_misses": [asdict(problem) for problem in summary.problems_of_misses],
        "problems_of_verifications": [asdict(problem) for problem in summary.problems_of_verifications],
        "epochs_done": sum(group.done for group in summary.current),
        "epochs_planned": sum(group.planned for group in summary.current),
    }
    return json.dumps(_plain(content), indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def _network(network: NetworkSummary) -> dict[str, Any]:
    document, recipe = network.architecture.document, network.architecture.recipe
    return {
        "document": document.title if document else None,
        "documented_log": {str(logged.epoch): logged.correct for logged in network.architecture.log},
        "documented_final_mean": network.documented_final_mean,
        "documented_first_epoch": network.documented_first,
        "parameters_documented": document.parameters if document else None,
        "parameters_measured": network.structure.parameters if network.structure else None,
        "recipe": None if network.architecture.is_logged else recipe.facts,
        "target": asdict(network.architecture.target),
        "groups": [_group(group) for group in network.groups],
        "claims_without_a_run": [_verdict(verdict) for verdict in network.verdicts_without_runs],
    }


def _group(group: GroupSummary) -> dict[str, Any]:
    what = group.group
    return {
        "model": what.model,
        "label": group.label,
        "recipe": what.recipe,
        "is_current": what.is_current,
        "device": what.device,
        "environment": what.environment,
        "machine": what.machine,
        "epochs_done": group.done,
        "epochs_planned": group.planned,
        "claims": [_verdict(verdict) for verdict in group.verdicts],
        "evidence_by_seed": [_course(course) for course in group.courses],
        "seeds": [_seed(seed, run.correct, run.total) for seed, run in zip(group.seeds, group.group.runs, strict=True)],
        "time_to_target": {
            "first": asdict(group.first),
            "sustained": asdict(group.sustained),
            "last": asdict(group.latest),
        },
        "last_prediction_interval": asdict(group.last_interval) if group.last_interval else None,
        "complete_runs": len(group.last),
        "complete_runs_at_target_in_the_last_epoch": group.at_target_last,
        "speed": [_timing(timing) for timing in what.timings],
    }


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "device": timing.device,
        "epochs_timed": len(timing.seconds),
        "median_train_seconds": timing.median_train_seconds,
        "median_seconds": timing.median_seconds,
    }


def _seed(seed: SeedResult, correct: tuple[int, ...], total: int) -> dict[str, Any]:
    return {**asdict(seed), "correct": correct, "total": total}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        **asdict(verdict.claim),
        "outcome": verdict.outcome,
        "evidence": verdict.evidence,
        "would_decide": verdict.would_decide,
        "further_seeds": verdict.further,
    }


def _course(course: Course) -> dict[str, Any]:
    what = "e-value" if course.is_of_a_share else "1/p"
    return {"claim": course.claim.text, "is": what, "for": course.support, "against": course.against}


def _images(images: Images) -> dict[str, Any]:
    listed = [
        {**asdict(one), "seen_as": {str(digit): runs for digit, runs in one.seen_as}} for one in images.most_missed
    ]
    return {**asdict(images), "most_missed": listed}


def _plain(value: Any) -> Any:
    """The value in a form that JSON allows: an infinite or undefined number becomes None."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
