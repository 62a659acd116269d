"""What a server is started with: files that its protos take, and a check that tells a loaded model from others."""

import http.server
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
# Of TF Serving's session_bundle_config.proto and monitoring_config.proto, as published: name, number, type.
INT64 = ".google.protobuf.Int64Value"
MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, INT64),
        ("batch_timeout_micros", 2, INT64),
        ("max_enqueued_batches", 3, INT64),
        ("num_batch_threads", 4, INT64),
    ],
    "MonitoringConfig": [("prometheus_config", 1, ".serving.PrometheusConfig")],
    "PrometheusConfig": [("enable", 1, "bool"), ("path", 2, "string")],
}


def message(name):
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package="serving", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    kinds = descriptor_pb2.FieldDescriptorProto
    for each, fields in MESSAGES.items():
        described = file.message_type.add(name=each)
        for field, number, kind in fields:
            own = {"type": getattr(kinds, f"TYPE_{kind.upper()}")} if kind[0] != "." else {}
            typed = own or {"type": kinds.TYPE_MESSAGE, "type_name": kind}
            described.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL, **typed)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"serving.{name}"))()


def test_the_files_are_what_the_server_reads():
    batching = text_format.Parse((ROOT / "deploy" / "batching.config").read_text(), message("BatchingParameters"))
    assert batching.max_batch_size.value == 64
    assert batching.num_batch_threads.value >= 1
    monitoring = text_format.Parse((ROOT / "deploy" / "monitoring.config").read_text(), message("MonitoringConfig"))
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/metrics"
    # It would see a name that is none.
    with pytest.raises(text_format.ParseError, match="max_batch"):
        text_format.Parse("max_batch { value: 64 }", message("BatchingParameters"))


def health_command(port):
    lines = re.search(r"- -c\n +- >-\n((?: {10}.*\n)+)", COMPOSE).group(1)
    command = " ".join(line.strip() for line in lines.splitlines())
    assert "/8501;" in command
    return command.replace("$$", "$").replace("/8501;", f"/{port};")


@pytest.mark.parametrize(
    ("state", "status", "healthy"), [("AVAILABLE", 200, True), ("LOADING", 200, False), ("", 404, False)]
)
def test_healthy_is_a_model_that_answers(state, status, healthy):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = f'{{"model_version_status": [{{"version": "1", "state": "{state}"}}]}}'.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["bash", "-c", health_command(server.server_port)]
        done = subprocess.run(command, env=os.environ | {"MODEL_NAME": "mnist-50"}, capture_output=True, timeout=20)
        server.shutdown()
    assert (done.returncode == 0) == healthy
    assert asked == ["/v1/models/mnist-50"]


def test_unhealthy_is_a_port_where_nobody_is():
    done = subprocess.run(["bash", "-c", health_command(1)], capture_output=True, timeout=20)
    assert done.returncode != 0


def launched(folder, *words):
    """What each of two nodes is started with by the Slurm script: TF_CONFIG, and the words of the command."""
    commands = {
        "scontrol": 'printf "node1\\nnode2\\n"',
        "srun": 'shift; for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done',
        "keras-iwae": 'echo "$TF_CONFIG"; printf "%s|" "$@"; echo',
    }
    for name, does in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{does}\n")
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    environment |= {"SLURM_JOB_ID": "70001", "SLURM_JOB_NODELIST": "node[1-2]"}
    script = ["bash", ROOT / "deploy" / "slurm.sh", *words]
    done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines[::2]], [line.split("|")[:-1] for line in lines[1::2]]


def test_a_slurm_job_is_a_process_a_node_and_goes_on_when_it_is_started_again(tmp_path):
    places, words = launched(tmp_path, "runs/a b", "--dataset", "digits")
    assert words == [["train", "--out", "runs/a b", "--dataset", "digits"]] * 2
    assert [place["task"] for place in places] == [{"type": "worker", "index": i} for i in (0, 1)]
    workers = places[0]["cluster"]["worker"]
    assert workers == places[1]["cluster"]["worker"] == ["node1:30001", "node2:30001"]
    (tmp_path / "runs" / "a b").mkdir(parents=True)
    (tmp_path / "runs" / "a b" / "config.json").write_text("{}")
    resumed = ["train", "--resume", "--out", "runs/a b"]
    assert launched(tmp_path, "runs/a b", "--dataset", "digits")[1] == [resumed] * 2
    given = "--epochs", "40", "--dataset", "digits", "--devices=4"
    assert launched(tmp_path, "runs/a b", *given)[1] == [[*resumed, "--epochs", "40", "--devices=4"]] * 2


def test_pods_of_a_ray_cluster_have_one_image_one_disk_and_a_head_without_jobs():
    cluster = yaml.safe_load((ROOT / "deploy" / "ray-cluster.yaml").read_text())["spec"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0", "ray-client-server-port": "10001"}
    pods = [group["template"]["spec"] for group in (head, workers)]
    for name in ("image", "env", "volumeMounts"):
        assert pods[0]["containers"][0][name] == pods[1]["containers"][0][name]
    assert pods[0]["volumes"] == pods[1]["volumes"]
    asked = pods[1]["containers"][0]["resources"]["requests"]["cpu"]
    assert asked == workers["rayStartParams"]["num-cpus"]
