"""Recorded drives: rosbag2 files (MCAP, sqlite3) without a ROS installation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from typing_extensions import Self

from selfocc_core.bag_guard import (
    DamagedBagError,
    bound_chunks,
    check_files,
    check_index,
    check_message,
)
from selfocc_core.bag_messages import typestore
from selfocc_core.errors import SelfOccError
from selfocc_core.files import temporary_folder_beside
from selfocc_core.quoting import shown

LATCHED_TOPICS = ('/tf_static',)

bound_chunks()


@dataclass(frozen=True)
class BagMessage:
    """A message as it lies in a bag.

    Attributes:
        topic: Topic name.
        type: Full type name, for example ``sensor_msgs/msg/Image``.
        stamp_ns: Time of recording.
        raw: Serialised message (CDR), as ROS sends it.
        bag: Where the bag lies, for errors.
    """

    topic: str
    type: str
    stamp_ns: int
    raw: bytes
    bag: Path | None = None

    def decode(self, wanted_type: str | None = None) -> Any:
        """Return the message.

        Args:
            wanted_type: The type that it must have; any by default.

        Raises:
            SelfOccError: It has another type, the type is unknown or the data is damaged.
        """
        where = '' if self.bag is None else f' in bag {self.bag}'
        if wanted_type not in {None, self.type}:
            raise SelfOccError(
                f'{self.topic} has messages of type {self.type}, not {wanted_type}{where}: rename '
                'the topic'
            )
        try:
            return typestore().deserialize_cdr(self.raw, self.type)
        except Exception as error:
            raise SelfOccError(
                f'a message on {self.topic} is not a valid {self.type}{where}: is it damaged?'
            ) from error


class BagReader:
    """A rosbag2: a single ``.mcap`` or ``.db3`` file, or a directory with ``metadata.yaml``.

    Raises:
        SelfOccError: On entering, the bag is missing, truncated or not a bag.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        try:
            if not self.path.exists():
                raise SelfOccError(
                    f'there is no bag at {self.path}: give a .mcap file or a bag folder'
                )
            check_files(self.path)
            self._reader = self._exit.enter_context(Reader(self.path))
            check_index(self._reader)
        except SelfOccError:
            raise
        except OSError as error:
            raise SelfOccError(f'cannot read bag {self.path}: {error.strerror}') from error
        except Exception as error:
            self._close()
            raise self._damaged(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        with suppress(Exception):  # rosbags trips over some metadata again when it forgets them
            self._exit.close()

    @property
    def topics(self) -> dict[str, str]:
        """Type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    @property
    def start_ns(self) -> int:
        """Time of the first message."""
        return self._reader.start_time

    @property
    def end_ns(self) -> int:
        """Time of the last message."""
        return self._reader.end_time - 1  # rosbags gives the end of the interval

    def count(self, topics: Sequence[str] | None = None) -> int:
        """Return the number of messages on the topics (all by default)."""
        return sum(connection.msgcount for connection in self._connections(topics))

    def require(self, topics: Sequence[str]) -> None:
        """Check that the bag has the topics.

        Raises:
            SelfOccError: A topic is missing or has no messages.
        """
        for topic in topics:
            if self.count([topic]) == 0:
                present = shown(', '.join(sorted(self.topics)) or 'nothing', 1000)
                raise SelfOccError(
                    f'bag {self.path} has no messages on {topic}: record it, or rename the topic '
                    f'(the bag has {present})'
                )

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[BagMessage]:
        """Yield the messages on the topics (all by default) in the order of recording.

        Raises:
            SelfOccError: The bag turns out to be damaged.
        """
        connections = self._connections(topics)
        if not connections:
            return
        missing = self.count(topics)
        try:
            for connection, stamp_ns, raw in self._reader.messages(connections):
                check_message(stamp_ns, raw)
                missing -= 1
                topic, kind = connection.topic, connection.msgtype
                yield BagMessage(topic, kind, stamp_ns, bytes(raw), self.path)
            if missing > 0:
                raise DamagedBagError(f'{missing} of its messages are not there')
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._damaged(error) from error

    def first(self, topic: str) -> Any:
        """Return the first message on a topic, decoded.

        Raises:
            SelfOccError: There is none, or it is damaged.
        """
        self.require([topic])
        return next(self.messages([topic])).decode()

    def _connections(self, topics: Sequence[str] | None) -> list[Connection]:
        connections = self._reader.connections
        return [c for c in connections if topics is None or c.topic in topics]

    def _damaged(self, error: Exception | None = None) -> SelfOccError:
        reason = f' ({error})' if isinstance(error, DamagedBagError) else ''
        return SelfOccError(
            f'bag {self.path} is truncated or not a rosbag2{reason}: recover it with '
            '"mcap recover" or "ros2 bag reindex", or record it again'
        )


class BagWriter:
    """Writes a rosbag2; nothing stands at ``path`` unless the block ends without an error.

    Args:
        path: ``something.mcap`` for one MCAP file, else a directory with ``metadata.yaml``.
        compress: Whether chunks are compressed (zstd).
    """

    def __init__(self, path: Path | str, compress: bool = True) -> None:
        self.path, self._compress = Path(path), compress
        self._connections: dict[str, Connection] = {}
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        if self.path.is_dir() and not (self.path / 'metadata.yaml').is_file():
            raise SelfOccError(
                f'{self.path} is a folder that is not a bag: give another name, or one that ends '
                'in .mcap'
            )
        workshop = self._exit.enter_context(temporary_folder_beside(self.path))
        self._folder = workshop / self.path.stem
        self._writer = Writer(self._folder, version=9, storage_plugin=StoragePlugin.MCAP)
        if self._compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._exit:
            self._writer.close()
            if kind is None:
                self._put_in_place()

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Append a message of the type store."""
        self.write_raw(
            topic,
            message.__msgtype__,
            bytes(typestore().serialize_cdr(message, message.__msgtype__)),
            stamp_ns,
        )

    def write_raw(self, topic: str, type_name: str, raw: bytes, stamp_ns: int) -> None:
        """Append a serialised message."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                type_name,
                typestore=typestore(),
                offered_qos_profiles=[_offered_qos(latched=topic in LATCHED_TOPICS)],
            )
        self._writer.write(self._connections[topic], stamp_ns, raw)

    def _put_in_place(self) -> None:
        if self.path.is_dir():
            shutil.rmtree(self.path)
        single_file = self.path.suffix == '.mcap'
        made = next(self._folder.glob('*.mcap')) if single_file else self._folder
        made.replace(self.path)


def _offered_qos(*, latched: bool) -> Qos:
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    unlimited = QosTime(2147483647, 4294967295)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=durability,
        deadline=unlimited,
        lifespan=unlimited,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=unlimited,
        avoid_ros_namespace_conventions=False,
    )
