"""What train.py runs. Knows no Gradio and no page."""
