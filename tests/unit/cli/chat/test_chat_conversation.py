"""What becomes of a message in a conversation."""

from datetime import timedelta, timezone

import pytest

from kontinuum.cli.chat.conversation import time_of


@pytest.mark.parametrize("seqno", [0, 2**63, 2**64 - 1])
@pytest.mark.parametrize("hours", [-14, 14])
def test_any_time_that_a_stranger_claims_can_be_shown(seqno, hours):
    """
    In every time zone: one message must not end a room.
    """
    assert time_of(seqno).astimezone(timezone(timedelta(hours=hours))).strftime("%H:%M")
