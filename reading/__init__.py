"""A picture becomes a reading. Does not import Gradio."""


def read(image, model=None):
    """Read the number in a picture.

    It is `reading.reader.read`; see there. PyTorch is imported only when this is called.
    """
    from reading.reader import read

    return read(image, model)
