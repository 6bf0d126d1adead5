"""What concept_debug.py stands on: concepts of networks and people, and training."""
