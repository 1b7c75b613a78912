"""Files of other frameworks with trained weights, read without running what they contain."""
