"""Warm-up requests: what TF Serving replays while it loads a version, so that no client pays for the first call.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages. Only the fields that a predict request needs are
declared here: the package tensorflow-serving-api has them all, but brings gRPC and asks for a TensorFlow as new as
itself. A message on the wire carries field numbers and no names, so a package name of our own keeps both importable in
one process.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_PACKAGE = "keras_iwae.serving_warmup"
_Field = descriptor_pb2.FieldDescriptorProto

# message -> (field, number, type), numbered as in tensorflow_serving/apis/{model,predict,prediction_log}.proto.
_MESSAGES = {
    "ModelSpec": (("name", 1, "string"), ("signature_name", 3, "string")),
    "InputsEntry": (("key", 1, "string"), ("value", 2, ".tensorflow.TensorProto")),
    "PredictRequest": (("model_spec", 1, f".{_PACKAGE}.ModelSpec"), ("inputs", 2, f".{_PACKAGE}.InputsEntry")),
    "PredictLog": (("request", 1, f".{_PACKAGE}.PredictRequest"),),
    "PredictionLog": (("predict_log", 6, f".{_PACKAGE}.PredictLog"),),
}


def _prediction_log_class() -> type:
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_iwae/serving_warmup.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            # A protobuf map is, on the wire, a repeated message of keys and values.
            label = _Field.LABEL_REPEATED if field == "inputs" else _Field.LABEL_OPTIONAL
            if kind == "string":
                message.field.add(name=field, number=number, label=label, type=_Field.TYPE_STRING)
            else:
                message.field.add(name=field, number=number, label=label, type=_Field.TYPE_MESSAGE, type_name=kind)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog"))


PredictionLog = _prediction_log_class()


def prediction_log(model_name: str, signature_name: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """One predict request as a serialized `tensorflow.serving.PredictionLog`.

    Args:
        model_name: name of the model in the request.
        signature_name: the endpoint.
        inputs: array of each input, by name; the dtypes are those of the endpoint's inputs.

    Returns:
        the message's bytes.

    Example:
        >>> prediction_log("iwae", "sample", {"seed": np.array([0], np.int32)})[:3].hex()
        '32270a'
    """
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model_name, signature_name
    for key, array in inputs.items():
        request.inputs.add(key=key, value=tf.make_tensor_proto(array))
    return log.SerializeToString(deterministic=True)


def write_warmup_requests(saved_model: Path, records: Iterable[bytes]) -> Path:
    """Write the requests where TF Serving looks for them in a SavedModel.

    Args:
        saved_model: the folder that holds `saved_model.pb`.
        records: serialized `PredictionLog` messages; TF Serving takes 1000 at most.

    Returns:
        the file.

    References:
        TensorFlow Serving, SavedModel Warmup, https://www.tensorflow.org/tfx/serving/saved_model_warmup.
    """
    file = saved_model / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)
    return file
