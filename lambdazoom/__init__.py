"""LambdaZoom: an image in, a Deep Zoom pyramid and all its metadata out. Nothing is imported or read here."""

__version__ = "0.1.0"
