"""A trained model as one folder, to be taken elsewhere: written, described and read again."""
