"""The witnesses whose word a participant asks for before it believes a head of the log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from panji.core.tlog_policy import Witnessed, open_witnessed, parse_policy
from panji.errors import ConfigError, InputError, QuorumError

if TYPE_CHECKING:
    from datetime import datetime

    from panji.core.note import NoteVerifier
    from panji.core.tlog_policy import Policy
    from panji.profile import Profile

__all__ = ["Witnessed", "Witnesses"]


class Witnesses:
    """A policy of one's own, whatever the exchange's is.

    Args:
        policy: Whose word is asked for.
        log: The log's key.
        within: How old their word may be.
    """

    def __init__(self, policy: Policy, log: NoteVerifier, within: timedelta) -> None:
        self._policy = policy
        self._log = log
        self._within = within

    @classmethod
    def of(cls, profile: Profile) -> Self | None:
        """Reads the policy that a profile names; None where it names none.

        Raises:
            ConfigError: The file cannot be read, is no policy, or names logs and not this one.
        """
        if profile.policy is None:
            return None
        try:
            policy = parse_policy(profile.policy.read_bytes())
        except (OSError, InputError) as error:
            raise ConfigError("policy", f"{profile.policy}: {error}") from error
        if policy.logs and profile.log not in [one.verifier for one in policy.logs]:
            raise ConfigError("policy", f"{profile.policy} names logs, and log_key is not among them")
        return cls(policy, profile.log, timedelta(seconds=profile.witnessed_within))

    def verify(self, signed: str, now: datetime) -> Witnessed:
        """Verifies that enough of them have cosigned a head lately.

        Args:
            signed: The signed note; empty where the log is.
            now: The time; aware.

        Raises:
            NoteError: The log did not sign it, or a line of a known witness is wrong.
            QuorumError: Too few cosigned it.
            StaleHeadError: Too long ago.
        """
        if not signed:
            raise QuorumError("the log is empty: there is no head to cosign", self._policy.missing(()))
        return open_witnessed(signed, self._policy, now=now, log=self._log, max_age=self._within)
