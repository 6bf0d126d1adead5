"""The networks that a photo can be given to on the live page: those of the records, by name.

    networks = networks_of(records, model=None)
    networks[0].name            # "resnet18 (resnet18.pth)"
    networks[0].arguments()     # ["--model=resnet18", "--weights=/weights/resnet18.pth", ..]

Code of a record's own network is offered only where the user has named it too (--model).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drawing.record import Sag

BUNDLED = "birds"
SETTINGS = ("model", "weights", "labels", "resize")  # that say which network it is


@dataclass(frozen=True)
class NamedNetwork:
    """A network, by the settings of the main job that name it.

    Attributes:
        settings: (name, value) of each that was given.
    """

    settings: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """What a visitor is shown."""
        given = dict(self.settings)
        weights = given.get("weights")
        return f"{given['model']} ({Path(weights).name})" if weights else given["model"]

    def arguments(self) -> list[str]:
        """Return it as options of the main job."""
        return [f"--{name}={value}" for name, value in self.settings]


def networks_of(sags: Iterable[Sag], model: str | None) -> Sequence[NamedNetwork]:
    """Return the networks of records, each once, and the bundled one where there is none.

    Args:
        sags: the records.
        model: the network as the user names it, where its code is the user's own; or None.
    """
    found = []
    for sag in sags:
        values = {name: sag.settings.get(name) for name in SETTINGS}
        given = tuple((name, value) for name, value in values.items() if isinstance(value, str))
        name = dict(given).get("model", "")
        is_own = ".py:" in name
        if name and (not is_own or name == model):
            found.append(NamedNetwork(given))
    if model and not any(("model", model) in network.settings for network in found):
        found.append(NamedNetwork((("model", model),)))
    return list(dict.fromkeys(found)) or [NamedNetwork((("model", BUNDLED),))]
