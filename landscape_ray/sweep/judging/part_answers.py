"""A judge's answers about one part: asked for once, and made durable as they come."""

import time
from collections.abc import Callable, Sequence

from landscape_ray.evaluation.judging import Exchange, ExchangeJudge, Judgment
from landscape_ray.store import ReceivedAnswer, ReceivedStore

__all__ = ["PartAnswers"]

KEEP_EVERY_S = 1.0
"""Answers that came within so many seconds share a file: a fast judge writes none, a slow one each of its answers."""


class PartAnswers:
    """Starts from what earlier attempts at the part have received, and asks for the rest."""

    def __init__(
        self,
        received: ReceivedStore,
        key: str,
        exchanges: Sequence[Exchange],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read what was received.

        Args:
            received: Where answers outlive this process.
            key: Key of the part of verdicts.
            exchanges: The exchange of each row of the part.
            now_s: A clock.

        Raises:
            OutputError: The store cannot be read.
        """
        self.by_row, self._files = received.read(key, exchanges)
        self._received = received
        self._key = key
        self._exchanges = exchanges
        self._now_s = now_s
        self._kept_s = now_s()
        self._fresh: dict[int, ReceivedAnswer] = {}

    def ask(self, judge: ExchangeJudge, rows: Sequence[int]) -> None:
        """Have rows judged; what a judge says before it fails is kept, too.

        Raises:
            OutputError: Answers cannot be written.
            LandscapeError: What the judge raises.
        """

        def receive(place: int, judgment: Judgment) -> None:
            self._add(rows[place], ReceivedAnswer(judgment=judgment, judged_with=judge.judged_with))

        try:
            judge.judge([self._exchanges[row] for row in rows], receive)
        except BaseException:
            self._keep()
            raise

    def discard(self) -> None:
        """Remove what was kept: the part of verdicts is there.

        Raises:
            OutputError: The store cannot be written.
        """
        self._received.discard(self._files)

    def _add(self, row: int, answer: ReceivedAnswer) -> None:
        self.by_row[row] = answer
        if answer.judgment.refusal is None:  # a question that was not taken has no answer yet
            self._fresh[row] = answer
        if self._now_s() - self._kept_s >= KEEP_EVERY_S:
            self._keep()

    def _keep(self) -> None:
        if self._fresh:
            self._files.append(self._received.write(self._key, self._exchanges, self._fresh))
            self._fresh = {}
        self._kept_s = self._now_s()
