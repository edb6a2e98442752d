import numpy as np

from rlx.runner.evaluate import Evaluation
from rlx.runner.evaluation_rows import evaluation_rows


def test_a_row_for_each_member_with_its_own_numbers():
    result = Evaluation(
        returns=np.array([[1.0, 3.0], [10.0, 40.0]], np.float32),
        lengths=np.array([[2, 2], [4, 6]], np.int32),
        counters={"hits": np.array([[1.0, 2.0], [5.0, 0.0]], np.float32)},
    )
    window = {
        "training/return_mean": np.array([0.5, -0.5], np.float32),
        "update/losses": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32),
    }
    rows = evaluation_rows(100, (7, 9), [{"stride": 0.1}, {"stride": 0.2}], 2.5, result, window)
    assert rows == [
        {
            "step": 100,
            "member": 0,
            "seed": 7,
            "wall_time": 2.5,
            "agent/stride": 0.1,
            "evaluation/return_mean": 2.0,
            "evaluation/return_std": 1.0,  # of a population
            "evaluation/length_mean": 2.0,
            "evaluation/returns": [1.0, 3.0],
            "evaluation/hits": 3 / 4,  # a step, over all episodes
            "training/return_mean": 0.5,
            "update/losses": [1.0, 2.0],
        },
        {
            "step": 100,
            "member": 1,
            "seed": 9,
            "wall_time": 2.5,
            "agent/stride": 0.2,
            "evaluation/return_mean": 25.0,
            "evaluation/return_std": 15.0,
            "evaluation/length_mean": 5.0,
            "evaluation/returns": [10.0, 40.0],
            "evaluation/hits": 5 / 10,
            "training/return_mean": -0.5,
            "update/losses": [3.0, 4.0],
        },
    ]
