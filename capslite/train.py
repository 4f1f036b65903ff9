"""Train a capsule network: ``python -m capslite.train``.

Without options: the small network on posed-digits, which are made on the spot, so it needs no network
connection and about a minute on two cores. The paper's network on MNIST:

    python -m capslite.train --dataset mnist --model paper --epochs 50

A run lives in a directory of its own: config.json (all that is needed to repeat it), metrics.csv (a row an
epoch), checkpoint.npz (the last epoch), best.npz (with --validation), curves.png and reconstructions.png.
The same options and seed give the same numbers on the same machine. Stopped, by Ctrl-C or otherwise, a run
goes on from its last finished epoch:

    python -m capslite.train --resume RUN
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from tqdm import tqdm

import capslite
from capslite import plots
from capslite.backend import DEVICES, array_module, describe_device, resolve_device, to_numpy
from capslite.cli import run_command
from capslite.data import DATASETS, Batches, Dataset, load_dataset
from capslite.errors import UserError
from capslite.evaluate import capsule_lengths, error_percent, reconstruct_longest, report
from capslite.models import CONFIGS, CapsNet, CapsNetConfig
from capslite.optim import Adam, ExponentialDecay
from capslite.storage import load_checkpoint, read_json, read_rows, save_checkpoint, write_json, write_rows, write_whole

MAX_SHIFT = {"posed-digits": 0, "mnist": 2}  # pixels; posed-digits are moved about already
EPOCHS = {"posed-digits": 5, "mnist": 10}


@dataclass(frozen=True)
class Options:
    """What a run is asked for. Raises UserError for numbers out of range."""

    dataset: str = "posed-digits"
    data_dir: str | None = None
    model: str = "small"
    routing: int = 3
    reconstruction: bool = True
    epochs: int | None = None
    batch_size: int = 128
    learning_rate: float = 0.001
    device: str = "auto"
    threads: int | None = None
    seed: int = 0
    limit: int | None = None
    validation: int = 0

    def __post_init__(self) -> None:
        at_least = {"routing": 1, "epochs": 1, "batch_size": 1, "threads": 1, "seed": 0, "limit": 1, "validation": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name.replace('_', '-')} is {value}; expected {least} or more")
        if not (0 < self.learning_rate < math.inf):
            raise UserError(f"--learning-rate is {self.learning_rate}; expected a positive number, such as 0.001")


@dataclass
class Run:
    """A run directory and what trains in it."""

    path: Path
    options: Options
    train_set: Dataset
    held_out: Dataset  # for --validation; may be empty
    test_set: Dataset
    net: CapsNet
    adam: Adam
    rng: np.random.Generator
    rows: list[dict[str, Any]]  # of metrics.csv: one for each epoch done

    def save(self) -> None:
        """Write metrics.csv, then the checkpoint: a run that dies between the two repeats the epoch."""
        write_rows(self.path / "metrics.csv", self.rows)
        arrays = {name: to_numpy(array) for name, array in self.net.parameters.items()}
        state = {"epoch": len(self.rows), "rng": self.rng.bit_generator.state}
        moments = {f"adam.{name}": array for name, array in self.adam.state().items()}
        save_checkpoint(self.path / "checkpoint.npz", arrays | moments, state)
        errors = [row["validation_error"] for row in self.rows if "validation_error" in row]
        if errors and errors[-1] == min(errors) and errors.count(errors[-1]) == 1:
            save_checkpoint(self.path / "best.npz", arrays, {"epoch": len(self.rows)})

    def restore(self) -> None:
        """Go back to the last checkpoint."""
        arrays, state = load_checkpoint(self.path / "checkpoint.npz")
        self.net.load(arrays)
        self.adam.load_state({name.removeprefix("adam."): a for name, a in arrays.items() if name.startswith("adam.")})
        self.rng.bit_generator.state = state["rng"]
        self.rows = read_rows(self.path / "metrics.csv")[: state["epoch"]]

    def draw(self) -> None:
        """Write curves.png and, if the network has a decoder, reconstructions.png."""
        self._save_figure("curves.png", plots.training_curves(self.rows))
        if self.net.decoder is not None:
            images = self.test_set.subset(slice(0, 10)).images / np.float32(self.test_set.scale)
            decoded, predictions = reconstruct_longest(self.net, images)
            labels = self.test_set.labels[:10]
            self._save_figure("reconstructions.png", plots.reconstructions(images, decoded, labels, predictions))

    def _save_figure(self, name: str, figure: Any) -> None:
        picture = BytesIO()
        figure.savefig(picture, dpi=120)
        write_whole(self.path / name, lambda file: file.write(picture.getvalue()))


def train(options: Options, path: Path | None = None, *, resume: bool = False) -> Run:
    """Train in a run directory, from the start or, with ``resume``, from its last checkpoint.

    ``path`` is by default the next free runs/DATASET-MODEL-N. Raises UserError.
    """
    device = resolve_device(options.device)
    print(f"device: {describe_device(device)}")
    run = prepare(options, path, device, resume)
    print(f"data: {run.train_set.name}, {len(run.train_set):,} images; {run.test_set.name}, {len(run.test_set):,}")
    print(f"model: {run.net.config.name}, {run.net.parameter_count:,} parameters")
    print(f"run directory: {run.path}", flush=True)
    batches = Batches(run.train_set, options.batch_size, device=device, max_shift=MAX_SHIFT[options.dataset])
    epochs = options.epochs or EPOCHS[options.dataset]
    while len(run.rows) < epochs:
        started = time.perf_counter()
        row = train_epoch(run, batches)
        run.rows.append(row)
        run.save()
        print(describe(row, epochs, time.perf_counter() - started), flush=True)
    run.draw()
    print(report(capsule_lengths(run.net, run.test_set), run.test_set))
    return run


def train_epoch(run: Run, batches: Batches) -> dict[str, Any]:
    """Train on every batch once, and return the row of metrics.csv.

    The losses are added up on the device and read once, at the end: nothing waits for it before.
    """
    net, adam, epoch = run.net, run.adam, len(run.rows) + 1
    rate, sums = adam.current_rate, None
    for images, labels in progress(batches.epoch(run.rng), len(batches), f"epoch {epoch}"):
        targets = one_hot(labels, net.config.classes, images.dtype)
        losses, gradients = net.loss_and_gradients(images, targets)
        adam.step(gradients)
        weighted = [loss * len(images) for loss in losses]
        sums = weighted if sums is None else [a + b for a, b in zip(sums, weighted, strict=True)]
    total, margin, reconstruction = (float(to_numpy(s)) / len(run.train_set) for s in sums)
    if not math.isfinite(total):
        raise UserError(
            f"epoch {epoch}: the loss is {total}, training stopped; the epochs before are safe in {run.path}: "
            "try a smaller --learning-rate"
        )
    row = {"epoch": epoch, "step": adam.steps, "learning_rate": rate, "train_loss": total, "train_margin": margin}
    row["train_reconstruction"] = reconstruction
    if len(run.held_out):
        row["validation_error"] = error_percent(capsule_lengths(net, run.held_out), run.held_out.labels)
    row["test_error"] = error_percent(capsule_lengths(net, run.test_set), run.test_set.labels)
    return row


def prepare(options: Options, path: Path | None, device: str, resume: bool) -> Run:
    """Load the data, make the network, and make or reopen the run directory, in that order: nothing is
    written before everything else was found in order."""
    train_set, test_set = load_dataset(options.dataset, options.data_dir)
    train_set, held_out = split(train_set, options)
    config = CONFIGS[options.model](train_set.image_shape, train_set.classes)
    config = replace(config, routing_iterations=options.routing)
    config = config if options.reconstruction else replace(config, decoder=None)
    net = CapsNet(config, seed=options.seed, device=device, threads=options.threads)
    adam = Adam(net.parameters, ExponentialDecay(options.learning_rate))
    rng = np.random.default_rng([options.seed, 1])  # [seed] drew the weights
    if resume:
        run = Run(Path(path or "."), options, train_set, held_out, test_set, net, adam, rng, [])
        run.restore()
        return run
    path = new_directory(path, f"{options.dataset}-{options.model}")
    run = Run(path, options, train_set, held_out, test_set, net, adam, rng, [])
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    record = {"options": asdict(options), "model": asdict(config), "capslite": capslite.__version__}
    write_json(path / "config.json", record | {"versions": versions, "platform": platform.platform(), "device": device})
    return run


def split(train_set: Dataset, options: Options) -> tuple[Dataset, Dataset]:
    """Return the images to train on (the first, with --limit) and those held out for --validation (the last)."""
    kept = len(train_set) - options.validation
    wanted = kept if options.limit is None else options.limit
    if not 1 <= wanted <= kept:
        raise UserError(
            f"--limit {options.limit} and --validation {options.validation} do not fit: "
            f"the {train_set.name} has {len(train_set):,} images"
        )
    return train_set.subset(slice(0, wanted)), train_set.subset(slice(kept, None))


def new_directory(path: Path | None, name: str) -> Path:
    """Make a directory that nobody has written to: the given one, or the next free runs/NAME-N."""
    if path is None:
        number = 1
        while Path("runs", f"{name}-{number}").exists():
            number += 1
        path = Path("runs", f"{name}-{number}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        used = any(path.iterdir())
    except OSError as error:
        raise UserError(f"the run directory {path} cannot be made ({error.strerror}): choose another --out") from error
    if used:
        raise UserError(f"{path} is not empty: go on with --resume {path}, or choose another --out")
    return path


def one_hot(labels: Any, classes: int, dtype: Any) -> Any:
    """Return targets (B, J): 1 at each label (B,), else 0."""
    return (labels[:, None] == array_module(labels).arange(classes)).astype(dtype)


def progress(batches: Iterator[Any], count: int, label: str) -> Iterator[Any]:
    """Show a bar on a terminal; elsewhere a line an epoch is enough."""
    return tqdm(batches, label, count, leave=False, disable=not sys.stderr.isatty())


def describe(row: dict[str, Any], epochs: int, seconds: float) -> str:
    """Return the line printed after an epoch."""
    validation = f"  validation error {row['validation_error']:.2f}%" if "validation_error" in row else ""
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}{validation}  "
        f"test error {row['test_error']:.2f}%  {seconds:.1f} s"
    )


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; options that were not given are absent from its result."""
    parser = argparse.ArgumentParser(
        prog="python -m capslite.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", choices=DATASETS, help="default: posed-digits")
    data.add_argument("--data-dir", metavar="DIR", help="where the files are; default: CAPSLITE_DATA, else download")
    data.add_argument("--limit", type=int, metavar="N", help="train on the first N images only")
    data.add_argument("--validation", type=int, metavar="N", help="hold out the last N training images (default: 0)")
    model = parser.add_argument_group("model")
    model.add_argument("--model", choices=tuple(CONFIGS), help="default: small")
    model.add_argument("--routing", type=int, metavar="R", help="routing iterations (default: 3)")
    model.add_argument(
        "--no-reconstruction", dest="reconstruction", action="store_false", help="leave out the decoder and its loss"
    )
    training = parser.add_argument_group("training")
    epochs = ", ".join(f"{count} for {name}" for name, count in EPOCHS.items())
    training.add_argument("--epochs", type=int, metavar="N", help=f"passes over the data (default: {epochs})")
    training.add_argument("--batch-size", type=int, metavar="B", help="images a step (default: 128)")
    training.add_argument(
        "--learning-rate", type=float, metavar="X", help="Adam's, times 0.96 every 2000 steps (default: 0.001)"
    )
    training.add_argument("--seed", type=int, metavar="N", help="of weights, order and shifts (default: 0)")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", choices=DEVICES, help="default: auto, the GPU if there is one")
    machine.add_argument("--threads", type=int, metavar="N", help="processor threads (default: one a core)")
    runs = parser.add_argument_group("run directory")
    runs.add_argument("--out", type=Path, metavar="RUN", help="default: runs/DATASET-MODEL-N, the next free N")
    runs.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with this run; only --epochs, --device, --threads and --data-dir"
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    given = vars(make_parser().parse_args(arguments))
    resumed, out = given.pop("resume", None), given.pop("out", None)
    path = resumed or out
    if resumed is not None:
        fixed = given.keys() - {"epochs", "device", "threads", "data_dir"}
        if fixed or out is not None:
            names = sorted(f"--{name.replace('_', '-')}" for name in fixed | ({"out"} if out else set()))
            raise UserError(f"{', '.join(names)} cannot change in a run that goes on with --resume: leave it out")
        given = recorded_options(resumed) | given
    options = Options(**given)
    try:
        train(options, path, resume=resumed is not None)
    except KeyboardInterrupt:
        print("\nstopped; finished epochs are saved: go on with --resume and the run directory", file=sys.stderr)
        sys.exit(130)


def recorded_options(run: Path) -> dict[str, Any]:
    """Return the options in a run's config.json."""
    recorded = read_json(run / "config.json").get("options")
    if not isinstance(recorded, dict) or recorded.keys() != {field.name for field in fields(Options)}:
        raise UserError(f"{run / 'config.json'} holds no options of a run: restore it, or train again")
    return recorded


if __name__ == "__main__":
    run_command(main)
