"""The training run: what it leaves, that it can be repeated, and that it can be gone on with."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.runs import DIGITS, quick  # noqa: F401

from capslite import train as training
from capslite.errors import UserError
from capslite.models import CapsNet
from capslite.storage import load_checkpoint
from capslite.train import Options, split, train

pytestmark = pytest.mark.usefixtures("quick")
FILES = ["checkpoint.npz", "config.json", "curves.png", "metrics.csv", "reconstructions.png"]
TINY = {"batch_size": 20, "device": "cpu"}


def options(**changes):
    return Options(**{"epochs": 2, **TINY, **changes})


def contents(run):
    return {path.name: path.read_bytes() for path in Path(run).iterdir()}


def rows(run):
    with (Path(run) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_everything_a_reader_is_promised(capsys):
    run = train(options())
    assert run.path == Path("runs/posed-digits-small-1")
    assert sorted(contents(run.path)) == FILES
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "device: CPU (NumPy)"
    assert f"{run.net.parameter_count:,} parameters" in lines[2]
    assert lines[3] == f"run directory: {run.path}"
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/2", "2/2"]


def test_the_same_seed_twice_is_the_same_run_byte_for_byte():
    """No clock, no thread timing and no unseeded number may reach what is compared."""
    first, second = (contents(train(options()).path) for _ in range(2))
    assert first["metrics.csv"] == second["metrics.csv"]
    assert first["checkpoint.npz"] == second["checkpoint.npz"]


def test_another_seed_is_another_run():
    assert (
        contents(train(options()).path)["metrics.csv"] != contents(train(options(seed=1)).path)["metrics.csv"]
    )


def test_the_number_of_threads_does_not_change_the_run():
    """Or a result could only be repeated on a machine with as many cores."""
    one, two = (contents(train(options(threads=threads)).path)["metrics.csv"] for threads in (1, 2))
    assert one == two


def test_one_epoch_and_one_resumed_are_two_epochs():
    """Weights, moments, learning rate and the state of the generator all have to go on."""
    whole = train(options(validation=10)).path
    part = train(options(validation=10, epochs=1), Path("part")).path
    train(options(validation=10), part, resume=True)
    arrays, state = load_checkpoint(whole / "checkpoint.npz")
    resumed_arrays, resumed_state = load_checkpoint(part / "checkpoint.npz")
    assert state == resumed_state
    for name, array in arrays.items():
        np.testing.assert_array_equal(resumed_arrays[name], array, err_msg=name)
    for name in ("metrics.csv", "best.npz"):
        assert contents(whole)[name] == contents(part)[name]


def test_a_crash_between_metrics_and_checkpoint_repeats_the_epoch(monkeypatch):
    """metrics.csv is then one row ahead of the checkpoint: going on must not count that epoch twice."""
    whole = contents(train(options(epochs=3)).path)
    train(options(epochs=1), Path("part"))

    def die(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", die)
        with pytest.raises(SystemExit):
            train(options(epochs=3), Path("part"), resume=True)
    assert len(rows("part")) == 2
    train(options(epochs=3), Path("part"), resume=True)
    assert contents("part")["metrics.csv"] == whole["metrics.csv"]


def test_a_checkpoint_keeps_parameters_under_their_own_names():
    """Notebooks and other programs read them without capslite."""
    run = train(options(epochs=1))
    arrays, state = load_checkpoint(run.path / "checkpoint.npz")
    for name, parameter in run.net.parameters.items():
        np.testing.assert_array_equal(arrays[name], parameter)
        assert {f"adam.m.{name}", f"adam.v.{name}"} <= arrays.keys()
    assert state["epoch"] == 1
    assert arrays["adam.step"] == 3


def test_training_learns():
    """The loss of a working loop falls on 60 digits; one that steps the wrong way or not at all does not."""
    losses = [float(row["train_loss"]) for row in rows(train(options(epochs=4)).path)]
    assert losses[-1] < losses[0]


def test_the_recorded_loss_is_the_mean_over_images_not_batches():
    """The last batch is shorter, and would otherwise weigh more."""
    seen, original = [], CapsNet.loss_and_gradients

    def spy(net, images, targets):
        losses, gradients = original(net, images, targets)
        seen.append((len(images), float(losses.total)))
        return losses, gradients

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CapsNet, "loss_and_gradients", spy)
        run = train(options(epochs=1, batch_size=25))
    assert [count for count, _ in seen] == [25, 25, 10]
    expected = sum(count * loss for count, loss in seen) / 60
    assert float(rows(run.path)[0]["train_loss"]) == pytest.approx(expected, rel=1e-6)


def test_validation_images_come_from_the_training_set_and_are_not_trained_on():
    kept, held_out = split(DIGITS[0], options(validation=10, limit=30))
    np.testing.assert_array_equal(kept.images, DIGITS[0].images[:30])
    np.testing.assert_array_equal(held_out.images, DIGITS[0].images[50:])


def test_the_best_epoch_is_chosen_on_held_out_images_and_ties_keep_the_first(monkeypatch):
    """Chosen on the test set, the reported error would be too good."""
    validation = iter([30.0, 20.0, 20.0, 40.0])
    test = iter([4.0, 3.0, 2.0, 1.0])
    monkeypatch.setattr(
        training, "error_percent", lambda _, labels: next(validation if len(labels) == 10 else test)
    )
    run = train(options(epochs=4, validation=10))
    assert load_checkpoint(run.path / "best.npz")[1]["epoch"] == 2


def test_without_a_decoder_there_are_no_reconstructions():
    run = train(options(epochs=1, reconstruction=False))
    assert sorted(contents(run.path)) == [name for name in FILES if name != "reconstructions.png"]
    assert not any(name.startswith("decoder") for name in run.net.parameters)


def test_config_json_holds_what_it_takes_to_repeat_the_run():
    run = train(options(epochs=1, seed=5, routing=2))
    record = json.loads((run.path / "config.json").read_text())
    assert Options(**record["options"]) == run.options
    assert record["model"]["routing_iterations"] == 2
    assert record["device"] == "cpu"
    assert {"python", "numpy", "scipy"} <= record["versions"].keys()
    assert {"capslite", "platform"} <= record.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "--batch-size is 0; expected 1 or more"),
        ({"epochs": -1}, "--epochs is -1; expected 1 or more"),
        ({"routing": 0}, "--routing is 0"),
        ({"threads": 0}, "--threads is 0"),
        ({"limit": 0}, "--limit is 0"),
        ({"validation": -1}, "--validation is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"learning_rate": float("inf")}, "--learning-rate is inf"),
        ({"limit": 61}, "--limit 61"),
        ({"limit": 51, "validation": 10}, "--limit 51 and --validation 10"),
        ({"validation": 60}, "--validation 60"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(changes, message):
    with pytest.raises(UserError, match=message):
        train(options(**changes))
    assert not list(Path().iterdir())


def test_a_used_directory_is_refused_and_left_alone():
    """Another run's results are not to be written over."""
    Path("used").mkdir()
    Path("used/notes.txt").write_text("mine")
    with pytest.raises(
        UserError, match=r"used is not empty: go on with --resume used, or choose another --out"
    ):
        train(options(), Path("used"))
    assert contents("used") == {"notes.txt": b"mine"}


def test_an_empty_directory_is_as_good_as_none():
    Path("empty").mkdir()
    assert sorted(contents(train(options(epochs=1), Path("empty")).path)) == FILES


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_good_epoch():
    """Saved, it would overwrite the only weights that are worth anything."""
    run = train(options(epochs=1), Path("run"))
    before = contents(run.path)
    original = CapsNet.loss_and_gradients

    def diverge(net, images, targets):
        losses, gradients = original(net, images, targets)
        return losses._replace(total=losses.total * np.float32("nan")), gradients

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CapsNet, "loss_and_gradients", diverge)
        with pytest.raises(UserError, match="epoch 2: the loss is nan"):
            train(options(epochs=3), run.path, resume=True)
    assert contents(run.path) == before
