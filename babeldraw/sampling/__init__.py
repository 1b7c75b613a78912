"""Image tokens from text, and pictures from image tokens."""
