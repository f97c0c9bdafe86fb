"""An upload's form, watched while it streams by: one file, in a field named `files`."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException

LONGEST_HEADERS = 1024  # bytes, of a part: a file's name is among them


class OneFile:
    """Watch a multipart form for more, or other, than the one file that the page uploads.

    Gradio's parser writes every part that has a file name to the disk, and moves those named
    `files` alone to where uploads are found. It is the same parser as here, so that both see the
    same parts.

    Parameters
    ----------
    content_type : str
        The request's header.

    Raises
    ------
    MultiPartException
        By every method, with a sentence, once the form is not as it should be.
    """

    def __init__(self, content_type: str):
        kind, options = parse_options_header(content_type)
        charset = options.get(b"charset", b"utf-8").lower()  # another would give fields other names
        if kind != b"multipart/form-data" or b"boundary" not in options or charset != b"utf-8":
            raise MultiPartException("An upload is a form with one file.")
        self.complete = False
        self.files = 0
        self.name, self.value, self.size, self.disposition = b"", b"", 0, b""
        names = "part_begin", "header_field", "header_value", "header_end", "headers_finished"
        callbacks = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        try:
            self.parser = MultipartParser(options[b"boundary"], callbacks | {"on_end": self._end})
        except FormParserError as error:
            raise MultiPartException("An upload is a form with one file.") from error

    def write(self, chunk: bytes, last: bool = False) -> None:
        """Watch the next chunk of the body.

        Parameters
        ----------
        chunk : bytes
        last : bool
            Whether the body ends with it.
        """
        try:
            self.parser.write(chunk)
        except FormParserError as error:
            raise MultiPartException("The upload is damaged.") from error
        if last and not (self.complete and self.files):
            raise MultiPartException("The upload broke off.")

    def _part_begin(self) -> None:
        self.size, self.disposition = 0, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += self._counted(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += self._counted(data[start:end])

    def _counted(self, data: bytes) -> bytes:
        self.size += len(data)
        if self.size > LONGEST_HEADERS:
            raise MultiPartException("The file's name is too long.")
        return data

    def _header_end(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name, self.value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.files += 1
        if options.get(b"name") != b"files" or b"filename" not in options or self.files > 1:
            raise MultiPartException("An upload has one file, in a field named “files”.")

    def _end(self) -> None:
        self.complete = True
