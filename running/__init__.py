"""Running: command lines, records and the results folder, many images, many machines."""
