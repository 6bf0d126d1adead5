"""The comparison: its table by hand, and the command on the bundled world."""

import numpy as np
import pytest
import torch

from birds.annotated_sets import CUB_PARTS, NAMES, OBJECTS, attributes, objects_of, run
from birds.annotated_sets import Settings as SetSettings
from birds.painter import CLASSES, PARTS, draw_scene
from companions.deliberative.annotations import SHARES
from companions.deliberative.comparison import Comparison, Way, named_networks, value_at
from companions.deliberative.cub import cub, shared_parts
from companions.deliberative.curve_figures import iou_by_size, precision_by_recall
from companions.deliberative.evaluation import Evaluation, read_evaluation
from companions.deliberative.joint_training import preprocessing
from companions.deliberative.own_trunk import HardnessHead, module_of
from deliberative_explanation import main
from scoring.networks import load_network
from utils import UserError

WAYS = [Way("ade20k", arch, "entropy", kind) for arch in ("a", "b") for kind in ("gradient", "ig")]


def evaluation(**measures):
    """Return an evaluation with constant measures."""
    values = {name: [value] * 99 for name, value in measures.items()}
    return Evaluation(
        data="x", images=3, images_counted=3, insecurities=9, shares=list(SHARES), **values
    )


# ---------------------------------------------------------------- curves


def test_runs_are_averaged_and_their_deviation_is_divided_by_n():
    line = iou_by_size([evaluation(iou=0.2), evaluation(iou=0.4)])
    assert line.x[[0, -1]].tolist() == pytest.approx([1, 99])
    assert line.mean[0] == pytest.approx(0.3)
    assert line.deviation[0] == pytest.approx(0.1)


def test_precision_is_interpolated_at_the_recall_that_runs_share():
    first = evaluation(precision=0.0, recall=0.0)
    first.recall = np.linspace(0, 1, 99).tolist()
    first.precision = np.linspace(1, 0, 99).tolist()  # 1 - recall
    second = evaluation(precision=0.5, recall=0.0)
    second.recall = np.linspace(0.2, 0.8, 99).tolist()
    line = precision_by_recall([first, second])
    assert line.x[[0, -1]].tolist() == pytest.approx([0.2, 0.8])
    assert line.mean.tolist() == pytest.approx((((1 - line.x) + 0.5) / 2).tolist())


def test_without_a_known_precision_there_is_no_curve():
    nothing = evaluation(recall=0.0, precision=0.0)
    nothing.precision = [None] * 99
    assert precision_by_recall([nothing]) is None


# ---------------------------------------------------------------- the table


def test_the_table_has_means_and_deviations():
    table = Comparison({WAYS[0]: [evaluation(iou=0.2), evaluation(iou=0.4)]}).as_markdown()
    row = table.splitlines()[-1]
    assert row == "| a | entropy | gradient |" + " 30.0 ± 10.0 |" * 6


def test_a_value_is_the_mean_at_the_sizes():
    one = evaluation(iou=0.0)
    one.iou = list(SHARES)
    assert value_at(one, "iou", (0.1, 0.3, 0.5, 0.7, 0.9)) == pytest.approx(0.5)


def test_a_section_varies_one_thing():
    runs = {way: [evaluation(iou=0.1)] for way in WAYS}
    sections = Comparison(runs).sections(WAYS[0])
    assert {name: list(ways) for name, ways in sections.items()} == {
        "attributions": ["gradient", "ig"],
        "architectures": ["a", "b"],
    }


def test_networks_of_one_architecture_are_runs(tmp_path):
    files = [tmp_path / "1.pth", tmp_path / "2.pth"]
    for file in files:
        file.write_bytes(b"")
    found = named_networks([f"cub=vgg16_bn={file}" for file in files])
    assert [network.run for network in found] == [1, 2]
    [_, split] = named_networks([f"cub=a={files[0]}", f"cub=a={files[1]}=features.22"])
    assert (split.run, split.layer, split.architecture) == (1, "features.22", "a features.22")


def test_a_network_named_twice_is_no_second_run(tmp_path):
    (tmp_path / "1.pth").write_bytes(b"")
    with pytest.raises(UserError, match="named twice"):
        named_networks([f"cub=a={tmp_path / '1.pth'}"] * 2)


@pytest.mark.parametrize(
    "text, words",
    [
        ("cub=vgg16_bn", "not SET=ARCH=FILE"),
        ("sun=a=b", "not SET=ARCH=FILE"),
        ("cub=a=no.pth", "no such file"),
    ],
)
def test_a_network_that_cannot_be_meant_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        named_networks([text])


