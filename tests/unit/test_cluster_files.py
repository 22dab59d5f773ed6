"""The cluster files are read by Ray's own validator and autoscaler: would it do what their comments promise?"""

import copy
import itertools
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.common_pb2 import LabelSelectorOperator
from ray.scripts.scripts import drain_node

from landscape_ray import __version__
from landscape_ray.config import load_config
from landscape_ray.sweep.cluster.resources import FORWARDED_PREFIXES
from landscape_ray.sweep.driver import STOP_GRACE_S

ROOT = Path(__file__).parents[2]
CLOUDS = ("cluster.yaml", "jobs/cluster-gcp.yaml")
FILES = (*CLOUDS, "jobs/rayjob.yaml")
IMAGE = "rayproject/ray-llm:2.60.0-py312-cu130"
ENGINE_START_S = 600
"""More than an engine is expected to take until it is up: downloading 16 GB and compiling."""
SECRET = re.compile(
    r"hf_[A-Za-z0-9]{8,}|AKIA[A-Z0-9]{8,}|BEGIN [A-Z ]*PRIVATE KEY|(?i:password|secret_access_key)\s*[:=]"
)


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def autoscaler_config(name: str) -> AutoscalingConfig:
    """Return what autoscaler v2 makes of a file; it validates on the way."""
    config = load(name)
    if name in CLOUDS:
        return AutoscalingConfig(config, skip_content_hash=True)
    cluster = {"metadata": {"name": "landscape", "namespace": "default"}, "spec": config["spec"]["rayClusterSpec"]}
    return AutoscalingConfig(_derive_autoscaling_config_from_ray_cr(cluster), skip_content_hash=True)


def launched(
    name: str, num_engines: int, unavailable: tuple[str, ...] = (), market_types: tuple[str, ...] = ()
) -> dict[str, int]:
    """Return how many nodes of which type Ray's autoscaler starts for so many waiting engines.

    Args:
        name: The file.
        num_engines: Engines that wait.
        unavailable: Types of nodes that the cloud has just refused.
        market_types: As `run.node_labels` has them, in order of preference.
    """
    config = autoscaler_config(name)
    labels = [[("ray.io/market-type", LabelSelectorOperator.LABEL_OPERATOR_IN, [market])] for market in market_types]
    engine = ResourceRequestUtil.make({"CPU": 1, "GPU": 1}, label_selectors=labels or None)
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_worker_nodes(),
            idle_timeout_s=config.get_idle_timeout_s(),
            resource_requests=ResourceRequestUtil.group_by_count([engine] * num_engines),
            cloud_resource_availabilities=dict.fromkeys(unavailable, 0.0),
            recoverable_resource_availabilities=dict.fromkeys(unavailable, 0.0),
        )
    )
    return {launch.instance_type: launch.count for launch in reply.to_launch}


def keys(node: Any, path: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}/{key}"
            yield from keys(value, f"{path}/{key}")


def commands(config: Any) -> list[str]:
    return [command for key, value in config.items() if key.endswith("_commands") for command in value]


# -- what Ray makes of them


@pytest.mark.parametrize("name", CLOUDS)
def test_rays_validator_accepts_it(name: str) -> None:
    validate_config(prepare_config(load(name)))


@pytest.mark.parametrize("name", CLOUDS)
def test_ray_drops_no_key_of_it(name: str) -> None:
    config = load(name)
    assert set(keys(config)) <= set(keys(prepare_config(copy.deepcopy(config))))
    dropped = {**copy.deepcopy(config), "min_workers": 1}  # what this test is for: Ray says nothing of it
    assert not set(keys(dropped)) <= set(keys(prepare_config(dropped)))


@pytest.mark.parametrize("name", CLOUDS)
def test_no_default_of_ray_is_mixed_into_nodes_or_commands(name: str) -> None:
    """Ray's default commands open the dashboard to the network and install a nightly build."""
    config, prepared = load(name), prepare_config(load(name))
    assert set(prepared["available_node_types"]) == set(config["available_node_types"])
    assert set(commands(prepared)) == set(commands(config))


@pytest.mark.parametrize("name", FILES)
def test_without_work_no_worker_is_started(name: str) -> None:
    assert launched(name, 0) == {}
    assert {config.min_worker_nodes for config in autoscaler_config(name).get_node_type_configs().values()} == {0}


