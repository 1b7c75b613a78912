"""Optimizers and learning-rate schedules, as settings that gin files bind."""
