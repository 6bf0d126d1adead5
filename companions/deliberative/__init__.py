"""Deliberative explanations: where a network hesitates, and between which classes."""
