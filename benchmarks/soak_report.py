"""What came of a long drive, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.soak_account import CameraAccount, total
from benchmarks.soak_drive import SETS_PER_MINUTE
from benchmarks.soak_memory import Sample, Slope, after_warm_up, slope_of


@dataclass(frozen=True)
class Report:
    """What came of a drive.

    Attributes:
        sets: Frame sets of the drive.
        wall_s: How long it took.
        sent: Images that were sent, by what was wrong with them.
        sent_by: The same by camera.
        accounts: What the node said in the end of each camera's images.
        audits: How often its account was checked.
        worst: By how many images it was off in the worst case.
        samples: Memory and threads over the drive.
    """

    sets: int
    wall_s: float
    sent: dict[str, int]
    sent_by: dict[str, int]
    accounts: dict[str, CameraAccount]
    audits: int
    worst: int
    samples: list[Sample]

    @property
    def rss(self) -> Slope:
        """Slope of resident memory after the warm-up."""
        counted = after_warm_up(self.samples)
        return slope_of([s.sets for s in counted], [s.usage.rss_kb for s in counted])

    @property
    def anonymous(self) -> Slope:
        """The same of memory that is neither a file nor shared."""
        counted = after_warm_up(self.samples)
        return slope_of([s.sets for s in counted], [s.usage.anonymous_kb for s in counted])

    @property
    def threads(self) -> tuple[int, int]:
        """Threads after the warm-up and in the end."""
        return after_warm_up(self.samples)[0].usage.threads, self.samples[-1].usage.threads

    def problems(self) -> list[str]:
        """Return what is not as it should be."""
        found = []
        if self.worst:
            found.append(f'the account was off by {self.worst} images in the worst of the audits')
        for name, account in self.accounts.items():
            if account.received > self.sent_by[name]:
                found.append(f'{name} sent {self.sent_by[name]}, received {account.received}')
        before, after = self.threads
        if after > before:
            found.append(f'there were {before} threads and in the end {after}')
        return found


def text_of(report: Report) -> str:
    """Return the report for people."""
    account, sent = total(report.accounts.values()), sum(report.sent.values())
    faults = ', '.join(f'{name} {count}' for name, count in sorted(report.sent.items()))
    dropped = ' + '.join(f'{reason} {count}' for reason, count in account.dropped.items())
    before, after = report.threads
    last = report.samples[-1].usage
    problems = report.problems()
    lines = [
        f'{report.sets} frame sets in {report.wall_s:.0f} s '
        f'({report.sets / SETS_PER_MINUTE * 60 / report.wall_s:.1f} times as fast as the drive)',
        f'images sent: {sent} ({faults})',
        f'lost on the way: {sent - account.received}',
        f'received: {account.received} = used {account.used} + {dropped or "dropped 0"} '
        f'+ waiting {account.waiting} + unaccounted {account.unaccounted}',
        f'audits: {report.audits}, the worst off by {report.worst}',
        _memory_line('resident memory', last.rss_kb, report.rss),
        _memory_line('anonymous memory', last.anonymous_kb, report.anonymous),
        f'threads: {before} after the first fifth, {after} in the end',
    ]
    return '\n'.join([*lines, *(f'WRONG: {problem}' for problem in problems)])


def _memory_line(name: str, last_kb: int, slope: Slope) -> str:
    return (
        f'{name}: {last_kb / 1024:.0f} MB in the end, slope {slope.kb_per_minute:+.1f} '
        f'(standard error {slope.standard_error:.1f}) kB per simulated minute, '
        f'{slope.kb_per_1000_sets:+.1f} kB per 1000 frame sets'
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        **asdict(report),
        'rss': asdict(report.rss),
        'anonymous': asdict(report.anonymous),
        'threads': report.threads,
        'problems': report.problems(),
    }
