"""What to do about bad annotations: skip and count a few, stop at many."""

from collections import Counter
from dataclasses import dataclass, field

from dynrefer.errors import InputError

MAX_BAD_SHARE = 0.01
_EXAMPLES = 5


@dataclass
class Problems:
    """Skipped records of one data set, by reason, with the first few of each named."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, what: str) -> None:
        """Counts a record that is left out; `what` names it (file, annotation id)."""
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _EXAMPLES:
            named.append(what)

    def check(self, total: int) -> None:
        """Raises InputError when more than 1 % of `total` records were bad."""
        bad = self.counts.total()
        if bad > MAX_BAD_SHARE * max(total, 1):
            worst, count = self.counts.most_common(1)[0]
            raise InputError(
                f"{bad} of {total} records are bad, more than 1 %: mostly {worst} ({count}, "
                f"for example {'; '.join(self.examples[worst])}). Mend the files and build again."
            )
