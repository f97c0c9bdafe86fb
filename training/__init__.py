"""Train LeNet: data, recipes, steps, the files of a run, and the push to the Hub."""
