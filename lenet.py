"""The LeNet of the report "Handwritten digit recognition using CNN".

    model = LeNet.from_pretrained("weights")    # a folder, or "owner/name" on the Hugging Face Hub
    logits = model(images)                      # (N, 1, 28, 28) in [0, 1] -> (N, 10)
    probabilities = model.probabilities(logits)

The images must look like MNIST's: `reading.preprocess.to_mnist` makes them so.
"""

from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin, constants, hf_hub_download
from safetensors.torch import load_file
from torch import nn


class LeNet(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="pytorch",
    pipeline_tag="image-classification",
    license="mit",
):
    """Two 5×5 convolutions, average pooling, three linear layers: 61,706 parameters.

    As in the report, there is no activation between the linear layers.

    Parameters
    ----------
    second_sigmoid : bool
        Whether a sigmoid follows the second convolution. The report's table has none, but its
        figures need one (README, "The report, repeated").
    temperature : float, positive
        `probabilities` divides the logits by it, so that 90% means right 9 times in 10.
        `train.py` fits it; config.json keeps it. ValueError is raised if it isn't positive.
    """

    def __init__(self, second_sigmoid: bool = True, temperature: float = 1.0):
        super().__init__()
        if not isinstance(second_sigmoid, bool):
            raise ValueError(f"second_sigmoid must be True or False, not {second_sigmoid!r}")
        if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be a positive number, not {temperature!r}")
        self.temperature = temperature
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.activation1 = nn.Sigmoid()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.activation2 = nn.Sigmoid() if second_sigmoid else nn.Identity()
        self.pool2 = nn.AvgPool2d(2)
        self.linear1 = nn.Linear(400, 120)
        self.linear2 = nn.Linear(120, 84)
        self.linear3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, 10) of the ten digits; raise ValueError for another shape.

        Parameters
        ----------
        x : float32 tensor of shape (N, 1, 28, 28), in [0, 1], 0 = paper, 1 = ink
            Digits normalized like MNIST's (`reading.preprocess.to_mnist`).
        """
        return self.layers(x)[-1]

    def layers(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the output of each layer for the images that `forward` takes, the logits last.

        Returns
        -------
        layers : list of float32 tensors
            Shapes (N, 6, 28, 28), (N, 6, 14, 14), (N, 16, 10, 10), (N, 16, 5, 5), (N, 120), (N, 84)
            and (N, 10).
        """
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
            raise ValueError(f"LeNet takes images of shape (N, 1, 28, 28), not {tuple(x.shape)}")
        maps1 = self.activation1(self.conv1(x))
        pooled1 = self.pool1(maps1)
        maps2 = self.activation2(self.conv2(pooled1))
        pooled2 = self.pool2(maps2)
        hidden1 = self.linear1(pooled2.flatten(1))
        hidden2 = self.linear2(hidden1)
        return [maps1, pooled1, maps2, pooled2, hidden1, hidden2, self.linear3(hidden2)]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return calibrated probabilities, softmax(logits / temperature), of shape (N, 10).

        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
        """
        return (logits / self.temperature).softmax(dim=1)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id,
        revision,
        cache_dir,
        force_download,
        local_files_only,
        token,
        map_location="cpu",
        strict=True,
        **model_kwargs,
    ):
        """Load the weights for `from_pretrained`, strictly, whatever `strict` says.

        The mixin would accept a pickle, missing weights or no configuration. Here each raises
        ValueError, RuntimeError or OSError.
        """
        if missing := {"second_sigmoid", "temperature"} - model_kwargs.keys():
            raise ValueError(f"{model_id}: config.json lacks {' and '.join(sorted(missing))}")
        file = Path(model_id) / constants.SAFETENSORS_SINGLE_FILE
        if not file.is_file():
            file = hf_hub_download(
                repo_id=model_id,
                filename=constants.SAFETENSORS_SINGLE_FILE,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        weights = load_file(file, device=str(map_location))
        for name, tensor in weights.items():
            if tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise ValueError(f"{file}: {name} holds values that are not finite float32")
        model = cls(**model_kwargs).to(map_location)
        model.load_state_dict(weights, strict=True)
        return model.eval()
