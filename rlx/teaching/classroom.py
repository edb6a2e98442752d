"""The classroom: a session at a person's pace, its recording, and those who look on.

Everything here happens in one event loop; only steps and pictures are computed in a thread beside it, one at a time. A
line is recorded before it is done, so that the recording is never behind the session.
"""

import asyncio
import dataclasses
import json
import struct
import time
from pathlib import Path
from typing import Any

import jax

from rlx.errors import ConfigurationError
from rlx.teaching.messages import Refused
from rlx.teaching.pictures import painter_for
from rlx.teaching.presses import Press
from rlx.teaching.recording import EVENTS, META, Recording, read_lines, read_setup
from rlx.teaching.session import ADJUSTABLE, Outcome, Session, Setup
from rlx.teaching.view import Account, action_names, credit_of, credited, policy_rows, shown

HEADER = struct.Struct("<IId")  # of a frame: number of the step, nothing, time in seconds
MOST_WAITING = 64  # messages to a page that does not keep up


@dataclasses.dataclass(eq=False)
class Seat:
    """One page that looks on.

    Attributes:
        teaches: whether its presses count.
        frame: the newest picture it has not been sent.
        waiting: messages to be sent, in order.
        news: set when there is something to send.
    """

    teaches: bool
    frame: bytes | None = None
    waiting: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def tell(self, message: dict[str, Any]) -> None:
        """Send ``message`` as soon as the page takes it; one that never takes any gets the newest only."""
        self.waiting = [*self.waiting, message][-MOST_WAITING:]
        self.news.set()

    def show(self, frame: bytes) -> None:
        """Send ``frame``, unless a newer one comes first."""
        self.frame = frame
        self.news.set()


def not_written(error: OSError) -> str:
    """What to tell people where the recording cannot grow: what is not recorded does not happen."""
    return f"the recording cannot be written ({error.strerror}): nothing was done"


def _plain(setup: Setup) -> str:
    return json.dumps(dataclasses.asdict(setup), sort_keys=True)


