from rlx.loggers.rows import scalars


def test_numbers_and_vectors_of_metrics_are_scalars_and_other_lists_are_not():
    row = {
        "step": 7,
        "member": 1,
        "seed": 5,
        "evaluation/returns": [1.0, 2.0],
        "evaluation/return_mean": 1.5,
        "update/loss": None,
        "update/weights": [0.25, 0.75],
    }
    assert list(scalars([row])) == [
        (7, "evaluation/return_mean/seed_5", 1.5),
        (7, "update/weights_0/seed_5", 0.25),
        (7, "update/weights_1/seed_5", 0.75),
    ]
