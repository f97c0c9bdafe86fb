"""What train.py runs. Imports neither Gradio nor page."""
