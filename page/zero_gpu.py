"""Have the page run on ZeroGPU, the only hardware on which a free account may host it."""

import os


def declare_gpu_function() -> None:
    """Register a function for the GPU where the Space runs on ZeroGPU; elsewhere do nothing.

    A Space on ZeroGPU that has registered none before its first `launch()` is stopped. This one
    is never called: a digit is read in milliseconds on the CPU, and a GPU would have to be waited
    for. Importing `spaces` imports PyTorch, some 400 MB, so it is imported there only.
    """
    if not os.environ.get("SPACES_ZERO_GPU"):
        return
    import spaces  # installed by the Space's builder, which picks its version

    @spaces.GPU
    def never_called():
        """Be there."""
