"""A seeded sample of the table of cases; all of it: python -m tests.reliability.cases."""

import os
import subprocess
import sys

from utils import PROJECT

SAMPLE = 12
LEAST = 1000  # cases in the table


def run(*options):
    return subprocess.run(
        [sys.executable, "-m", "tests.reliability.cases", *options],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_table_has_a_thousand_cases_each_of_its_own_name():
    names = run("--list").stdout.splitlines()
    assert len(set(names)) == len(names) >= LEAST


def test_of_a_sample_of_the_cases_none_is_wrong():
    ended = run("--sample", str(SAMPLE))
    assert ended.returncode == 0, ended.stdout + ended.stderr
