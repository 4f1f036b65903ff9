"""Runs that take a moment: a tiny network on tiny digits, in place of the real ones."""

from dataclasses import replace

import pytest

from capslite.data import posed_digits
from capslite.models import CONFIGS, CapsNetConfig

DIGITS = posed_digits(60, 20)


def tiny(image_shape=(28, 28, 1), classes=10):
    """Return the small network's config at a fraction of its width."""
    small = CapsNetConfig.small(image_shape, classes)
    return replace(small, conv_channels=4, types=2, digit_dimension=4, decoder=(8,))


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Work in an empty directory, where the data set is 60 + 20 digits and the small network a tiny one."""
    monkeypatch.chdir(tmp_path)
    for module in ("train", "evaluate"):
        monkeypatch.setattr(f"capslite.{module}.load_dataset", lambda *_: DIGITS)
    monkeypatch.setitem(CONFIGS, "small", tiny)
