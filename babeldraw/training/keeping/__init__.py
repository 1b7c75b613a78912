"""What a run keeps: its directory, checkpoints, fingerprints, and the claim on them."""
