"""Read the number in a picture. This package doesn't import Gradio."""


def read(image, model=None):
    """Read the number in a picture; see `reading.reader.read`."""
    # The page's process imports this package without PyTorch.
    from reading.reader import read

    return read(image, model)
