"""Messages that no page of ours would send, of every kind there is."""

import json

from rlx.teaching.messages import KINDS, LONGEST

GOOD = {
    "press": {"id": 1, "value": 1, "trace": 0, "shown": 0},
    "pause": {"paused": True},
    "pace": {"rate": 5.0},
    "single": {},
    "undo": {},
    "set": {"field": "delay", "value": 1},
    "save": {"name": "a"},
    "load": {"name": "a"},
    "restart": {},
    "teach": {},
    "ping": {"id": 1},
}
assert set(GOOD) == set(KINDS)
WRONG = [
    "null",
    '"x"',
    "[]",
    "{}",
    "-1e9",
    "1e99",
    "NaN",
    "Infinity",
    "1e999",
    '"../../etc/passwd"',
    '"a\\u0000b"',
    '""',
]
OTHERS = ["", " ", "null", "true", "7", '"press"', "[]", "[{}]", "{}", '{"kind":null}', '{"kind":7}', '{"kind":"quit"}']
OTHERS += ['{"kind":["press"]}', "{'kind':'single'}", '{"kind":"single"}{"kind":"single"}', "\ud800", "é" * 2_000]
OTHERS += ["[" * 600, '{"a":' * 200, "x" * (LONGEST + 1), json.dumps({"kind": "ping", "id": 1, "pad": "x" * LONGEST})]


def text(kind, fields):
    """A message with fields that are JSON already."""
    return "{" + ",".join([f'"kind":"{kind}"', *(f'"{name}":{value}' for name, value in fields.items())]) + "}"


def messages():
    """More than 200 texts."""
    whole = {kind: {name: json.dumps(value) for name, value in fields.items()} for kind, fields in GOOD.items()}
    found = list(OTHERS)
    for kind, fields in whole.items():
        found.append(text(kind, fields | {"more": "1"}))
        found.append(text(kind.upper(), fields))
        for name in fields:
            found += [text(kind, fields | {name: wrong}) for wrong in WRONG if (name, wrong) != ("name", '"x"')]
            found.append(text(kind, {other: value for other, value in fields.items() if other != name}))
        message = text(kind, fields)
        found += [message[:cut] for cut in range(1, len(message), 5)]
    found += [text("press", whole["press"] | {"value": "0"}), text("press", whole["press"] | {"shown": "0.5"})]
    return found
