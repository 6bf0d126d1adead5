"""A user's file finds the modules beside itself, also those that are named as this project's."""

import shutil
import sys
import threading

import pytest
import torch

import utils
from scoring.networks import load_network
from scoring.user_files import call_function, is_beside
from utils import PROJECT, UserError

NET = """
from utils import width
import helper

class Net(torch.nn.Module):
    input_size = 8
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(width, 3)
    def forward(self, x):
        from utils import scale
        import scoring.shift as shift
        return helper.twice(self.linear(scale * x.flatten(1))) + shift.AMOUNT

def linear():
    return torch.nn.Linear(1, 1)
"""
FILES = {
    "net.py": "import torch\n" + NET,
    "utils.py": "width = 3 * 8 * 8\nscale = 0.5\n",
    "helper.py": "import utils\ndef twice(x):\n    import search\n    return search.TWO * x\n",
    "search.py": "TWO = 2\n",
    "scoring/__init__.py": "",
    "scoring/shift.py": "from . import amount\nfrom utils import width\nAMOUNT = amount.ONE\n",
    "scoring/amount.py": "ONE = 1\n",
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a network, and modules named as this project's."""
    for name, text in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def expected(module, images, scale=0.5, factor=2):
    return factor * module.linear(scale * images.flatten(1)) + 1


def test_the_modules_beside_a_file_are_its_own(folder, images):
    module = call_function(f"{folder}/net.py:Net")
    assert torch.equal(module(images), expected(module, images))


def test_they_are_its_own_in_another_thread_too(folder, images):
    module = call_function(f"{folder}/net.py:Net")
    results = []
    thread = threading.Thread(target=lambda: results.append(module(images)))
    thread.start()
    thread.join()
    assert torch.equal(results[0], expected(module, images))


def test_the_projects_modules_stay_what_they_are(folder, images):
    before = dict(sys.modules)
    call_function(f"{folder}/net.py:Net")(images)
    assert sys.modules["utils"] is utils
    changed = [name for name, module in before.items() if sys.modules.get(name) is not module]
    assert changed == []


def test_a_network_of_such_a_file_loads(folder):
    assert load_network(f"{folder}/net.py:Net").classes == 3


def test_what_a_file_imports_is_run_anew_each_time(folder, images):
    call_function(f"{folder}/net.py:Net")
    (folder / "search.py").write_text("TWO = 20000\n")
    module = call_function(f"{folder}/net.py:Net")
    assert torch.equal(module(images), expected(module, images, factor=20000))


def test_two_folders_have_a_module_of_the_same_name_each(folder, tmp_path, images):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "utils.py").write_text("width = 3 * 8 * 8\nscale = 0.25\n")
    first = call_function(f"{folder}/net.py:Net")
    second = call_function(f"{other}/net.py:Net")
    assert torch.equal(first(images), expected(first, images))
    assert torch.equal(second(images), expected(second, images, scale=0.25))


def test_a_folder_without_init_is_a_package(tmp_path):
    (tmp_path / "experiments/parts").mkdir(parents=True)
    (tmp_path / "experiments/parts/one.py").write_text("import torch\nlayer = torch.nn.ReLU()\n")
    code = "import experiments.parts.one\ndef build():\n    return experiments.parts.one.layer\n"
    (tmp_path / "net.py").write_text(code)
    assert isinstance(call_function(f"{tmp_path}/net.py:build"), torch.nn.ReLU)


def test_a_folder_of_data_hides_no_installed_package(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "net.py").write_text("import torch\nbuild = torch.nn.ReLU\n")
    assert isinstance(call_function(f"{tmp_path}/net.py:build"), torch.nn.ReLU)


def test_a_file_may_be_named_as_the_package_that_it_imports(tmp_path):
    (tmp_path / "torch.py").write_text("import torch\nbuild = torch.nn.ReLU\n")
    assert isinstance(call_function(f"{tmp_path}/torch.py:build"), torch.nn.ReLU)


def test_a_file_in_the_projects_folder_has_the_projects_modules():
    assert not is_beside("utils", PROJECT, importing=str(PROJECT / "my_net.py"))


def test_a_class_of_such_a_file_knows_its_module(folder):
    module = call_function(f"{folder}/net.py:Net")
    assert vars(sys.modules[type(module).__module__])["Net"] is type(module)


def test_a_module_that_fails_beside_a_file_is_named(folder):
    (folder / "helper.py").write_text("raise RuntimeError('helper is broken')\n")
    with pytest.raises(UserError, match=r"net\.py:Net: RuntimeError: helper is broken"):
        call_function(f"{folder}/net.py:Net")


@pytest.mark.filterwarnings("ignore:Dynamo does not know")
def test_it_compiles(folder, images):
    module = call_function(f"{folder}/net.py:Net").eval()
    compiled = torch.compile(module, backend="eager", fullgraph=False)
    assert torch.allclose(compiled(images), expected(module, images))
