"""What is watched while a run goes on: metrics, curves, pictures, profiles, hangs."""
