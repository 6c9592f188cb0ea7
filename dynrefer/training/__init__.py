"""Training: features cached from the frozen encoder, batches, schedule, and the loop that survives being killed."""

from dynrefer.training.trainer import train

__all__ = ["train"]