class Classroom:
    """A session with its recording, its pace and its seats.

    Attributes:
        recording: where all is written.
        session: what is taught.
        account: of episodes and feedback.
        rate: steps a second.
        paused: whether time stands still.
        next: number of the step that hears what is pressed now.
        seats: pages that look on.
    """

    def __init__(self, folder: Path, setup: Setup | None, rate: float) -> None:
        if (folder / META).exists():
            if setup is not None and _plain(setup) != _plain(read_setup(folder)):
                raise ConfigurationError(f"{folder} holds another session; session={folder} alone goes on with it")
            self.recording = Recording(folder)
        elif setup is None:
            raise ConfigurationError(f"{folder} is no teaching session: it has no {META}")
        else:
            self.recording = Recording.begin(folder, setup)
        self.rate, self.paused = rate, True
        self.seats: list[Seat] = []
        self._turn = asyncio.Lock()  # of whatever changes the session but presses
        self._open()

    def _open(self) -> None:
        """The session as its recording leaves it, compiled, and its first frame."""
        self.session, self.account = Session(read_setup(self.recording.folder)), Account()
        self._compile()
        for line in read_lines(self.recording.folder):
            step = self.session.steps
            outcome = self.session.take(line)
            if line["kind"] == "restart":
                self.account = Account()
            if outcome is not None:
                self.account.add(step, jax.device_get(outcome))
        self._paint = painter_for(self.session)
        self.next = self.session.steps
        self.frame = self._frame(self.session.state.scene.env.task_state)

    def _compile(self) -> None:
        """Take a step of a copy, so that no step in front of a person waits for the compiler."""
        state, steps = self.session.state, self.session.steps
        self.session.advance(self.session.collect())
        self.session.state, self.session.steps = state, steps

    async def run(self) -> None:
        """Take steps at the pace asked for, until cancelled."""
        due = time.monotonic()
        while True:
            due = max(due + 1.0 / self.rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            if self.paused:
                continue
            try:
                await self.step()
            except OSError as error:
                self.paused = True
                self._tell_pace()
                self.say(not_written(error))

    async def step(self) -> None:
        """Take one step, and tell all."""
        async with self._turn:
            session, number = self.session, self.session.steps
            self.recording.add({"kind": "step", "step": number})
            credit = credit_of(session, session.pending, number)
            word, self.next = session.collect(), number + 1
            outcome = await asyncio.to_thread(self._advance, word)
            self.account.add(number, outcome)
            message = shown(session, self.account, outcome, credit)
        for seat in self.seats:
            seat.tell(message)
            seat.show(self.frame)

    def _advance(self, word: Any) -> Outcome:
        outcome: Outcome = jax.device_get(self.session.advance(word))
        self.frame = self._frame(outcome.task_state)
        return outcome

    def _frame(self, task_state: Any) -> bytes:
        header = HEADER.pack(max(self.session.steps - 1, 0), 0, time.time())
        return header + self._paint(self.session, jax.device_get(task_state))

    def sit(self) -> Seat:
        """A new seat; the first one teaches."""
        seat = Seat(teaches=not any(other.teaches for other in self.seats))
        self.seats.append(seat)
        seat.tell(self.hello(seat))
        seat.show(self.frame)
        return seat

    def leave(self, seat: Seat) -> None:
        """Give a seat up; time stands still once nobody teaches."""
        self.seats.remove(seat)
        if seat.teaches:
            self.paused = True
            for other in self.seats[:1]:
                other.teaches = True
            self._greet()

    def hello(self, seat: Seat) -> dict[str, Any]:
        """All that a page needs to know at first, or anew."""
        session, agent = self.session, self.session.agent
        return {
            "kind": "hello",
            "env": session.env.name,
            "agent": session.setup.agent["name"],
            "actions": action_names(session),
            "policy": policy_rows(session.env.spec, session.look()),
            "traces": list(getattr(agent, "trace_decays", ())),
            "settings": {name: float(getattr(agent, name)) for name in ADJUSTABLE if hasattr(agent, name)},
            "rate": self.rate,
            "paused": self.paused,
            "step": session.steps - 1,
            "presses": self.account.presses,
            "undoable": len(session.undoable),
            "saves": self.recording.saves(),
            "folder": str(self.recording.folder / EVENTS),
            "teaches": seat.teaches,
            **self.account.whole(),
        }

    async def hear(self, seat: Seat, message: dict[str, Any]) -> None:
        """Do what a checked message asks for.

        Raises:
            Refused: if it cannot be done now.
        """
        kind = message["kind"]
        if kind == "ping":
            seat.tell({"kind": "pong", "id": message["id"]})
        elif kind == "teach":
            for other in self.seats:
                other.teaches = other is seat
            self._greet()
        elif not seat.teaches:
            raise Refused("another page teaches; press Take over")
        elif kind == "press":
            self._press(seat, message)
        elif kind == "pause":
            self.paused = message["paused"]
            self._tell_pace()
        elif kind == "pace":
            self.rate = float(message["rate"])
            self._tell_pace()
        elif kind == "single":
            self.paused = True
            await self.step()
            self._tell_pace()
        else:
            await self._change(message)

    def _press(self, seat: Seat, message: dict[str, Any]) -> None:
        """Accept a press: once it is recorded, the page is told what it will be credited to."""
        session = self.session
        press = Press(float(message["value"]), message["trace"], message["shown"])
        if press.shown >= max(self.next, 1):
            raise Refused("press: no such step has been shown yet")
        traces = max(1, len(getattr(session.agent, "trace_decays", ())))
        if press.trace >= traces:
            raise Refused(f"press: trace is below {traces}")
        line = {"kind": "press", "id": message["id"], "value": press.value, "trace": press.trace, "shown": press.shown}
        self.recording.add(line)
        session.pending.append(press)
        credit = credited(session, press, self.next)
        seat.tell({"kind": "ack", "id": message["id"], "heard": self.next, "credit": credit})

    async def _change(self, message: dict[str, Any]) -> None:
        """What changes more than the next step."""
        async with self._turn:
            try:
                await asyncio.to_thread(self._changed, message)
            except ConfigurationError as error:
                raise Refused(str(error)) from error
        self._greet()
        for seat in self.seats:
            seat.show(self.frame)

    def _changed(self, message: dict[str, Any]) -> None:
        session, kind = self.session, message["kind"]
        if kind == "save":
            self.recording.save(message["name"])
        elif kind == "load":
            self.paused = True
            self.recording.load(message["name"])
            self._open()
        elif kind == "undo":
            if not session.undoable:
                raise ConfigurationError("there is no press to take back")
            self._done({"kind": "undo"})
        elif kind == "set":
            line = {"kind": "set", "field": message["field"], "value": message["value"]}
            before = session.agent
            session.adjust(line["field"], line["value"])  # refused before it is recorded
            session.agent = before
            self._done(line)
        elif kind == "restart":
            self.account = Account()
            self._done({"kind": "restart", "seed": session.seed + 1})
        self.next = self.session.steps
        self.frame = self._frame(self.session.state.scene.env.task_state)

    def _done(self, line: dict[str, Any]) -> None:
        self.recording.add(line)
        self.session.take(line)

    def say(self, reason: str) -> None:
        """Tell every page what could not be done."""
        for seat in self.seats:
            seat.tell({"kind": "refused", "reason": reason})

    def _greet(self) -> None:
        for seat in self.seats:
            seat.tell(self.hello(seat))

    def _tell_pace(self) -> None:
        for seat in self.seats:
            seat.tell({"kind": "pace", "rate": self.rate, "paused": self.paused})
