"""The pages, and `python -m docs.rooms`, which draws a part of docs/design.md."""
