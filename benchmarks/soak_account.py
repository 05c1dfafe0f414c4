"""What became of every image, by the node's own account, and whether that adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfocc_ros.diagnostics import values_of

_DROPPED = 'dropped: '


@dataclass(frozen=True)
class CameraAccount:
    """What a node says of one camera's images.

    Attributes:
        received: Images that arrived.
        used: Images from which occupancy was made and published.
        dropped: Images from which none was made, by reason.
        waiting: Images that are still on their way through the node.
    """

    received: int
    used: int
    dropped: Mapping[str, int]
    waiting: int

    @property
    def unaccounted(self) -> int:
        """Images of which the node does not say what became of them."""
        return self.received - self.used - sum(self.dropped.values()) - self.waiting


def camera_accounts(diagnostics: Any, cameras: Sequence[str]) -> dict[str, CameraAccount]:
    """Return the account of each camera; a count that the node does not give is 0."""
    found = {}
    for name in cameras:
        values = values_of(diagnostics, f': camera {name}')
        found[name] = CameraAccount(
            received=int(values.get('received', 0)),
            used=int(values.get('used', 0)),
            dropped={
                key.removeprefix(_DROPPED): int(value)
                for key, value in values.items()
                if key.startswith(_DROPPED)
            },
            waiting=int(values.get('waiting', 0)),
        )
    return found


def total(accounts: Iterable[CameraAccount]) -> CameraAccount:
    """Return the account of all cameras together."""
    listed = list(accounts)
    dropped: Counter[str] = Counter()
    for account in listed:
        dropped.update(account.dropped)
    return CameraAccount(
        received=sum(account.received for account in listed),
        used=sum(account.used for account in listed),
        dropped=dict(sorted(dropped.items())),
        waiting=sum(account.waiting for account in listed),
    )


class Auditor:
    """Checks the accounts again and again.

    Attributes:
        cameras: Names of the cameras.
        accounts: The newest of each camera.
        audits: How often they were checked.
        worst: By how much they were off in the worst audit, all cameras together.
        at_rest: Whether nothing changed between the last two.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        self.cameras = cameras
        self.accounts: dict[str, CameraAccount] = {}
        self.audits = 0
        self.worst = 0
        self.at_rest = False

    def take(self, diagnostics: Any) -> None:
        """Check what a message says."""
        accounts = camera_accounts(diagnostics, self.cameras)
        self.at_rest = accounts == self.accounts
        self.accounts = accounts
        self.audits += 1
        off = sum(abs(account.unaccounted) for account in accounts.values())
        self.worst = max(self.worst, off)
