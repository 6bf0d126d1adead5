"""Text and image generators of other libraries: where they are from, and what may be loaded.

source = Source("my_llm", option="--llm my_llm")
source.identity(), source.arguments
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running.results import stamp

INSTALL = "bash requirements_install.sh requirements_sa3.txt"
DIGITS = 16  # of a digest that tells files or questions apart


@dataclass(frozen=True)
class Source:
    """Where a pretrained generator is from.

    Attributes:
        name: a folder, or a name on the Hugging Face Hub.
        option: the option that names it, with its value, for errors.
    """

    name: str
    option: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder here: then nothing is downloaded."""
        return Path(self.name).is_dir()

    @property
    def where(self) -> str:
        """What an error says first where it is no folder."""
        return "" if self.is_folder else "no such folder, and "

    @property
    def arguments(self) -> dict[str, Any]:
        """What every from_pretrained is passed: no code is run, and no pickled weights are read."""
        return {
            "trust_remote_code": False,
            "local_files_only": self.is_folder,
            "use_safetensors": True,
        }

    def identity(self) -> str:
        """Return its name and, of a folder, one word for which files lie in it."""
        if not self.is_folder:
            return self.name
        root = Path(self.name)
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        looks = [(path.relative_to(root).as_posix(), stamp(path)) for path in paths]
        return f"{self.name} {digest(looks)}"


def digest(value: object) -> str:
    """Return one word for a value that its repr tells from others."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:DIGITS]
