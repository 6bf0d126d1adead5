"""Settings that only make sense together: checked once, before the first image."""

from collections.abc import Sequence
from math import comb

from scoring.labels import category_index
from scoring.networks import Network
from scoring.regions import Regions
from scoring.token_dropping import why_not
from utils import UserError

MOST_REGIONS = 256  # of a label map
FEW_REGIONS = 16  # named regions of which an exhaustive search takes all sets, 65,536 at most
FEW_PATCHES = 3  # in the sets that it takes otherwise
MOST_SETS = 5_000_000  # combinatorial and exhaustive searches larger than this are refused


def check_category(category: str | None, num_categories: int, network: Network) -> int | None:
    """Return the index of the class to explain; None for the most probable ones.

    Raises:
        UserError: the network has no such class, or not so many.
    """
    if num_categories > network.classes:
        raise UserError(
            f"--num-categories {num_categories}: the model has {network.classes} classes"
        )
    if category is None:
        return None
    if num_categories > 1:
        raise UserError(
            f"--num-categories {num_categories}: not together with --category {category}"
        )
    return class_index(category, network.labels, option="--category")


def check_against(against: str | None, network: Network) -> int | None:
    """Return the index of the class against which the confidence is measured, or None.

    Raises:
        UserError: the network has no such class.
    """
    return None if against is None else class_index(against, network.labels, option="--against")


def class_index(name: str, classes: Sequence[str], *, option: str) -> int:
    """Return the index of the class that an option names, by index or name.

    Raises:
        UserError: there is no such class.
    """
    try:
        return category_index(name, classes)
    except ValueError as error:
        raise UserError(f"{option} {name}: {error}") from None


def check_dropping(
    network: Network, grid: tuple[int, int], *, precision: str, has_regions: bool
) -> None:
    """Refuse token dropping where it is not possible.

    Raises:
        UserError: it does not go with the network, the grid, regions or bfloat16.
    """
    if has_regions:
        raise UserError("--baseline drop: not together with --regions")
    problem = why_not(network.module, grid)
    if problem:
        raise UserError(f"--baseline drop: {problem}")
    if precision not in ("auto", "float32"):
        raise UserError(f"--precision {precision}: not together with --baseline drop")


def check_sizes(
    search: str, num_patches: int, *, comb_top: int, comb_size: int, exhaustive_size: int
) -> None:
    """Refuse a search that would never end on so many patches, or that has too few of them.

    Raises:
        UserError: the setting is too large.
    """
    most = f"this program scores {MOST_SETS:,} at most"
    if search == "combinatorial":
        top = min(comb_top, num_patches)
        if comb_size > top:
            raise UserError(
                f"--comb-size {comb_size}: larger than the {top} patches to choose from"
            )
        sets = comb(top, comb_size)
        if sets > MOST_SETS:
            raise UserError(f"--comb-size {comb_size}: {sets:,} sets of {top} patches; {most}")
    if search == "exhaustive":
        sizes = range(min(exhaustive_size, num_patches) + 1)
        sets = sum(comb(num_patches, size) for size in sizes)
        if sets > MOST_SETS:
            found = f"{sets:,} sets of {num_patches} patches"
            raise UserError(f"--exhaustive-size {exhaustive_size}: {found}; {most}")


def exhaustive_limit(size: int | str, num_patches: int, *, has_regions: bool) -> int:
    """Return the largest number of patches in the sets of an exhaustive search.

    Args:
        size: the setting: a number, or "auto": 3, and all sets of a few named regions.
        num_patches: number of patches or regions.
        has_regions: whether they are regions.
    """
    if size != "auto":
        return int(size)
    return num_patches if has_regions and num_patches <= FEW_REGIONS else FEW_PATCHES


def check_regions(regions: Regions) -> int:
    """Return the number of regions.

    Raises:
        ValueError: there are more than graph and page can show.
    """
    count = len(regions.names)
    if count > MOST_REGIONS:
        raise ValueError(f"{count} regions; graph and page are for {MOST_REGIONS} at most")
    return count
