"""A picture becomes a reading. Knows no Gradio."""
