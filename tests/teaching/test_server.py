"""The server with its page, in this process: what it says, what it takes, and what it refuses."""

import json

import malformed
import pytest

starlette = pytest.importorskip("starlette", reason="the extra 'teach' is not installed")
pytest.importorskip("httpx", reason="Starlette's test client needs httpx")

from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402

from rlx.teaching.classroom import HEADER, Classroom  # noqa: E402
from rlx.teaching.recording import read_lines, replay  # noqa: E402
from rlx.teaching.server import BURST, application  # noqa: E402
from rlx.teaching.session import Setup  # noqa: E402

HERE = "127.0.0.1:8000"
SETUP = Setup(
    {"name": "coach", "trace_decays": [0.0, 0.8], "delay": 1.0, "learning_rate": 0.5},
    {"name": "rlx/cliff-grid"},
    seed=0,
)


@pytest.fixture
def room(tmp_path):
    return Classroom(tmp_path / "session", SETUP, rate=30.0)


@pytest.fixture
def client(room):
    with TestClient(application(room), base_url=f"http://{HERE}") as client:
        yield client


def sit(client, query="", **headers):
    return client.websocket_connect(f"/ws{query}", headers={"origin": f"http://{HERE}", "host": HERE, **headers})


def next_of(socket, kind):
    """The next message of a kind; others and frames are passed over."""
    while True:
        received = socket.receive()
        if received["type"] == "websocket.close":
            raise WebSocketDisconnect(received["code"])
        if received.get("text") and (message := json.loads(received["text"]))["kind"] == kind:
            return message


def next_frame(socket):
    while (received := socket.receive()).get("bytes") is None:
        pass
    return received["bytes"]


def say(socket, kind, **fields):
    socket.send_text(json.dumps({"kind": kind, **fields}))


