"""A picture becomes a reading. Does not import Gradio."""
