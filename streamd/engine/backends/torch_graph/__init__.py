"""ONNX graphs on torch: what `backends/torch.py` is made of. Only this package imports torch."""