def test_the_page_is_served_with_rules_that_let_nothing_else_in(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "NONCE" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_who_sits_down_is_told_everything_and_shown_a_frame(client):
    with sit(client) as socket:
        hello = next_of(socket, "hello")
        frame = next_frame(socket)
    assert (hello["env"], hello["agent"], hello["teaches"], hello["paused"]) == ("rlx/cliff-grid", "coach", True, True)
    assert hello["actions"] == ["north", "south", "east", "west"]
    assert hello["policy"] == [{"share": 0.25}] * 4
    assert HEADER.unpack(frame[: HEADER.size])[0] == 0
    assert frame[HEADER.size :].startswith(b"\x89PNG")


def test_a_press_is_acknowledged_heard_and_moves_the_policy(client, room):
    with sit(client) as socket:
        say(socket, "single")
        first = next_of(socket, "state")
        say(socket, "press", id=7, value=1, trace=0, shown=first["step"])
        ack = next_of(socket, "ack")
        say(socket, "single")
        second = next_of(socket, "state")
    assert ack == {"kind": "ack", "id": 7, "heard": 1, "credit": [[0, 1.0]]}
    assert (second["feedback"], second["credit"]) == (1.0, [[0, 1.0]])
    kernel = room.session.state.agent.params["params"]["head"]["kernel"]
    assert kernel[0, first["action"]] > 0
    assert [line["kind"] for line in read_lines(room.recording.folder)] == ["step", "press", "step"]


def test_time_runs_at_the_pace_asked_for_and_stops(client):
    with sit(client) as socket:
        say(socket, "pace", rate=60)
        say(socket, "pause", paused=False)
        steps = [next_of(socket, "state")["step"] for _ in range(4)]
        say(socket, "pause", paused=True)
        say(socket, "ping", id=3)
        assert next_of(socket, "pong")["id"] == 3
    assert steps == [0, 1, 2, 3]


def test_undo_save_load_set_and_start_again(client, room):
    with sit(client) as socket:
        for _ in range(2):
            say(socket, "single")
            step = next_of(socket, "state")["step"]
            say(socket, "press", id=step, value=1, trace=0, shown=step)
        say(socket, "undo")
        assert next_of(socket, "hello")["undoable"] == 0
        say(socket, "undo")
        assert next_of(socket, "refused")["reason"] == "there is no press to take back"
        say(socket, "save", name="two steps")
        assert next_of(socket, "hello")["saves"] == ["two steps"]
        say(socket, "restart")
        assert next_of(socket, "hello")["step"] == -1
        say(socket, "load", name="two steps")
        assert next_of(socket, "hello")["step"] == 1
        say(socket, "load", name="nothing")
        assert "nothing is saved as 'nothing'" in next_of(socket, "refused")["reason"]
        say(socket, "set", field="delay", value=3)
        assert next_of(socket, "hello")["settings"]["delay"] == 3
        say(socket, "set", field="delay", value=99)
        assert "out of range" in next_of(socket, "refused")["reason"]
    assert replay(room.recording.folder)[0].digest() == room.session.digest()


def test_malformed_messages_leave_the_server_running_and_the_recording_whole(client, room):
    """Of every kind, more than 200, in seats of 100 each; after them all is as it was."""
    texts = sorted(set(malformed.messages()) - {"\ud800"}, key=repr)
    assert len(texts) >= 200
    for start in range(0, len(texts), 100):
        with sit(client) as socket:
            for text in texts[start : start + 100]:
                socket.send_text(text)
                assert next_of(socket, "refused")["reason"]
            socket.send_bytes(b"\x00\xff" * 10)
            assert next_of(socket, "refused")["reason"] == "messages are text"
    assert list(read_lines(room.recording.folder)) == []
    test_a_press_is_acknowledged_heard_and_moves_the_policy(client, room)
    assert replay(room.recording.folder)[0].digest() == room.session.digest()


@pytest.mark.parametrize(
    ("press", "reason"),
    [({"shown": 5}, "no such step has been shown"), ({"trace": 2}, "trace is below 2")],
)
def test_a_press_about_what_is_not_there_is_refused(press, reason, client, room):
    with sit(client) as socket:
        say(socket, "press", **{"id": 1, "value": 1, "trace": 0, "shown": 0, **press})
        assert reason in next_of(socket, "refused")["reason"]
    assert list(read_lines(room.recording.folder)) == []


def test_what_cannot_be_recorded_does_not_happen(client, room, monkeypatch):
    """A full disk: presses are refused, time stands still, and when there is room again all goes on."""

    def full(line):
        raise OSError(28, "No space left on device")

    with sit(client) as socket:
        next_of(socket, "hello")
        with monkeypatch.context() as patch:
            patch.setattr(room.recording, "add", full)
            say(socket, "press", id=1, value=1, trace=0, shown=0)
            assert "No space left on device" in next_of(socket, "refused")["reason"]
            say(socket, "pause", paused=False)
            assert next_of(socket, "pace")["paused"] is False
            assert next_of(socket, "pace")["paused"] is True
        assert (room.session.steps, room.session.pending) == (0, [])
        say(socket, "single")
        assert next_of(socket, "state")["step"] == 0


def test_a_flood_is_refused_and_other_pages_do_not_notice(client):
    with sit(client) as quiet, sit(client) as loud:
        next_of(quiet, "hello")
        for number in range(int(BURST) + 40):
            say(loud, "ping", id=number)
        assert "messages a second" in next_of(loud, "refused")["reason"]
        say(quiet, "ping", id=1)
        assert next_of(quiet, "pong")["id"] == 1


def test_only_one_page_teaches_and_another_can_take_over(client):
    with sit(client) as first, sit(client) as second:
        assert next_of(second, "hello")["teaches"] is False
        say(second, "press", id=1, value=1, trace=0, shown=0)
        assert "another page teaches" in next_of(second, "refused")["reason"]
        say(second, "teach")
        assert next_of(second, "hello")["teaches"] is True
        next_of(first, "hello")
        assert next_of(first, "hello")["teaches"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://evil.example", "host": "evil.example"},
    ],
)
def test_a_page_from_elsewhere_cannot_speak_to_it(headers, client, room):
    with pytest.raises(WebSocketDisconnect), sit(client, **headers) as socket:
        socket.receive()
    assert room.seats == []


def test_the_page_is_not_given_to_who_asks_for_another_machine(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_with_a_token_others_come_in_by_it_alone(room):
    with TestClient(application(room, token="open sesame"), base_url="http://10.0.0.5:8000") as client:
        elsewhere = {"origin": "http://10.0.0.5:8000", "host": "10.0.0.5:8000"}
        assert client.get("/").status_code == 403
        assert client.get("/?token=wrong").status_code == 403
        assert client.get("/?token=open%20sesame").status_code == 200
        with pytest.raises(WebSocketDisconnect), sit(client, **elsewhere) as socket:
            socket.receive()
        with sit(client, "?token=open%20sesame", **elsewhere) as socket:
            assert next_of(socket, "hello")["teaches"]
