"""Which folders have the report of a suite: no more is imported for that than files."""

import json
from typing import Any

from babeldraw import files

NAME = "report.json"
PROMPTS = "prompts.jsonl"
KIND = "babeldraw evaluate --suite"
"""What a report says of itself; other commands' files of its name do not."""


def is_report(name: str) -> bool:
    """Whether a folder has the report of a suite."""
    file = files.path(name) / NAME
    return file.exists() and read_json(file.read_text()).get("kind") == KIND


def read_json(text: str) -> dict[str, Any]:
    """An object; empty where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
