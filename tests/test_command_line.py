"""The commands as a shell sees them: exit codes, one sentence on stderr, nothing lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import quick  # noqa: F401

from capslite import evaluate, train
from capslite.cli import run_command

pytestmark = pytest.mark.usefixtures("quick")
OPTIONS = [
    *("dataset", "data-dir", "limit", "validation", "model", "routing", "no-reconstruction", "epochs"),
    *("batch-size", "learning-rate", "seed", "device", "threads", "out", "resume"),
]
TINY = ["--batch-size", "20", "--epochs", "1", "--device", "cpu"]


@pytest.fixture
def command(capsys):
    """Run ``main`` as the shell does; return (exit code, stdout, stderr)."""

    def call(main, *arguments):
        code = 0
        try:
            run_command(lambda: main([str(argument) for argument in arguments]))
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def sentence(result):
    """Return the one line a user's mistake is told in."""
    code, _, err = result
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def files(directory):
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def test_train_then_evaluate(command):
    code, out, err = command(train.main, *TINY, "--out", "run")
    assert (code, err) == (0, "")  # no bar where there is no terminal
    assert "epoch 1/1" in out
    code, out, err = command(evaluate.main, "run", "--device", "cpu")
    assert (code, err) == (0, "")
    assert "95% interval" in out


def test_resume_takes_its_options_from_the_run(command):
    """Batch size and seed of the first command hold, though the second does not repeat them."""
    command(train.main, *TINY, "--seed", "3", "--out", "part")
    command(train.main, *TINY, "--seed", "3", "--epochs", "2", "--out", "whole")
    code, _, err = command(train.main, "--resume", "part", "--epochs", "2")
    assert (code, err) == (0, "")
    assert files("part")["metrics.csv"] == files("whole")["metrics.csv"]
    assert files("part")["checkpoint.npz"] == files("whole")["checkpoint.npz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--epochs", "-3"], "--epochs is -3"),
        (["--limit", "1000"], "--limit 1000"),
        (["--learning-rate", "-1"], "--learning-rate is -1.0"),
        (["--resume", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_makes_no_directory(command, arguments, words):
    assert words in sentence(command(train.main, *arguments))
    assert not list(Path().iterdir())


def test_a_device_that_is_not_there_is_one_sentence(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed" in sentence(command(train.main, "--device", "gpu"))
    assert not list(Path().iterdir())


def test_a_used_directory_is_one_sentence_and_stays(command):
    command(train.main, *TINY, "--out", "run")
    before = files("run")
    assert "--resume" in sentence(command(train.main, *TINY, "--out", "run"))
    assert files("run") == before


def test_what_may_not_change_on_resume_is_one_sentence(command):
    command(train.main, *TINY, "--out", "run")
    assert "--batch-size, --seed" in sentence(
        command(train.main, "--resume", "run", "--seed", "1", "--batch-size", "5")
    )
    assert "--out" in sentence(command(train.main, "--resume", "run", "--out", "other"))


def test_a_file_in_the_place_of_the_directory_is_one_sentence(command):
    Path("file").write_text("mine")
    assert "file" in sentence(command(train.main, *TINY, "--out", "file"))
    assert Path("file").read_text() == "mine"


def test_help_names_every_option_and_shows_a_command(command):
    code, out, _ = command(train.main, "--help")
    assert code == 0
    for option in OPTIONS:
        assert f"--{option} " in out
    assert "python -m capslite.train --dataset mnist --model paper" in out


# The package under test, installed or not.
HERE = os.environ | {"PYTHONPATH": str(Path(train.__file__).parents[1])}
REAL = [sys.executable, "-m", "capslite.train", "--limit", "40", "--batch-size", "20", "--device", "cpu"]


@pytest.mark.skipif(os.name != "posix", reason="file size limits and signals are POSIX's")
def test_a_disk_that_fills_is_one_sentence_and_the_last_checkpoint_stays():
    """The real thing: the system refuses to write more than 5 MB, and the checkpoint needs 25."""
    import resource

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    subprocess.run([*REAL, "--epochs", "1", "--out", "run"], env=HERE, check=True, capture_output=True)
    before = files("run")["checkpoint.npz"]
    again = [sys.executable, "-m", "capslite.train", "--resume", "run", "--epochs", "2"]
    result = subprocess.run(again, preexec_fn=small_disk, env=HERE, capture_output=True, text=True)
    assert "checkpoint.npz could not be written" in sentence(
        (result.returncode, result.stdout, result.stderr)
    )
    assert files("run")["checkpoint.npz"] == before
    assert not list(Path("run").glob("*.part"))
    subprocess.run(again, env=HERE, check=True, capture_output=True)  # room was made


@pytest.mark.skipif(os.name != "posix", reason="file size limits and signals are POSIX's")
def test_ctrl_c_exits_130_and_the_run_can_go_on():
    with subprocess.Popen(
        [*REAL, "--epochs", "999", "--out", "run"],
        env=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        err = process.stderr.read()
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    done = len(Path("run/metrics.csv").read_text().splitlines()) - 1
    subprocess.run(
        [sys.executable, "-m", "capslite.train", "--resume", "run", "--epochs", str(done)],
        env=HERE,
        check=True,
        capture_output=True,
    )
