"""What trainings of the companions share: processes, seeds, checkpoints."""
