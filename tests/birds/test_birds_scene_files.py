"""Files of drawn scenes: whoever ends a run in the middle finds the old file or the new one."""

import numpy as np
import pytest
from PIL import Image

from birds import annotated_sets, between, part_scenes
from companions.concepts import demo
from drawing.png import save_scene

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0]])
def test_a_scene_is_read_as_it_was_written(tmp_path, pixels):
    save_scene(pixels, tmp_path / "new/1.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new/1.png")), pixels)


def test_ctrl_c_while_a_scene_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    save_scene(PIXELS, tmp_path / "1.png")

    def interrupted(self, file, **_):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_scene(PIXELS + 1, tmp_path / "1.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "1.png")), PIXELS)
    assert [file.name for file in tmp_path.iterdir()] == ["1.png"]


@pytest.mark.parametrize("module", [annotated_sets, between, part_scenes, demo])
def test_scenes_are_written_in_one_way(module):
    assert module.save_scene is save_scene
    assert not hasattr(module, "Image")
