"""What the three companion commands stand on, a folder each."""
