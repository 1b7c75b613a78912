"""What is minimised: one file for each training stage."""
