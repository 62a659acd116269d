"""Events are float32 up to the layers that a user's policy is for."""


class TakesFloat32:
    """A Keras layer whose inputs stay float32 under mixed precision: counts and levels pass what a half float holds."""

    @property
    def input_dtype(self) -> str:
        return "float32"