@pytest.mark.parametrize("name", CLOUDS)
def test_engines_get_spot_nodes_first_and_others_when_there_are_none(name: str) -> None:
    assert launched(name, 8) == {"gpu_spot": 8}
    assert launched(name, 2, unavailable=("gpu_spot",)) == {"gpu_on_demand": 2}
    assert launched(name, 1, unavailable=("gpu_on_demand",)) == {"gpu_spot": 1}


def test_a_preference_by_labels_holds_out_for_spot_as_the_docs_warn() -> None:
    assert launched("cluster.yaml", 2, unavailable=("gpu_spot",), market_types=("spot", "on-demand")) == {"gpu_spot": 2}
    assert launched("cluster.yaml", 2, market_types=("on-demand",)) == {"gpu_on_demand": 2}


def test_kuberay_starts_a_spot_pod_per_engine_up_to_its_bound() -> None:
    assert launched("jobs/rayjob.yaml", 3) == {"gpu-spot": 3}
    assert launched("jobs/rayjob.yaml", 99) == {"gpu-spot": 8}


@pytest.mark.parametrize("name", FILES)
def test_engines_fit_the_workers_and_not_the_head(name: str) -> None:
    config = autoscaler_config(name)
    resources = {key: node.resources for key, node in config.get_node_type_configs().items()}
    head = resources.pop(config.get_head_node_type())
    assert (head.get("CPU", 0), head.get("GPU", 0)) == (0, 0)
    assert {node["GPU"] for node in resources.values()} == {1}
    assert all(node["CPU"] >= 1 for node in resources.values())


