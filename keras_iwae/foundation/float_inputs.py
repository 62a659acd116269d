"""What a user's policy is for are networks: events are float32 up to them, and so is what is made of what they give."""


class TakesFloat32:
    """A Keras layer whose inputs stay float32 under mixed precision: counts and levels pass what a half float holds."""

    @property
    def input_dtype(self) -> str:
        return "float32"


class ReadsWeightsAsTheyAre(TakesFloat32):
    """A model whose policy is for the layers that it calls.

    Keras casts every weight that is read in a call to the `compute_dtype` of the layer called. What a model reads of
    its parts by their methods makes densities, and is the same inside its call and outside.
    """

    variable_dtype: str

    @property
    def compute_dtype(self) -> str:
        return self.variable_dtype
