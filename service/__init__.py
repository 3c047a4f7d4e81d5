"""The HTTP service: a BentoML class around the public `OCRformer`, and what an operations team asks of it."""
