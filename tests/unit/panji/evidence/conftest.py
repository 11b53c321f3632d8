"""Cases as they go: decided, silent, erased, with bundles of them."""

from __future__ import annotations

import pytest
from support.evidence import Stage
from support.statements import a_clarification_answer, a_clarification_request, a_decision, an_acknowledgement

from panji.core.keys import Algorithm, PrivateKeySigner


@pytest.fixture
def stage() -> Stage:
    """Nothing but the directory on record. The platform signs as hardware does."""
    made = Stage()
    made.signers["telegram"] = [PrivateKeySigner.generate(Algorithm.ECDSA_P256_SHA256)]
    made.record()
    return made


@pytest.fixture
def decided(stage: Stage) -> Stage:
    """A case with a statement of nearly every kind."""
    stage.flag(count=2)
    stage.reply(an_acknowledgement())
    question = stage.reply(a_clarification_request())
    stage.reply(a_clarification_answer(), to=question)
    stage.reply(a_decision(1, 2))
    return stage


@pytest.fixture
def silent(stage: Stage) -> Stage:
    """A case that nobody answered."""
    stage.flag()
    stage.missed()
    return stage
