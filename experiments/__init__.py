"""The paper's experiments: measurements, tables, figures, the simulated study, the benchmark.

reproduce_paper.py and benchmark.py are the commands; docs/experiments.md describes them.
"""