# ---------------------------------------------------------------- the bundled world


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The two annotated sets of two half-way scenes."""
    folder = tmp_path_factory.mktemp("sets")
    assert run(SetSettings(folder, scenes=2)) == 0
    return folder


def test_two_birds_share_the_parts_that_look_alike(sets):
    shared = shared_parts(sets / "CUB_200_2011", len(NAMES))
    variants = dict(CLASSES)
    for (a, b), parts in shared.items():
        rows = zip(PARTS, variants[NAMES[a]], variants[NAMES[b]], strict=True)
        wanted = {CUB_PARTS[part] for part, first, second in rows if first == second}
        assert parts & set(CUB_PARTS.values()) == wanted


def test_every_class_has_one_variant_of_each_part():
    names, table = attributes()
    assert table.shape == (12, len(names))
    assert (table[:, : len(OBJECTS)].sum(1) == 100 * len(PARTS)).all()


def test_the_objects_of_a_scene_are_its_variants():
    scene = draw_scene(CLASSES[0][1], seed=3)
    found = {OBJECTS[label - 1] for label in np.unique(objects_of(scene)) if label}
    assert found == {f"{part} {n}" for part, n in zip(PARTS, CLASSES[0][1], strict=True)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The bundled network on 64 pixels, with an untrained predictor."""
    torch.manual_seed(0)
    network = load_network("birds")
    content = {
        "state_dict_m": network.module.state_dict(),
        "state_dict_ahp_trunk": module_of("birds", 9).state_dict(),
        "state_dict_ahp_hp": HardnessHead(9).state_dict(),
        **preprocessing(64, network.mean, network.std, NAMES),
    }
    path = tmp_path_factory.mktemp("weights") / "pair.pth"
    torch.save(content, path)
    return path


@pytest.fixture
def compare(sets, checkpoint, tmp_path):
    """The smallest comparison: a function that runs it and returns the exit status."""

    def command(*options):
        return main(
            [
                *("compare", "--cub", str(sets / "CUB_200_2011")),
                *("--ade20k", str(sets / "ADEChallengeData2016")),
                *("--networks", f"cub=birds={checkpoint}", f"ade20k=birds={checkpoint}"),
                *("--difficulties", "certainty", "hardness", "--attributions", "gradient"),
                *("--results", str(tmp_path), "--device", "cpu", *options),
            ]
        )

    return command


def test_a_comparison_leaves_a_table_and_figures(compare, tmp_path, monkeypatch):
    assert compare() == 0
    table = (tmp_path / "comparison.md").read_text()
    assert [line for line in table.splitlines() if line.startswith("| birds")] != []
    assert table.count("| birds | hardness | gradient |") == 2
    assert "CUB-200-2011: 2 images" in table
    assert (tmp_path / "ade20k_difficulties.png").is_file()
    assert len(list(tmp_path.rglob("insecurities.json"))) == 2 * 2 * 2
    assert len(list(tmp_path.rglob("insecurities.png"))) == 0
    # What is measured is not measured again.
    monkeypatch.setattr("deliberative_explanation.run", None)
    (tmp_path / "comparison.md").unlink()
    assert compare() == 0
    assert (tmp_path / "comparison.md").read_text() == table


def test_seeds_give_means_and_deviations(compare, checkpoint, tmp_path):
    other = tmp_path / "seed1.pth"
    content = torch.load(checkpoint, weights_only=True)
    for key, value in content["state_dict_m"].items():
        if value.ndim == 4:
            content["state_dict_m"][key] = value.flip(-1)  # another network
    torch.save(content, other)
    networks = ("--networks", f"cub=birds={checkpoint}", f"cub=birds={other}")
    assert compare(*networks, "--difficulties", "certainty") == 0
    folders = [tmp_path / f"cub/birds_{run}/certainty/gradient" for run in (1, 2)]
    runs = [read_evaluation(folder / "evaluation.json") for folder in folders]
    values = [100 * value_at(run, "precision", (0.3,)) for run in runs]
    assert values[0] != values[1]
    cell = f"{np.mean(values):.1f} ± {abs(values[0] - values[1]) / 2:.1f}"
    row = (tmp_path / "comparison.md").read_text().splitlines()[-1]
    assert row.split(" | ")[4] == cell


def test_a_network_without_its_data_set_is_refused(checkpoint, tmp_path, error_line):
    options = ("--networks", f"cub=birds={checkpoint}", "--results", str(tmp_path))
    assert main(["compare", *options]) == 2
    assert "no --cub" in error_line()


def test_the_parts_of_a_half_way_scene_are_marked(sets):
    data = cub(sets / "CUB_200_2011")
    fit = load_network("birds").fit
    marks = data.marks(data.images[0], fit, (0, 1))
    assert 0 < len(marks) <= len(PARTS)
    assert {mark.is_shared for mark in marks} <= {True, False}
