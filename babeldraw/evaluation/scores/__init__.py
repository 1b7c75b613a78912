"""Numbers that say how good pictures are: each a `Score`, which states all that moves it."""
