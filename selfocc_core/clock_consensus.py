"""Which cameras' clocks agree, and when all of them jump together.

A frame tells what time it was on its camera's clock (its stamp) when it arrived. Two such accounts
agree if between their arrivals the stamps went on by no less than nothing and no more than the
time that passed, give or take the skew: so latencies, a stalled receiver and a recording played
slowly all agree, and one played fast agrees too while its stamps step by less than the skew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

# Longer than the second between the frames of a 10 Hz camera played at a tenth of its pace.
_VOTES_FOR_NS = 1_200_000_000


class Verdict(Enum):
    """How a frame's stamp stands to the other cameras' clocks."""

    AGREES = 'agrees'
    AHEAD = 'ahead of the others'
    BEHIND = 'behind the others'
    JUMPED = 'all clocks have jumped'


class _Account(NamedTuple):
    """What a camera's clock showed when a frame arrived."""

    heard_ns: int
    stamp_ns: int

    def ahead_of_ns(self, earlier: _Account) -> int:
        """Return how much more the stamps went on than time can explain; negative: back."""
        step_ns = self.stamp_ns - earlier.stamp_ns
        return min(step_ns, max(0, step_ns - (self.heard_ns - earlier.heard_ns)))


class ClockConsensus:
    """The time that most cameras share.

    It follows the median of the latest frames that agreed, as many as there are cameras; so one
    camera whose clock drifts away takes nobody along. It moves elsewhere only when more of the
    cameras heard lately agree with a frame than with the consensus; of two cameras that disagree,
    the one that the consensus follows already stays right.

    A recording played n times as fast as it was made agrees as long as its cameras together have
    a frame in every ``max_skew_ns * n / (n - 1)`` of recorded time.

    Args:
        cameras: How many cameras there are.
        max_skew_ns: How far clocks that agree may be apart.
    """

    def __init__(self, cameras: int, max_skew_ns: int) -> None:
        self._max_skew_ns = max_skew_ns
        self._latest: dict[str, _Account] = {}
        self._agreed: deque[_Account] = deque(maxlen=cameras)

    def judge(self, camera: str, stamp_ns: int, now_ns: int) -> Verdict:
        """Compare a frame's stamp with the consensus, which it may move.

        Args:
            camera: Whose frame it is.
            stamp_ns: Its stamp.
            now_ns: Its arrival, by a clock that never goes back.
        """
        account = self._latest[camera] = _Account(now_ns, stamp_ns)
        agreed = _middle(self._agreed) if self._agreed else account
        if self._agree(account, agreed):
            self._agreed.append(account)
            return Verdict.AGREES
        votes = [a for a in self._latest.values() if now_ns - a.heard_ns <= _VOTES_FOR_NS]
        supporters = sum(self._agree(vote, account) for vote in votes)
        if supporters <= sum(self._agree(vote, agreed) for vote in votes):
            return Verdict.AHEAD if account.ahead_of_ns(agreed) > 0 else Verdict.BEHIND
        self._agreed.clear()
        self._agreed.append(account)
        return Verdict.JUMPED

    def _agree(self, one: _Account, other: _Account) -> bool:
        earlier, later = sorted((one, other))
        return abs(later.ahead_of_ns(earlier)) <= self._max_skew_ns


def _middle(accounts: Iterable[_Account]) -> _Account:
    """Return the account whose clock is in the middle."""
    ordered = sorted(accounts, key=lambda account: account.heard_ns - account.stamp_ns)
    return ordered[(len(ordered) - 1) // 2]
