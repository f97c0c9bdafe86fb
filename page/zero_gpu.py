"""Let the page run on ZeroGPU, the only hardware on which a free account may host it."""

import os


def declare_gpu_function() -> None:
    """Register a GPU function if the page runs on ZeroGPU, which stops Spaces that have none."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return
    import spaces  # imports PyTorch, 400 MB; the Space's builder picks its version

    @spaces.GPU
    def never_called():
        """Registered so that ZeroGPU accepts the Space; reading a digit needs no GPU."""
