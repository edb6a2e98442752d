"""The harvest task of microRTS once more, as objects and explicit loops, to compare `rlx.envs.microrts` with.

Written from the description of the game alone. A game is a dictionary from ``(x, y)`` to a unit.
"""

import dataclasses

import numpy as np

NONE, MOVE, HARVEST, RETURN, PRODUCE, ATTACK = range(6)
TYPES = ("Resource", "Base", "Barracks", "Worker", "Light", "Heavy", "Ranged")
STEP_OF_DIRECTION = {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
TICKS = 10
OWN, ENEMY = 1, 2


@dataclasses.dataclass(frozen=True)
class Kind:
    cost: int
    hp: int
    produce_ticks: int
    move_ticks: int = 10
    attack_ticks: int = 5
    harvest_ticks: int = 10
    reach: int = 0
    damage: int = 0
    fights_and_moves: bool = False
    harvests: bool = False
    products: tuple[str, ...] = ()


KINDS = {
    "Resource": Kind(1, 1, 10),
    "Base": Kind(10, 10, 250, attack_ticks=10, products=("Worker",)),
    "Barracks": Kind(5, 4, 200, attack_ticks=10, products=("Light", "Heavy", "Ranged")),
    "Worker": Kind(1, 1, 50, reach=1, damage=1, fights_and_moves=True, harvests=True, products=("Base", "Barracks")),
    "Light": Kind(2, 4, 80, move_ticks=8, reach=1, damage=2, fights_and_moves=True),
    "Heavy": Kind(2, 4, 120, move_ticks=12, reach=1, damage=4, fights_and_moves=True),
    "Ranged": Kind(2, 1, 100, reach=3, damage=1, fights_and_moves=True),
}

START = {  # side, then resources with amounts, then the base and the worker of each player
    "4x4": (4, {(0, 0): 20, (3, 3): 20}, ((2, 1), (1, 1)), ((1, 2), (2, 2))),
    "10x10": (10, {(0, 0): 20, (9, 9): 20}, ((2, 1), (1, 1)), ((7, 8), (8, 8))),
    "16x16": (16, {(0, 1): 20, (15, 14): 25}, ((2, 2), (1, 1)), ((13, 13), (14, 14))),
    "24x24": (24, {(0, 1): 20, (23, 22): 25}, ((2, 2), (1, 1)), ((21, 21), (22, 22))),
}


@dataclasses.dataclass
class Assignment:
    """What a unit does; ``action`` is NONE while it is blocked."""

    action: int
    ticks: int
    target: tuple[int, int] | None = None
    product: str | None = None


@dataclasses.dataclass
class Unit:
    type: str
    owner: int
    hp: int
    resources: int = 0
    assignment: Assignment | None = None

    @property
    def kind(self):
        return KINDS[self.type]

    @property
    def shown(self):
        return self.assignment.action if self.assignment else NONE


class Game:
    def __init__(self, name, limit=200, gold=5, sum_reservations=False, mask_blocked=False):
        self.side, resources, own, enemy = START[name]
        self.limit, self.gold, self.steps = limit, gold, 0
        self.sum_reservations, self.mask_blocked = sum_reservations, mask_blocked
        self.units = {cell: Unit("Resource", 0, 1, amount) for cell, amount in resources.items()}
        for owner, (base, worker) in ((OWN, own), (ENEMY, enemy)):
            self.units[base] = Unit("Base", owner, 10)
            self.units[worker] = Unit("Worker", owner, 1)
        self.happened = set()

    def xy(self, cell):
        return cell % self.side, cell // self.side

    def cell(self, xy):
        return xy[1] * self.side + xy[0]

    def inside(self, xy):
        return 0 <= xy[0] < self.side and 0 <= xy[1] < self.side

    def running(self):
        return [unit.assignment for unit in self.units.values() if unit.assignment and unit.assignment.action != NONE]

    def target(self, place, action):
        if action[1] == ATTACK:
            return self.xy(action[7])
        dx, dy = STEP_OF_DIRECTION[action[1 + action[1]]]
        return place[0] + dx, place[1] + dy

    def legal(self, place, action):
        unit, command = self.units[place], action[1]
        target = self.target(place, action)
        there = self.units.get(target)
        if command == MOVE:
            return unit.kind.fights_and_moves and self.inside(target) and there is None
        if command == HARVEST:
            return unit.kind.harvests and unit.resources == 0 and there is not None and there.type == "Resource"
        if command == RETURN:
            at_base = there is not None and there.type == "Base" and there.owner == OWN
            return unit.kind.harvests and unit.resources > 0 and at_base
        if command == PRODUCE:
            product = TYPES[action[6]]
            affordable = self.gold >= KINDS[product].cost
            return product in unit.kind.products and affordable and self.inside(target) and there is None
        distance = (target[0] - place[0]) ** 2 + (target[1] - place[1]) ** 2
        hostile = there is not None and there.owner == ENEMY
        return unit.kind.fights_and_moves and hostile and distance <= unit.kind.reach**2

    def duration(self, unit, action):
        return {
            MOVE: unit.kind.move_ticks,
            HARVEST: unit.kind.harvest_ticks,
            RETURN: unit.kind.move_ticks,
            PRODUCE: KINDS[TYPES[action[6]]].produce_ticks,
            ATTACK: unit.kind.attack_ticks,
        }[action[1]]

    def in_conflict(self, place, action):
        if action[1] not in (MOVE, PRODUCE):
            return False
        others = [other for other in self.running() if other.action in (MOVE, PRODUCE)]
        if any(other.target == self.target(place, action) for other in others):
            self.happened.add("same target")
            return True
        if action[1] == MOVE:
            return False
        new, old = KINDS[TYPES[action[6]]].cost, [KINDS[o.product].cost for o in others if o.action == PRODUCE]
        overspent = new + sum(old) > self.gold if self.sum_reservations else any(new + o > self.gold for o in old)
        if old and overspent:
            self.happened.add("overspending")
            return True
        return False

    def command(self, action):
        """Give one command; returns the reward and the counters (null, busy, owner)."""
        place = self.xy(action[0])
        unit = self.units.get(place)
        if unit is None:
            return 0, (1, 0, 0)
        if unit.owner != OWN:
            return 0, (0, 0, 1)
        if action[1] == NONE:
            return 0, (0, 0, 0)
        if unit.assignment is not None:
            return 0, (0, 1, 0)
        ticks = self.duration(unit, action)
        if not self.legal(place, action):
            unit.assignment = Assignment(NONE, ticks)
            self.happened.add("blocked")
            return 0, (0, 0, 0)
        if self.in_conflict(place, action):
            return 0, (0, 0, 0)
        product = TYPES[action[6]] if action[1] == PRODUCE else None
        unit.assignment = Assignment(action[1], ticks, self.target(place, action), product)
        return int(action[1] in (HARVEST, RETURN)), (0, 0, 0)

    def complete(self, place, unit, done):
        if done.action == MOVE:
            self.units[done.target] = self.units.pop(place)
        elif done.action == HARVEST:
            mine = self.units[done.target]
            mine.resources -= 1
            unit.resources = 1
            if mine.resources == 0:
                del self.units[done.target]
        elif done.action == RETURN:
            self.gold += unit.resources
            unit.resources = 0
        elif done.action == PRODUCE:
            self.units[done.target] = Unit(done.product, OWN, KINDS[done.product].hp)
            self.gold -= KINDS[done.product].cost
            self.happened.add(f"{done.product} made")
        elif done.action == ATTACK:
            victim = self.units[done.target]
            victim.hp -= unit.kind.damage
            if victim.hp <= 0:
                del self.units[done.target]
                self.happened.add(f"{victim.type} killed by {unit.type}")

    def step(self, action):
        """Returns reward, whether the resources are used up, whether time is up, and the counters."""
        reward, counters = self.command([int(a) for a in action])
        for place, unit in list(self.units.items()):
            if unit.assignment is None:
                continue
            if unit.assignment.ticks > TICKS:
                unit.assignment.ticks -= TICKS
            else:
                done, unit.assignment = unit.assignment, None
                self.complete(place, unit, done)
        self.steps += 1
        self.happened |= {"gold below zero"} if self.gold < 0 else set()
        used_up = not any(unit.type == "Resource" and unit.resources > 0 for unit in self.units.values())
        return reward, used_up, self.steps == self.limit, counters

    def observe(self):
        planes = np.zeros((self.side, self.side, 27), np.uint8)
        planes[:, :, [0, 5, 10, 13, 21]] = 1
        for (x, y), unit in self.units.items():
            owner, kind = unit.owner, TYPES.index(unit.type) + 1
            planes[y, x] = 0
            for plane in (min(unit.hp, 4), 5 + min(unit.resources, 4), 10 + owner, 13 + kind, 21 + unit.shown):
                planes[y, x, plane] = 1
        return planes

    def mask(self):
        cells = self.side**2
        source, target = np.zeros(cells, bool), np.zeros(cells, bool)
        for place, unit in self.units.items():
            hidden = self.mask_blocked and unit.assignment is not None
            if unit.owner == OWN and unit.shown == NONE and not hidden:
                source[self.cell(place)] = True
            if unit.owner == ENEMY:
                target[self.cell(place)] = True
        return np.concatenate([source, np.ones(29, bool), target])
