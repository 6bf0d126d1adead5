"""Python files of the user's that define a network: FILE.py:function.

    module = call_function("my_net.py:build")

Such a file finds the modules beside it first, as it does where Python runs it as a script: its
`import utils` is the utils.py of its own folder, not this project's. For the project, and for files
in the project's own folder, the project's modules stay what they are.

To that end the file, and each module that it finds beside itself, is loaded under a name of its own
(user_files_1.my_net, user_files_1.utils), and has an `__import__` of its own. So has every function
in it, whenever and in whichever thread it is called: Python looks `__import__` up among the
builtins of the module in which the import statement stands.
"""

import builtins
import importlib
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from utils import PROJECT, UserError, one_line

PREFIX = "user_files_"  # of the packages that folders of the user's become
_NUMBERS = itertools.count(1)
_FOLDERS: dict[str, Path] = {}  # by package


def call_function(reference: str) -> torch.nn.Module:
    """Return the module that FILE.py:function returns.

    Each call runs the file, and what it imports from beside itself, anew.

    Args:
        reference: the path of the file and the name of a function or class in it.

    Raises:
        UserError: there is no such file, it fails, or what it returns is no module.
    """
    path, _, function = reference.rpartition(":")
    if not Path(path).is_file():
        raise UserError(f"--model {reference}: no such file: {path}")
    here = os.getcwd()
    try:
        module = getattr(_load(Path(path).resolve()), function)()
    except (Exception, SystemExit) as error:  # the user's code may fail in any way
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"--model {reference}: {reason}") from error
    finally:
        os.chdir(here)  # paths of other options are meant from there
    if not isinstance(module, torch.nn.Module):
        kind = type(module).__name__
        raise UserError(
            f"--model {reference}: {function}() returned a {kind}, not a torch.nn.Module"
        )
    for key, value in module.state_dict(keep_vars=True).items():
        if value.is_meta or value.layout != torch.strided:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise UserError(f"--model {reference}: {key} is {kind}; numbers are needed")
    return module


def _load(path: Path) -> ModuleType:
    """Run a file as a module of a new package, which stands for its folder."""
    package = ModuleType(f"{PREFIX}{next(_NUMBERS)}")
    package.__path__ = [str(path.parent)]
    sys.modules[package.__name__] = package
    _FOLDERS[package.__name__] = path.parent
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    # What is imported by its name as text, and is no module of the project's, is found so.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()  # a file may be newer than the last look at its folder
    name = f"{package.__name__}.{path.stem.replace('.', '_')}"
    spec = ModuleSpec(name, _Loader(name, str(path)), origin=str(path))
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[name] = module
    assert spec.loader
    spec.loader.exec_module(module)
    return module


class _Finder:
    """Finds the modules of the user's packages."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None for all others."""
        if not name.startswith(PREFIX) or path is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a file whose import statements look beside the user's file first."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file."""
        importer = _Importer(module.__name__.partition(".")[0])
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": importer}
        super().exec_module(module)


class _Importer:
    """What import statements call in the modules of one of the user's packages.

    Args:
        package: its name.
    """

    def __init__(self, package: str):
        self.package = package
        # What is_beside said, by its name and names; a forward pass may ask often.
        self.known: dict[tuple[str, ...], bool] = {}

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import a module; see the builtin __import__."""
        top = name.partition(".")[0]
        if level or not self._is_beside(name, fromlist or (), globals or {}):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        loaded = importlib.import_module(f"{self.package}.{name}")
        if not fromlist:  # import a.b binds a
            return sys.modules[f"{self.package}.{top}"]
        # Once more by the builtin, which also imports submodules that are named in the list.
        return builtins.__import__(loaded.__name__, globals, locals, fromlist, 0)

    def _is_beside(self, name: str, names: Sequence[str], importing: Mapping[str, Any]) -> bool:
        key = (name, *names)
        if key not in self.known:
            file = str(importing.get("__file__"))
            self.known[key] = is_beside(name, _FOLDERS[self.package], names=names, importing=file)
        return self.known[key]


def is_beside(name: str, folder: Path, *, importing: str, names: Sequence[str] = ()) -> bool:
    """Return whether a name means a module in a folder, rather than another one.

    As Python has it, a file or a package comes before all modules elsewhere, and a folder without
    an __init__.py behind them; this project's own modules do not count.

    Args:
        name: of a module, with dots.
        folder: of the user's file.
        importing: path of the module with the import statement; it does not mean itself.
        names: that are imported from it.
    """
    top = name.partition(".")[0]
    if folder == PROJECT or top in sys.builtin_module_names:
        return False
    spec = PathFinder.find_spec(top, [str(folder)])
    if spec is None or spec.origin == importing:
        return False
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if loaded is not None and loaded == spec.origin:  # somebody has it already
        return False
    if spec.origin is not None:
        return True
    if (PROJECT / top / "__init__.py").is_file():
        return _has(folder, name, names)
    return not _is_installed(top)


def _has(folder: Path, name: str, names: Sequence[str]) -> bool:
    """Return whether a folder has a module with dots in its name, or any that is imported from it.

    A folder of the user's that is called as a package of the project's may have nothing to do
    with it.
    """
    place = folder.joinpath(*name.split("."))
    wanted = [place] if "." in name else [place / other for other in names]
    return any(path.is_dir() or path.with_name(f"{path.name}.py").is_file() for path in wanted)


def _is_installed(name: str) -> bool:
    """Return whether a module is found elsewhere, but for this project's own and mere folders."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module without a spec, such as __main__
        return name in sys.modules
    if spec is None or spec.origin is None:
        return False
    origin = Path(spec.origin)
    return origin.parent != PROJECT
