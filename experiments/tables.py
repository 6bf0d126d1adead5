"""The paper's tables, from the rows of all measurements.

    for table in all_tables(rows, num_patches=49):
        table.markdown(), table.csv(), table.latex()

Every figure in them is a mean or variance over images with its interval (estimates.py). Every row
says how many images it is about, and so does a figure that is about fewer of them. What was not
measured has no table.
"""

from experiments.estimate_tables import estimates_tables
from experiments.explanation_tables import (
    curves_table,
    ground_truth_rules_table,
    ground_truth_table,
    images_table,
    study_groups_table,
    study_table,
)
from experiments.held_tables import budgets_table, first_table, orders_table
from experiments.rows import Rows
from experiments.search_tables import (
    choices_table,
    cost_table,
    counts_table,
    every_k_table,
    named_searches,
    positions_table,
    recall_table,
    same_images_table,
    sizes_table,
    small_explanations_table,
)
from experiments.table_files import Table


def all_tables(rows: Rows, num_patches: int) -> list[Table]:
    """Return every table that the measured conditions allow.

    Args:
        rows: The rows of all measurements.
        num_patches: Number of patches of the grid.
    """
    searches = named_searches(rows, leave_out="exhaustive")
    exhaustive = rows.searches.get("exhaustive", [])
    tables = [images_table(rows.main_job)]
    if searches:
        tables += [
            small_explanations_table(searches, num_patches),
            every_k_table(searches, num_patches),
            counts_table(searches),
            sizes_table(searches),
            positions_table(searches, num_patches),
            cost_table(named_searches(rows)),
            same_images_table(searches),
        ]
    tables += [
        choices_table(rows.choices),
        curves_table(rows.main_job),
        study_table(rows.main_job),
        study_groups_table(rows.main_job),
        ground_truth_table(searches),
        ground_truth_rules_table(searches),
        recall_table(searches, exhaustive),
        orders_table(rows.held.get("orders", {}), num_patches),
        budgets_table(rows.held.get("budgets", {})),
        first_table(rows.held.get("first", {})),
        *estimates_tables(rows.estimates),
    ]
    return [table for table in tables if table.rows]
