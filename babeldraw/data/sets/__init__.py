"""The sets that Babeldraw brings or builds: emoji and clip art, with their captions and splits."""
