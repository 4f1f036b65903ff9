"""Whole networks and their named configurations."""

from capslite.models.capsnet import CapsNet, CapsNetConfig, Losses, Output

__all__ = ["CONFIGS", "CapsNet", "CapsNetConfig", "Losses", "Output"]

CONFIGS = {"paper": CapsNetConfig.paper, "small": CapsNetConfig.small}
