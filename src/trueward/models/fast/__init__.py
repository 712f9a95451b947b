"""The fast path of training: no padding, fused operations, compiled layers."""
