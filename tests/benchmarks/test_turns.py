from benchmarks.turns import median_seconds, take_turns


def test_turns_go_forwards_and_backwards_after_one_that_does_not_count():
    diary = []

    def measure(name):
        return lambda: (diary.append(name), float(len(diary)))[1]

    found = take_turns({"a": measure("a"), "b": measure("b")}, repetitions=3)
    assert "".join(diary) == "ab" + "ab" + "ba" + "ab"
    assert found == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_programs_are_timed_by_their_median(monkeypatch):
    durations = iter([100.0, 3.0, 9.0, 5.0])  # the first compiles
    now = [0.0]
    monkeypatch.setattr("benchmarks.turns.time.perf_counter", lambda: now[0])

    def program(times):
        assert times == 4
        now[0] += next(durations)

    assert median_seconds({"it": program}, times=4, repetitions=3) == {"it": 5.0}
