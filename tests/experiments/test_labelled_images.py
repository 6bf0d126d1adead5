"""Labels in every layout, and drawn scenes."""

import pytest
from PIL import Image

from experiments.images import class_indices, drawn_scenes, from_folder
from scoring.fitting import Fit
from utils import UserError


def labels_of(subjects):
    return [(subject.name, subject.label) for subject in subjects]


def write_csv(folder, text):
    path = folder / "labels.csv"
    path.write_text(text)
    return path


# ---------------------------------------------------------------- layouts


def test_folders_are_labels(paper, class_names):
    assert labels_of(from_folder(paper.images, None, class_names)) == [
        ("one/a.png", 1),
        ("one/b.png", 1),
        ("two/c.png", 2),
    ]


def test_images_beside_the_folders_have_no_label(paper, class_names):
    Image.new("RGB", (8, 8)).save(paper.images / "beside.png")
    assert ("beside.png", None) in labels_of(from_folder(paper.images, None, class_names))


def test_a_csv_has_indices_or_names(paper, class_names, tmp_path):
    path = write_csv(tmp_path, "file,label\none/a.png,2\ntwo/c.png,Nought\n")
    assert labels_of(from_folder(paper.images, path, class_names)) == [
        ("one/a.png", 2),
        ("two/c.png", 0),
    ]


def test_kaggles_csv_of_imagenet_is_understood(paper, class_names, tmp_path):
    Image.new("RGB", (8, 8)).save(paper.images / "ILSVRC2012_val_00000001.JPEG")
    row = "ILSVRC2012_val_00000001,1 5 5 9 9"
    path = write_csv(tmp_path, f"ImageId,PredictionString\n{row}\n")
    found = from_folder(paper.images, path, class_names)
    assert labels_of(found) == [("ILSVRC2012_val_00000001.JPEG", 1)]


def test_a_name_comes_before_a_wordnet_id():
    places = ["", ""]
    assert class_indices(["n02", "n01"], ["a", "n02", "n01"], places=places) == [1, 2]


def test_wordnet_ids_are_numbered_where_all_classes_occur():
    ids = ["n00000007", "n00000002"]
    assert class_indices(ids, ["a", "b"], places=["", ""]) == [1, 0]


# ---------------------------------------------------------------- bad input


BAD_CSV = [
    ("", "needs a column of files"),
    ("file,label\n", "no row in it"),
    ("label\n1\n", "needs a column of files"),
    ("file,author\na,b\n", "one of labels"),
    ("file,label\none/a.png,9\n", "line 2: 9: the model has 3 classes, 0 to 2"),
    ("file,label\none/a.png,\n", "line 2: (empty) is none"),
    ("file,label\none/a.png,1\none/z.png,1\n", "line 3: no such image below"),
    ("file,label\none/a.png,1\none/a.png,2\n", "line 3: one/a.png is there twice"),
    ("file,label\n../names.txt,1\n", "line 2: ../names.txt does not lie below"),
    ("file,label\n/etc/hostname,1\n", "line 2: /etc/hostname does not lie below"),
    ("file,label\none/a.png\n", "line 2: (empty) is none"),
    ("file,label\none/a.png,n01440764\n", "1 WordNet ids, the model has 3 classes"),
]


@pytest.mark.parametrize(("text", "says"), BAD_CSV)
def test_a_bad_csv_is_one_line_that_names_it(paper, class_names, tmp_path, text, says):
    path = write_csv(tmp_path, text)
    with pytest.raises(UserError) as caught:
        from_folder(paper.images, path, class_names)
    message = str(caught.value)
    assert says in message
    assert str(path) in message
    assert "\n" not in message


def test_a_bad_csv_ends_the_command_with_status_2(paper, tmp_path, capsys):
    path = write_csv(tmp_path, "file,label\none/a.png,9\n")
    assert paper("--labels-csv", path) == 2
    error = capsys.readouterr().err.strip()
    assert str(path) in error
    assert "\n" not in error


def test_a_folder_that_is_no_class_is_named(paper, class_names):
    (paper.images / "two").rename(paper.images / "twelve")
    with pytest.raises(UserError, match="twelve is none of the model's 3 classes"):
        from_folder(paper.images, None, class_names)


# ---------------------------------------------------------------- scenes


def scene(seed):
    return drawn_scenes(13, seed)[12]


def test_a_seed_draws_the_same_scenes_each_time():
    assert (scene(0).load(Fit((224, 224))) == scene(0).load(Fit((224, 224)))).all()
    assert scene(0).identity() == scene(0).identity()


def test_another_seed_draws_other_scenes():
    assert scene(0).identity() != scene(1).identity()


def test_scenes_take_the_classes_in_turn():
    assert [subject.label for subject in drawn_scenes(13, 0)] == [*range(12), 0]


def test_a_scene_knows_the_boxes_of_its_parts():
    assert set(scene(0).boxes()) == {"beak", "crest", "wing", "tail", "feet"}


def test_scenes_are_drawn_at_their_own_size_only():
    with pytest.raises(ValueError, match="224"):
        scene(0).load(Fit((96, 96)))
