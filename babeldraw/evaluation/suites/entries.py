"""What a suite is: prompts (or classes) with names of their own, and what is known of each."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Picture

Checks = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One prompt.

    Attributes:
      id: its own name in the suite.
      prompt: a text; of a suite of classes, the name or number of one.
      category, challenge: by which scores are told apart; "" for none.
      reference: the real picture, or the path of its file; None: there is none.
      checks: what a picture of it has to show, such as {"tone": "dark"}.
      samples: how many pictures are drawn of it; None: as many as of the others.
    """

    id: str
    prompt: str
    category: str = ""
    challenge: str = ""
    reference: Picture | str | None = None
    checks: Checks = dataclasses.field(default_factory=dict)
    samples: int | None = None


@dataclasses.dataclass(frozen=True)
class Suite:
    """Entries in the order of their ids, so that the order of a file says nothing.

    Attributes:
      name: as reports call it; a file by its name.
      notes: how it was made and what was left out, a sentence each.
      others: real pictures that none of the entries asks for, with their texts: a drawing may be
        nearer to one of them than to its own.
    """

    name: str
    entries: Sequence[Entry]
    notes: Sequence[str] = ()
    others: Sequence[tuple[str, Picture]] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def digest(self) -> str:
        """SHA-256 of all that is asked for; of references whether there are any."""
        digest = hashlib.sha256()
        for each in self.entries:
            asked = [each.id, each.prompt, each.category, each.challenge, each.samples]
            known = [dict(sorted(each.checks.items())), each.reference is not None]
            digest.update(f"{json.dumps([*asked, *known])}\n".encode())
        return digest.hexdigest()

    def first(self, limit: int | None) -> "Suite":
        """At most `limit` entries, by the hashes of their ids; `notes` says that some are left out.

        A smaller part is one of any larger part.
        """
        if limit is None or limit >= len(self):
            return self
        kept = by_hash(self.entries, limit)
        note = f"{limit} of {len(self)} prompts, by the hashes of their ids."
        return dataclasses.replace(self, entries=kept, notes=(*self.notes, note))

    def occurrences(self) -> list[int]:
        """How many entries before each have the same prompt, whose noise is then another."""
        seen: Counter[str] = Counter()
        found = []
        for each in self.entries:
            found.append(seen[each.prompt])
            seen[each.prompt] += 1
        return found


def make_suite(name: str, entries: Sequence[Entry], notes: Sequence[str] = ()) -> Suite:
    """A suite of entries in any order.

    Raises:
      UserError: there is none, a prompt is empty, or two have one id.
    """
    if not entries:
        raise UserError(f"the suite {name} has no prompt; give one that has some.")
    for number, each in enumerate(entries, 1):
        if not each.prompt.strip():
            raise UserError(
                f"the suite {name} has no prompt at entry {number} (id {each.id!r}); say what to "
                "draw, or take the entry out."
            )
    ids = Counter(each.id for each in entries)
    twice, count = ids.most_common(1)[0]
    if count > 1:
        raise UserError(
            f"the suite {name} has the id {twice!r} {count} times; give each entry an id of its "
            "own, or leave the ids out."
        )
    return Suite(name, sorted(entries, key=lambda each: each.id), tuple(notes))


def by_hash(entries: Sequence[Entry], count: int) -> list[Entry]:
    """`count` entries with the least hashes of their ids, in the order of their ids."""
    chosen = sorted(entries, key=lambda each: digest_of(each.id))[:count]
    return sorted(chosen, key=lambda each: each.id)


def digest_of(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
