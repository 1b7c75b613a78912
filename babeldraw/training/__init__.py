"""The training loop. It steps an objective's players and knows no model."""
