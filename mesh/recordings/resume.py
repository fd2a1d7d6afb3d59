"""Where a recorded stream goes on after a restart, as the index keeps it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

Numbers = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a stream goes on: the next `n` of each run (the run heard last at the end), and for each
    partition the run that spoke last and the seq that it has come up to."""

    runs: Numbers = ()
    marks: Numbers = ()

    def before(self, unsafe: Iterable[tuple[int, int, int]]) -> "Resume":
        """This, but before results that are not safe: their (seq, run, n)."""
        runs, marks = dict(self.runs), list(self.marks)
        for seq, run, n in unsafe:
            if run in runs and n < runs[run]:
                runs[run] = n
            if marks and seq <= marks[at := seq % len(marks)][1]:
                marks[at] = run, seq - len(marks)
        return Resume(tuple(runs.items()), tuple(marks))
