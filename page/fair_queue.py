"""A queue that serves those who ask in turn, so that one who asks much waits for himself."""

from collections import deque
from collections.abc import Callable, Collection, Hashable


class FairQueue:
    """Items in the order in which their askers' turns come; each asker's own keep their order."""

    def __init__(self):
        self.lines: dict[Hashable, deque] = {}  # by asker; the first asker's turn is next
        self.returned: deque = deque()  # these had their turn

    def __len__(self) -> int:
        return len(self.returned) + sum(map(len, self.lines.values()))

    def __iter__(self):
        yield from self.returned
        for line in self.lines.values():
            yield from line

    def count(self, asker: Hashable) -> int:
        """Return how many of an asker's items wait."""
        return len(self.lines.get(asker, ()))

    def append(self, item, asker: Hashable) -> None:
        self.lines.setdefault(asker, deque()).append(item)

    def put_back(self, items: deque) -> None:
        """Have items that were taken already come first again."""
        self.returned.extendleft(reversed(items))

    def pop(self, besides: Collection[Hashable] = ()):
        """Take the next item; its asker's turn comes again after all others'.

        Items of the askers `besides` stay; None is returned if there is no other.
        """
        if self.returned:
            return self.returned.popleft()
        for asker in self.lines:
            if asker not in besides:
                break
        else:
            return None
        line = self.lines.pop(asker)
        item = line.popleft()
        if line:
            self.lines[asker] = line
        return item

    def keep(self, is_wanted: Callable) -> None:
        """Drop the items that are not wanted any more."""
        self.returned = deque(filter(is_wanted, self.returned))
        lines = ((asker, deque(filter(is_wanted, line))) for asker, line in self.lines.items())
        self.lines = {asker: line for asker, line in lines if line}
