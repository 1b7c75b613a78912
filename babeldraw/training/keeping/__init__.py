"""What a run keeps: its directory, checkpoints, fingerprints, vocabulary, and the claim on them."""
