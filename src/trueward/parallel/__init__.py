"""Several processes at one optimiser step."""
