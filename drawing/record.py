"""Records."""

from collections.abc import Mapping


def packed_scores(table: Mapping[tuple[int, ...], float]) -> dict:
    """A table from patch sets to probabilities, as the record has it.

    "sets": hexadecimal numbers with a space between them, bit p of each = patch p is visible; "probabilities": one for
    each, float32's seven digits. Smaller sets first.
    """
    rows = sorted(table.items(), key=lambda row: (len(row[0]), row[0]))
    return {
        "sets": " ".join(f"{sum(1 << p for p in patches):x}" for patches, _ in rows),
        "probabilities": [float(f"{probability:.7g}") for _, probability in rows],
    }


def scores_of(record: dict) -> dict[tuple[int, ...], float]:
    """Every set whose exact confidence a record knows: what it lists as scored, its nodes and roots, all patches and none.

    An older record has no such list, and still the rest.
    """
    everything = tuple(range(record["grid"][0] * record["grid"][1]))
    packed = record.get("scores") or {"sets": "", "probabilities": []}
    bits = [int(text, 16) for text in packed["sets"].split()]
    table = {
        tuple(p for p in everything if number >> p & 1): value
        for number, value in zip(bits, packed["probabilities"])
    }
    table |= {
        tuple(s["patches"]): s["probability"] for s in (*record["roots"], *record["sag"]["nodes"])
    }
    return table | {everything: record["probability"], (): record["baseline"]["probability"]}
