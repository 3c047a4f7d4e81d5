"""Training on synthetic lines: text, rendering, degradation, batches, and the Lightning module."""
