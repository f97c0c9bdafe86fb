"""What the visitor sees, and what keeps the server alive."""
