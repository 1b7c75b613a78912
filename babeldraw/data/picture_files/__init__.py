"""Picture files in: every format and profile as 8-bit sRGB, square as the networks read it."""
