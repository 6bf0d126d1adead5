"""Captions of scene graphs, and a captioner whose attention is guided by explanations."""
