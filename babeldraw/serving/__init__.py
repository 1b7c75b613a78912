"""Trained models behind HTTP: OpenAI's Images API, and pictures that appear as they are drawn."""
