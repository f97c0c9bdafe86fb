"""The page that visitors see, and the limits that keep its server alive."""
