"""Batches out of tasks, in an order that is a function of the position alone."""
