"""From what the steps found out to the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from drawing.record import (
    Baseline,
    Category,
    Evaluations,
    Model,
    PatchSet,
    RegionMap,
    Search,
    pack_scores,
)
from drawing.words import conjunction
from running.explanation import Explanation, graph_entries, root_entries
from running.image_case import ImageCase
from running.record_files import versions
from running.steps import Findings
from scoring.engine import Engine
from scoring.regions import Regions
from search import MSE, disagreements


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
    result = findings.sag.result
    subset = findings.sag.subset
    return Explanation(
        image=source.name,
        image_sha256=source.sha256,
        size=network.size,
        model=msgspec.convert(network.description(), Model),
        regions=region_map(cut) if cut else msgspec.UNSET,
        category=Category(case.category, network.labels[case.category]),
        probability=saliency.full,
        baseline=Baseline(settings["baseline"], saliency.hidden),
        grid=case.grid,
        threshold=settings["prob_thresh"],
        saliency=saliency.igos.flatten().tolist(),
        gradcam=None if saliency.gradcam is None else saliency.gradcam.tolist(),
        search=Search(settings["search"], result.complete, result.stopped_by),
        roots=root_entries(result.mses, saliency.full),
        diverse_roots=subset.chosen[: settings["num_roots_sag"]],
        diverse_set=subset.chosen,
        diverse_set_proven=subset.proven,
        dnf=formula(result.mses, names=cut.regions.names if cut else None),
        sag=graph_entries(findings.sag.graph),
        curves=findings.curves,
        scores=pack_scores(exact_table(findings, case, engine)),
        evaluations=evaluations(findings, engine, settings["prob_thresh"]),
        seconds=findings.seconds,
        settings=dict(settings),
        versions=versions(),
    )


def formula(mses: Sequence[MSE], *, names: Sequence[str] | None) -> str:
    """Return MSEs as a monotone DNF: P11 & P30 | P10 & P30."""
    return " | ".join(conjunction(mse.patches, names) for mse in mses)


def exact_table(findings: Findings, case: ImageCase, engine: Engine) -> dict[PatchSet, float]:
    """Return every set whose float32 probability is known; no value of bfloat16 is kept."""
    table = {} if engine.reduced else dict(findings.searcher.table)
    table.update(findings.exact.table)
    table[case.everything] = findings.saliency.full
    table[()] = findings.saliency.hidden
    return table


def evaluations(findings: Findings, engine: Engine, prob_thresh: float) -> Evaluations:
    """Return how many sets were asked for and scored."""
    searcher = findings.searcher
    exact = findings.exact
    threshold = prob_thresh * findings.saliency.full
    return Evaluations(
        asked=searcher.asked,
        scored=searcher.scored,
        scored_again=exact.scored,
        scored_for_curves=findings.scored_for_curves,
        precision="bfloat16" if engine.reduced else "float32",
        doubted=getattr(searcher.probabilities, "doubted", 0),
        disagreed=disagreements(searcher.table, exact.table, threshold),
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
