"""Testing a trained network: the numbers it prints, and the predictions it writes."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import DIGITS, quick, tiny  # noqa: F401

from capslite.errors import UserError
from capslite.evaluate import (
    capsule_lengths,
    error_percent,
    load_run,
    main,
    reconstruct_longest,
    report,
    wilson_interval,
)
from capslite.models import CapsNet
from capslite.train import Options, train

TEST = DIGITS[1]


def trained(**changes):
    return train(Options(**{"epochs": 1, "batch_size": 20, "device": "cpu", **changes}), Path("run"))


def test_the_interval_is_wilsons():
    """Worked by hand from the formula: 5 wrong of 100, z = 1.96."""
    low, high = wilson_interval(5, 100)
    assert low == pytest.approx(2.154, abs=5e-4)
    assert high == pytest.approx(11.175, abs=5e-4)


@given(st.integers(1, 10_000), st.data())
def test_the_interval_holds_the_rate_and_stays_a_percentage(count, data):
    """Also with no error or nothing right, where the plain normal interval has no width."""
    wrong = data.draw(st.integers(0, count))
    low, high = wilson_interval(wrong, count)
    assert 0 <= low <= 100 * wrong / count + 1e-9
    assert 100 * wrong / count - 1e-9 <= high <= 100
    assert low < high


def test_the_longest_capsule_is_the_answer():
    lengths = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.6, 0.5]])
    assert error_percent(lengths, np.array([1, 0, 0, 0])) == 25.0


def test_every_image_is_tested_the_last_batch_too(monkeypatch):
    """A dropped last batch changes the error without a word."""
    net = CapsNet(tiny())
    whole = net.forward(TEST.images / np.float32(255)).lengths
    monkeypatch.setattr("capslite.evaluate.BATCH_SIZE", 7)
    np.testing.assert_allclose(capsule_lengths(net, TEST), whole, rtol=1e-5)
    assert capsule_lengths(net, TEST.subset(slice(0, 0))).shape == (0, 10)


def test_the_worst_pairs_are_true_class_first_most_frequent_first():
    """Swapped, a reader would mend the wrong digit."""
    labels, predictions = TEST.labels.copy(), TEST.labels.copy()
    wrong = [index for index in range(len(labels)) if labels[index] != 3][:3]
    predictions[wrong] = 3
    lines = report(np.eye(10)[predictions], TEST).splitlines()
    assert lines[0].startswith(f"error on the {TEST.name}: 15.00% (3 of 20 wrong, 95% interval")
    counts = [int(line.rsplit(": ", 1)[1]) for line in lines[1:]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 3
    assert {line.split(":")[0].strip() for line in lines[1:]} == {f"{labels[i]} taken for 3" for i in wrong}


def test_no_errors_and_no_pairs():
    assert len(report(np.eye(10)[TEST.labels], TEST).splitlines()) == 1


def test_the_decoder_draws_from_the_longest_capsule_alone():
    """At test time nobody knows the label."""
    net, images = CapsNet(tiny()), TEST.images[:4] / np.float32(255)
    decoded, predictions = reconstruct_longest(net, images)
    capsules, lengths, _ = net.forward(images)
    np.testing.assert_array_equal(predictions, lengths.argmax(axis=1))
    others = capsules * np.eye(10, dtype=np.float32)[predictions][..., None]
    expected = net.reconstruct(others, np.ones((4, 10), np.float32))
    np.testing.assert_allclose(decoded, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("quick")
def test_a_run_comes_back_as_it_was_trained():
    """Routing iterations and decoder too: they come from config.json, not from the defaults."""
    run = trained(routing=2, reconstruction=False)
    net, options = load_run(run.path, device="cpu")
    assert net.config == run.net.config
    assert options["dataset"] == "posed-digits"
    np.testing.assert_array_equal(capsule_lengths(net, TEST), capsule_lengths(run.net, TEST))


@pytest.mark.usefixtures("quick")
def test_evaluate_repeats_the_error_of_the_training_and_writes_the_predictions(capsys):
    run = trained(validation=10)
    trained_report = report(capsule_lengths(run.net, TEST), TEST)
    capsys.readouterr()
    main(["run", "--device", "cpu"])
    output = capsys.readouterr().out
    assert output.startswith("device: CPU (NumPy)\n")
    assert trained_report in output
    with Path("run/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lengths = np.array([[float(row[f"length_{name}"]) for name in TEST.class_names] for row in rows])
    assert [int(row["index"]) for row in rows] == list(range(20))
    assert [int(row["label"]) for row in rows] == TEST.labels.tolist()
    assert [int(row["predicted"]) for row in rows] == lengths.argmax(axis=1).tolist()
    np.testing.assert_array_equal(lengths.astype(np.float32), capsule_lengths(run.net, TEST))
    main(["run", "--device", "cpu", "--best"])


@pytest.mark.usefixtures("quick")
def test_a_directory_that_is_no_run_and_a_run_without_best_are_one_sentence():
    trained()
    with pytest.raises(UserError, match=r"a run directory\?"):
        main(["elsewhere"])
    with pytest.raises(UserError, match=r"best\.npz"):
        main(["run", "--best"])
