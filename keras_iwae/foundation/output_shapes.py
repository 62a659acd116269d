"""What shapes a part of a model gives, for `summary()` and wherever else Keras asks."""

from typing import Any

import keras


class GivesShapes:
    """A Keras layer whose output shapes are those of its `call`, run symbolically: Keras asks for them by a formula."""

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors without values of what `call` gives."""
        # What a layer without the method below does.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, input_shape: tuple) -> Any:
        """Shapes of what `call` gives for inputs of this shape."""
        outputs = self.compute_output_spec(keras.KerasTensor(input_shape, dtype=keras.config.floatx()))
        return keras.tree.map_structure(lambda each: each.shape, outputs)
