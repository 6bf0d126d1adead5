"""From what the steps found out to the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from drawing.record import (
    Baseline,
    Category,
    Evaluations,
    Model,
    Needed,
    RegionMap,
    Search,
    WhatIf,
    pack_scores,
    packed,
)
from drawing.words import clause, conjunction
from patch_deletion_tree import DiverseSag
from running.explanation import Explanation, graph_entries, root_entries
from running.image_case import ImageCase
from running.record_files import versions
from running.steps import Findings
from scoring.answerer import Answerer
from scoring.engine import Engine
from scoring.explanation_map import explanation_map
from scoring.hidden import rest_of
from scoring.patch_sets import PatchSet
from scoring.regions import Regions
from search import MSE


@dataclass(frozen=True)
class Source:
    """Where an image is from, for the record."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Cut:
    """Regions of an image, and what must agree for them to be the same."""

    regions: Regions
    source: dict[str, Any]


def make_record(
    findings: Findings,
    case: ImageCase,
    *,
    engine: Engine,
    source: Source,
    cut: Cut | None,
    settings: Mapping[str, Any],
) -> Explanation:
    """Return the findings as a record; settings are the main job's, as plain values."""
    network = engine.network
    saliency = findings.saliency
    names = cut.regions.names if cut else None
    return Explanation(
        image=source.name,
        image_sha256=source.sha256,
        size=network.size,
        model=msgspec.convert(network.description(), Model),
        regions=region_map(cut) if cut else msgspec.UNSET,
        category=Category(case.category, network.labels[case.category]),
        against=against_entry(case.slot.against, network.labels),
        probability=saliency.full,
        baseline=baseline_entry(findings, settings["baseline"]),
        grid=case.grid,
        threshold=findings.thresholds.enough,
        node_threshold=findings.thresholds.node,
        saliency=saliency.mask.flatten().tolist(),
        gradcam=None if saliency.gradcam is None else saliency.gradcam.tolist(),
        explanation_map=map_entry(findings.sag.result.mses, case.num_patches),
        **side_entries(findings.sag, saliency.full, settings),
        dnf=formula(findings.sag.result.mses, names=names),
        needed=needed_entry(findings, settings=settings, names=names),
        curves=findings.curves,
        scores=pack_scores(findings.answerer.exact),
        what_if=what_if_entry(findings.drawn),
        evaluations=evaluations(findings.answerer, engine),
        seconds=findings.seconds,
        settings=dict(settings),
        versions=versions(),
    )


def side_entries(side: DiverseSag, full: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record has of either side, by the names of its fields.

    Args:
        side: MSEs or breaking sets, and their graph.
        full: probability of the full image.
        settings: the main job's, as plain values.
    """
    result = side.result
    return {
        "search": Search(settings["search"], result.complete, result.stopped_by),
        "roots": root_entries(result.mses, full),
        "diverse_roots": side.subset.chosen[: settings["num_roots_sag"]],
        "diverse_set": side.subset.chosen,
        "diverse_set_proven": side.subset.proven,
        "sag": graph_entries(side.graph),
    }


def against_entry(against: int | None, labels: Sequence[str]) -> Category | msgspec.UnsetType:
    """Return the class against which the confidence is measured, as the record has it."""
    return msgspec.UNSET if against is None else Category(against, labels[against])


def baseline_entry(findings: Findings, name: str) -> Baseline:
    """Return the baseline as the record has it."""
    others = findings.other_baselines or msgspec.UNSET
    return Baseline(name, findings.saliency.hidden, others)


def map_entry(mses: Sequence[MSE], num_patches: int) -> list[float]:
    """Return the map of all explanations as the record has it; empty where there is none."""
    if not mses:
        return []
    return explanation_map([mse.patches for mse in mses], num_patches).round(6).tolist()


def what_if_entry(drawn: Sequence[PatchSet] | None) -> WhatIf | msgspec.UnsetType:
    """Return which sets were drawn at random, as the record has it; UNSET where none was asked."""
    return msgspec.UNSET if drawn is None else WhatIf(drawn=packed(drawn))


def formula(mses: Sequence[MSE], *, names: Sequence[str] | None) -> str:
    """Return MSEs as a monotone DNF: P11 & P30 | P10 & P30."""
    return " | ".join(conjunction(mse.patches, names) for mse in mses)


def needed_entry(
    findings: Findings, *, settings: Mapping[str, Any], names: Sequence[str] | None
) -> Needed | msgspec.UnsetType:
    """Return the breaking sets as the record has them; UNSET where they were not asked for."""
    if findings.needed is None:
        return msgspec.UNSET
    side = of_the_rest(findings.needed, findings.answerer.exact, findings.saliency.full)
    sets = [mse.patches for mse in side.result.mses]
    enough = [mse.patches for mse in findings.sag.result.mses]
    return Needed(
        explanation_map=map_entry(side.result.mses, findings.answerer.slot.num_patches),
        **side_entries(side, findings.saliency.full, settings),
        cnf=" & ".join(clause(patches, names) for patches in sets),
        disjoint=sum(set(a).isdisjoint(b) for a in enough for b in sets),
    )


def of_the_rest(side: DiverseSag, exact: Mapping[PatchSet, float], full: float) -> DiverseSag:
    """Return a side of hidden sets with each set's probability being that of the rest.

    Args:
        side: the breaking sets and their graph, in scores of one minus that.
        exact: probabilities in float32 of sets that show.
        full: probability of the full image.
    """
    num_patches = len(max(exact, key=len))
    graph = side.graph.copy()
    for patches, values in graph.nodes(data=True):
        values["probability"] = exact[rest_of(patches, num_patches)]
        values["relative"] = values["probability"] / full
    mses = [
        replace(mse, probability=exact[rest_of(mse.patches, num_patches)])
        for mse in side.result.mses
    ]
    return replace(side, result=replace(side.result, mses=tuple(mses)), graph=graph)


def evaluations(answerer: Answerer, engine: Engine) -> Evaluations:
    """Return how many sets were asked about, and how many the network saw.

    Args:
        answerer: of the image.
        engine: that answered.
    """
    precision = engine.precision if answerer.has_reduced else "float32"
    backend = engine.backend if answerer.has_reduced else "torch"
    passes: dict[str, dict[str, int]] = {}
    for (step, kind), number in answerer.passes.items():
        name = precision if kind == "reduced" else kind
        by_precision = passes.setdefault(step, {})
        by_precision[name] = by_precision.get(name, 0) + number  # OpenVINO's may be float32 as well
    numbers = {step: sum(by_kind.values()) for step, by_kind in passes.items()}
    return Evaluations(
        asked=answerer.asked["search"],
        scored=numbers.get("search", 0),
        scored_again=numbers.get("tree", 0) + numbers.get("curves", 0),
        scored_for_curves=numbers.get("curves", 0),
        precision=precision,
        backend=backend,
        doubted=answerer.doubted,
        disagreed=answerer.disagreed,
        shared=answerer.num_shared or msgspec.UNSET,
        passes=passes,
    )


def region_map(cut: Cut) -> RegionMap:
    """Return the regions as the record has them."""
    regions = cut.regions
    return RegionMap(
        names=regions.names,
        labels=regions.numbers,
        areas=regions.areas(),
        map=regions.png(),
        source=cut.source,
    )