@pytest.mark.parametrize("name", FILES)
def test_workers_say_whether_they_are_spot(name: str) -> None:
    config = autoscaler_config(name)
    labels = {key: node.labels for key, node in config.get_node_type_configs().items()}
    del labels[config.get_head_node_type()]
    spot, on_demand = {"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}
    assert labels == ({"gpu_spot": spot, "gpu_on_demand": on_demand} if name in CLOUDS else {"gpu-spot": spot})


@pytest.mark.parametrize("name", FILES)
def test_nodes_are_not_idle_while_an_engine_starts(name: str) -> None:
    assert autoscaler_config(name).get_idle_timeout_s() > ENGINE_START_S


# -- what the clouds are asked for


def test_on_aws_spot_nodes_are_spot_and_are_terminated() -> None:
    config = load("cluster.yaml")
    nodes = {name: node["node_config"] for name, node in config["available_node_types"].items()}
    market = {name: node.get("InstanceMarketOptions", {}).get("MarketType") for name, node in nodes.items()}
    assert market == {"head": None, "gpu_spot": "spot", "gpu_on_demand": None}
    assert config["provider"]["cache_stopped_nodes"] is False
    profiles = {name: node["IamInstanceProfile"]["Name"] for name, node in nodes.items()}
    worker = "landscape-ray-worker"
    assert profiles == {"head": "landscape-ray-head", "gpu_spot": worker, "gpu_on_demand": worker}
    # Left out, Ray fills in an image of its own, with a driver too old for the container.
    assert {node["ImageId"] for node in nodes.values()} == {"ami-00000000000000000"}


def test_on_google_cloud_spot_nodes_are_spot_and_are_deleted() -> None:
    nodes = {n: node["node_config"] for n, node in load("jobs/cluster-gcp.yaml")["available_node_types"].items()}
    model = {name: node.get("scheduling", {}).get("provisioningModel") for name, node in nodes.items()}
    assert model == {"head": None, "gpu_spot": "SPOT", "gpu_on_demand": "STANDARD"}
    assert nodes["gpu_spot"]["scheduling"]["instanceTerminationAction"] == "DELETE"
    # Machines with a GPU cannot be moved while they run.
    assert nodes["gpu_spot"]["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert nodes["gpu_on_demand"]["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert all(nodes[name]["serviceAccounts"] for name in ("gpu_spot", "gpu_on_demand"))


@pytest.mark.parametrize("name", CLOUDS)
def test_one_pinned_image_and_one_pinned_version_everywhere(name: str) -> None:
    config = load(name)
    assert config["docker"]["image"] == IMAGE
    assert not any("docker" in node for node in config["available_node_types"].values())
    assert f'"landscape-ray=={__version__}"' in config["setup_commands"][0]


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_starts_autoscaler_v2_and_keeps_its_dashboard_to_itself(name: str) -> None:
    start = load(name)["head_start_ray_commands"][-1]
    assert "RAY_enable_autoscaler_v2=1 " in start.partition("ray start --head")[0]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start
    assert start.endswith("--dashboard-host=127.0.0.1")


@pytest.mark.parametrize("name", FILES)
def test_a_stopped_job_has_time_to_let_running_visits_end(name: str) -> None:
    """Ray kills it after 3 s otherwise."""
    text = (ROOT / name).read_text(encoding="utf-8")
    waits = re.search(r'RAY_JOB_STOP_WAIT_TIME_S(?:=|, value: ")(\d+)', text)
    assert waits is not None
    assert int(waits[1]) > STOP_GRACE_S


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_starts_with_and_without_secrets(name: str, tmp_path: Path) -> None:
    ray = fake(tmp_path, "ray", 'echo "$HF_TOKEN|$*"')
    start = load(name)["head_start_ray_commands"][-1].replace("ulimit -n 65536; ", "")
    assert shell(start, ray).startswith("|start --head")
    (tmp_path / "landscape-ray.env").write_text("HF_TOKEN=of-a-test\n", encoding="utf-8")
    assert shell(start, ray).startswith("of-a-test|start --head")


@pytest.mark.parametrize(("name", "answers"), [("cluster.yaml", "exit 0"), ("jobs/cluster-gcp.yaml", "echo TRUE")])
def test_a_spot_notice_drains_the_node(name: str, answers: str, tmp_path: Path) -> None:
    """The third look at the cloud's notices finds one."""
    watch = load(name)["worker_start_ray_commands"][-1]
    assert watch.startswith("nohup sh -c '")
    assert watch.endswith("&")  # or starting the node would wait for its end
    looks = "curl.looks"
    url = "*/instance-action" if name == "cluster.yaml" else "*/preempted"
    fake(
        tmp_path,
        "curl",
        f'case "$*" in {url}) echo >> {looks}; test $(wc -l < {looks}) -ge 3 || exit 22; {answers};; esac',
    )
    fake(tmp_path, "sleep", "true")
    bin_ = fake(tmp_path, "ray", 'for word in "$@"; do echo "$word"; done')
    told = shell(re.sub(r">/tmp/\S+ 2>&1 &$", "", watch), bin_).splitlines()
    assert (tmp_path / looks).read_text() == "\n" * 3
    options = drain_node.make_context("drain-node", told[1:]).params
    assert told[0] == "drain-node"
    assert options["reason"] == "DRAIN_NODE_REASON_PREEMPTION"
    assert options["node_id"] is None  # the node it runs on
    assert options["deadline_remaining_seconds"] == {"cluster.yaml": 100, "jobs/cluster-gcp.yaml": 25}[name]


def fake(folder: Path, name: str, script: str) -> Path:
    """Put a program of that name into a folder `bin`; return that."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    program = bin_ / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(stat.S_IRWXU)
    return bin_


def shell(command: str, bin_: Path) -> str:
    environment = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(bin_.parent)}
    return subprocess.run(  # noqa: S603 - of the files tested
        ["/bin/bash", "-c", command],
        env=environment,
        cwd=bin_.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


# -- the RayJob, by the rules of KubeRay's own validation (ray-operator/controllers/ray/utils/validation.go)


@pytest.fixture
def job() -> Any:
    return load("jobs/rayjob.yaml")["spec"]


@pytest.fixture
def pods(job: Any) -> dict[str, Any]:
    cluster = job["rayClusterSpec"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {name: group["template"]["spec"] for name, group in {"head": cluster["headGroupSpec"], **groups}.items()}


def test_the_rayjob_has_a_kind_and_a_name_that_kubernetes_takes() -> None:
    document = load("jobs/rayjob.yaml")
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", document["metadata"]["name"])


def test_the_rayjob_is_retried_within_bounds_and_its_cluster_deleted(job: Any) -> None:
    assert job["submissionMode"] == "K8sJobMode"
    assert job["backoffLimit"] > 0
    assert job["activeDeadlineSeconds"] > 0
    assert job["shutdownAfterJobFinishes"] is True
    assert job["ttlSecondsAfterFinished"] >= 0
    assert "deletionStrategy" not in job  # its rules exclude shutdownAfterJobFinishes
    assert not {"clusterSelector", "suspend"} & set(job)


def test_the_rayjob_runs_this_program_and_keeps_results_where_a_new_cluster_finds_them(
    job: Any, pods: dict[str, Any]
) -> None:
    program, verb, config, *options = job["entrypoint"].split()
    assert (program, verb) == ("landscape-ray", "run")
    assert options[options.index("--out") + 1].startswith("s3://")
    settings = [value for option, value in itertools.pairwise(options) if option == "--set"]
    asked = load_config(ROOT / "jobs/configs/demo.yaml", settings, environment={}).run
    assert asked.accelerator == "gpu"  # there is no GPU yet when it starts
    assert asked.engines == sum(group["maxReplicas"] for group in job["rayClusterSpec"]["workerGroupSpecs"])
    assert asked.node_labels == ()
    mounts = {mount["name"]: mount["mountPath"] for mount in pods["head"]["containers"][0]["volumeMounts"]}
    assert config == f"{mounts['sweep']}/sweep.yaml"


def test_the_rayjob_asks_for_autoscaler_v2_and_a_token(job: Any, pods: dict[str, Any]) -> None:
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}  # needs rayVersion
    assert cluster["rayVersion"] == IMAGE.partition(":")[2].partition("-")[0]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert not any("restartPolicy" in pod for pod in pods.values())  # autoscaler v2 wants Never, its default
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert not {"labels", "resources"} & set(group["rayStartParams"])


def test_the_rayjob_uses_one_image_as_user_of_no_rights(pods: dict[str, Any]) -> None:
    assert {len(pod["containers"]) for pod in pods.values()} == {1}
    assert {pod["containers"][0]["image"] for pod in pods.values()} == {
        f"registry.example.com/landscape-ray:{__version__}"
    }
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods.values())
    for pod in pods.values():
        resources = pod["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_the_rayjob_names_secrets_and_holds_none(pods: dict[str, Any]) -> None:
    variables = {
        variable.pop("name"): variable for pod in pods.values() for variable in pod["containers"][0].get("env", [])
    }
    assert variables == {
        "RAY_JOB_STOP_WAIT_TIME_S": {"value": "30"},
        "HF_TOKEN": {"valueFrom": {"secretKeyRef": {"name": "landscape-ray", "key": "hf-token"}}},
    }


# -- all of them


def test_the_image_has_the_base_of_the_clusters_and_does_not_end_as_root() -> None:
    lines = (ROOT / "jobs/Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"ARG BASE={IMAGE}" in lines
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER ray"
    assert "VOLUME /cache" in lines
    mounts = load("jobs/rayjob.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"][
        "containers"
    ][0]
    assert mounts["volumeMounts"] == [{"name": "cache", "mountPath": "/cache"}]


@pytest.mark.parametrize("name", [*FILES, "jobs/Dockerfile"])
def test_it_holds_no_secret_and_opens_no_dashboard(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not SECRET.search(text)
    assert "0.0.0.0" not in text  # noqa: S104 - looked for, not bound
    assert ":latest" not in text


def test_no_default_address_of_a_dashboard_remains_in_what_ray_makes_of_the_files() -> None:
    for name in CLOUDS:
        prepared = prepare_config(load(name))
        assert "0.0.0.0" not in str(prepared)  # noqa: S104 - looked for, not bound
    opened = load("cluster.yaml")
    del opened["head_start_ray_commands"]  # what this test is for
    assert "--dashboard-host=0.0.0.0" in str(prepare_config(opened))


def test_what_looks_like_a_secret_is_found() -> None:
    for secret in ("hf_" + "a" * 20, "AKIA" + "B" * 16, "password: x", "AWS_SECRET_ACCESS_KEY=x"):
        assert SECRET.search(secret)


# -- docs/operations.md


def test_the_messages_that_operators_are_told_about_are_those_of_the_code() -> None:
    table = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## What each error asks of you")[2]
    pieces = re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "landscape_ray").rglob("*.py")]
    assert len(pieces) > 20
    assert [piece for piece in pieces if not any(piece in source for source in sources)] == []


def test_the_variables_that_reach_engines_are_those_of_the_code() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    section = text.partition("## Variables that reach engines")[2].partition("directly to each engine")[0]
    assert tuple(re.findall(r"`([A-Z]+_)`", section)) == FORWARDED_PREFIXES
