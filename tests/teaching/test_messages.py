import json

import malformed
import pytest

from rlx.teaching.messages import KINDS, Bucket, Refused, parse


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_page_sends_is_understood(kind):
    message = {"kind": kind, **malformed.GOOD[kind]}
    assert parse(json.dumps(message)) == message


def test_there_are_enough_that_are_not():
    assert len(set(malformed.messages())) >= 200


@pytest.mark.parametrize("message", sorted(set(malformed.messages()), key=repr), ids=lambda message: repr(message)[:40])
def test_a_malformed_message_is_refused_with_a_reason(message):
    with pytest.raises(Refused) as refusal:
        parse(message)
    assert str(refusal.value)


@pytest.mark.parametrize("message", [None, b'{"kind":"undo"}', 7])
def test_a_message_is_text(message):
    with pytest.raises(Refused, match="messages are text"):
        parse(message)


def test_a_bucket_lets_through_what_its_rate_allows():
    bucket = Bucket(rate=2.0, burst=3.0, now=0.0)
    assert [bucket.takes(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.takes(now) for now in (0.4, 0.5, 0.6, 1.1)] == [False, True, False, True]
    assert sum(bucket.takes(100.0) for _ in range(9)) == 3
