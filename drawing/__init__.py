"""Figures and HTML pages, drawn from a record and its image; the network is never asked."""
