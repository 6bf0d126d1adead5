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
    RegionMap,
    Search,
    pack_scores,
)
from drawing.words import conjunction
from running.explanation import Explanation, graph_entries, root_entries
from running.image_case import ImageCase
from running.record_files import versions
from running.steps import Findings
from scoring.answerer import Answerer
from scoring.engine import Engine
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
        saliency=saliency.mask.flatten().tolist(),
        gradcam=None if saliency.gradcam is None else saliency.gradcam.tolist(),
        search=Search(settings["search"], result.complete, result.stopped_by),
        roots=root_entries(result.mses, saliency.full),
        diverse_roots=subset.chosen[: settings["num_roots_sag"]],
        diverse_set=subset.chosen,
        diverse_set_proven=subset.proven,
        dnf=formula(result.mses, names=cut.regions.names if cut else None),
        sag=graph_entries(findings.sag.graph),
        curves=findings.curves,
        scores=pack_scores(findings.answerer.exact),
        evaluations=evaluations(findings.answerer, engine),
        seconds=findings.seconds,
        settings=dict(settings),
        versions=versions(),
    )


def formula(mses: Sequence[MSE], *, names: Sequence[str] | None) -> str:
    """Return MSEs as a monotone DNF: P11 & P30 | P10 & P30."""
    return " | ".join(conjunction(mse.patches, names) for mse in mses)


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
