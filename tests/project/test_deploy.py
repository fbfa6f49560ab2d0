"""The files of `deploy` are in themselves consistent, and ask for what the program has.

No container was ever started here: what can be is checked without an engine. The commands are read
as the program reads them, and those of compose.yaml are run as processes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.kit import Home
from tests.cluster.rays import WATCH
from tests.docs.pages import ROOT

from hocket._version import __version__
from hocket.app.load import load_plan
from hocket.cli.main import app
from hocket.core.values import SECOND, parse_duration
from hocket.server.health import PATHS
from hocket.server.settings import PORT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = sorted(KUBERNETES.rglob("*.yaml"))
SETS = {"workers": KUBERNETES, "ray": KUBERNETES / "ray"}
"""What is applied with `kubectl apply -k`, one or the other."""
BESIDE = KUBERNETES / "postgres.yaml"
"""What is applied before each of them, to try it with."""
PAGE = ROOT / "docs/how-to/run-in-production.md"
IMAGE = f"hocket:{__version__}"
SPARE = 15.0
"""Seconds beyond its drain that a process must have to end."""
RAY = """
import sys
from ray.scripts.scripts import start
start.make_context("ray start", sys.argv[1:])
"""


# ---- what is in them ----


@cache
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8")))


def files_of(folder: Path, among: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file that a kustomization applies, and those of the folders that it names.

    As kustomize does, it takes files of its own folder alone, and no folder that it lies in.
    """
    told = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    for name in told["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            assert path not in folder.parents and path not in among, f"{folder}: {name}"
            yield from files_of(path, (*among, folder))
        else:
            assert path.parent == folder and path.exists(), f"{folder}: {name}"
            yield path


@cache
def objects(applied: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Every object that there is once a set is applied, by kind and name."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in [*files_of(SETS[applied].resolve()), BESIDE]:
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            key = (document["kind"], document["metadata"]["name"])
            assert key not in found, f"{path} has it again"
            found[key] = document
    return found


def all_objects() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every object: the set that it is of, its kind, and itself."""
    for applied in SETS:
        for (kind, _), one in objects(applied).items():
            yield applied, kind, one


def of_kind(*kinds: str) -> list[Any]:
    found = [
        pytest.param(applied, one, id=f"{applied} {one['metadata']['name']}")
        for applied, kind, one in all_objects()
        if kind in kinds
    ]
    assert found
    return found


WORKLOADS = of_kind("Deployment", "StatefulSet")


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    return dict(workload["spec"]["template"]["spec"])


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (one,) = pod(workload)["containers"]
    return dict(one)


def filled(text: str) -> str:
    """Put the defaults of compose's variables in."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def all_commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of the files: where it is, and its words."""
    for name, service in compose()["services"].items():
        if name != "postgres":
            yield f"compose {name}", ["hocket", *map(filled, service["command"])]
    for applied, kind, one in all_objects():
        if kind not in {"Deployment", "StatefulSet"}:
            continue
        has, name = container(one), f"{applied} {one['metadata']['name']}"
        if has.get("command", [])[:1] == ["sh"]:
            (script,) = has["args"]
            for number, part in enumerate(script.split("&&")):
                words = shlex.split(part)
                yield f"{name} {number}", words[1:] if words[0] == "exec" else words
        elif has["image"] == IMAGE:
            yield name, [*has.get("command", ["hocket"]), *has["args"]]
    said = dockerfile()["CMD"][0]
    yield "Dockerfile", ["hocket", *json.loads(said)]


def dockerfile() -> dict[str, list[str]]:
    """The instructions of the last stage but COPY, and all COPY, by their word."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest.strip())
    return found


COMMANDS = [pytest.param(words, id=name) for name, words in all_commands()]


def options(words: list[str]) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+)=(\S+)", " ".join(words)))


def drain_of(words: list[str]) -> float:
    return parse_duration(options(words)["drain"]) / SECOND


# ---- commands ----


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one(words: list[str]) -> None:
    program, *rest = words
    if program == "hocket":
        command, _, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
        assert command.__module__.startswith("hocket.cli.")
        return
    assert (program, rest[0]) == ("ray", "start")
    done = subprocess.run(
        [sys.executable, "-c", RAY, *rest[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_word_that_is_no_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--drive-none"):
        app.parse_args(["serve", "--drive-none"], exit_on_error=False, print_error=False)
    wrong = [sys.executable, "-c", RAY, "--heads"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("where", [DEPLOY / "compose.yaml", DEPLOY / "Dockerfile", *MANIFESTS])
def test_every_variable_is_one_that_the_program_reads(where: Path) -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"\b(?:HOCKET|RAY)_[A-Z_]+\b", where.read_text("utf-8")))
    assert [name for name in named if name not in code] == []


# ---- compose ----


def test_compose_services_have_what_they_name() -> None:
    spec = compose()
    used = {name for one in spec["services"].values() for name in one["secrets"]}
    assert used == spec["secrets"].keys()
    page = PAGE.read_text("utf-8")
    assert [one["file"] for one in spec["secrets"].values() if one["file"] not in page] == []
    volumes = [v for one in spec["services"].values() for v in one["volumes"]]
    assert {v.partition(":")[0] for v in volumes if v[0] != "."} == spec["volumes"].keys()
    assert all((DEPLOY / v.partition(":")[0]).is_dir() for v in volumes if v[0] == ".")
    for name, one in spec["services"].items():
        assert one["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert one["healthcheck"]["test"][0] == "CMD" and one["restart"] == "unless-stopped"
        assert name == "postgres" or one["image"] == IMAGE
        assert name == "postgres" or one["environment"]["HOCKET_JOURNAL"] == "@/run/secrets/journal"


def test_compose_lets_processes_end() -> None:
    for name in ("serve", "work"):
        one = compose()["services"][name]
        grace = parse_duration(one["stop_grace_period"]) / SECOND
        assert grace >= drain_of(one["command"]) + SPARE


def test_compose_asks_for_health_where_it_is_told() -> None:
    services = compose()["services"]
    serve, work = (services[name] for name in ("serve", "work"))
    asked = [re.search(r'"(https?)://127\.0\.0\.1:(\d+)(/\w+)"', one["healthcheck"]["test"][-1])
             for one in (serve, work)]  # fmt: skip
    assert all(asked)
    of_serve, of_work = (match.groups() for match in asked if match)
    assert of_serve == ("https", str(PORT), "/ready")
    assert of_work == ("http", options(work["command"])["health-port"], "/ready")
    for one in (serve, work):
        compile(one["healthcheck"]["test"][-1], "healthcheck", "exec")
    (published,) = serve["ports"]
    # Only this machine reaches it unless somebody says otherwise.
    assert filled(published) == f"127.0.0.1:{PORT}:{PORT}"


# ---- Kubernetes ----


@pytest.mark.parametrize("applied", SETS)
def test_a_set_takes_its_image_from_one_place(applied: str) -> None:
    """Files that are applied by themselves would not be told where the image is."""
    told = yaml.safe_load((SETS[applied] / "kustomization.yaml").read_text("utf-8"))
    (image,) = told["images"]
    assert f"{image['name']}:{image['newTag']}" == IMAGE
    page = PAGE.read_text("utf-8")
    assert f"kubectl apply -k {SETS[applied].relative_to(ROOT)}\n" in page
    said = re.findall(r"kubectl apply .*-f (\S+)", page)
    assert {ROOT / name for name in said} == {BESIDE}


def test_every_file_is_applied_by_some_set() -> None:
    used = {path for folder in SETS.values() for path in files_of(folder.resolve())}
    others = {path for path in MANIFESTS if path.name == "kustomization.yaml"}
    assert used | others | {BESIDE} == set(MANIFESTS)


def test_on_ray_no_workers_take_what_needs_a_node() -> None:
    commands = {name: words for name, words in all_commands() if name.startswith("ray ")}
    assert not [name for name, words in commands.items() if words[:2] == ["hocket", "work"]]
    (left,) = re.findall(r"kubectl delete (\S+) hocket-work", PAGE.read_text("utf-8"))
    kinds = [kind for kind, name in objects("workers") if name == "hocket-work"]
    assert left.split(",") == [kind.lower() for kind in kinds]


def test_nothing_is_offered_that_the_image_lacks() -> None:
    """No coding agent is in it; what a population needs is."""
    for _, kind, one in all_objects():
        if kind == "Deployment":
            assert "tag:" not in " ".join(container(one).get("args", []))


@pytest.mark.parametrize("applied", SETS)
def test_whoever_owns_runs_is_replaced_soon(applied: str) -> None:
    """Each container is a machine of its own: only the lease tells that it has died."""
    leases = {
        env.get("HOCKET_LEASE")
        for kind, one in ((kind, one) for of, kind, one in all_objects() if of == applied)
        if kind == "Deployment"
        for env in [{e["name"]: e.get("value") for e in container(one).get("env", [])}]
        if "HOCKET_JOURNAL" in env
    }
    assert leases == {"3"}
    for name in ("serve", "work"):
        assert compose()["services"][name]["environment"]["HOCKET_LEASE"] == "3"
    assert "`HOCKET_LEASE=3`" in PAGE.read_text("utf-8")


@pytest.mark.parametrize(("applied", "workload"), WORKLOADS)
def test_workloads_are_whole(applied: str, workload: dict[str, Any]) -> None:
    spec, has = pod(workload), container(workload)
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert workload["apiVersion"] == "apps/v1"
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert not has["securityContext"]["allowPrivilegeEscalation"]
    assert spec["automountServiceAccountToken"] is False
    assert has["resources"]["requests"].keys() == {"cpu", "memory"}
    assert has["resources"]["limits"].keys() == {"cpu", "memory"}
    assert has["image"] in {IMAGE, compose()["services"]["postgres"]["image"]}
    claimed = workload["spec"].get("volumeClaimTemplates", [])
    there = {v["name"] for v in spec["volumes"]} | {c["metadata"]["name"] for c in claimed}
    assert {mount["name"] for mount in has["volumeMounts"]} == there


@pytest.mark.parametrize(("applied", "workload"), WORKLOADS)
def test_what_workloads_mount_is_there_or_is_told_to_be_made(
    applied: str, workload: dict[str, Any]
) -> None:
    page = PAGE.read_text("utf-8")
    mounted = {mount["name"]: mount for mount in container(workload)["volumeMounts"]}
    for volume in pod(workload)["volumes"]:
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            assert re.search(rf"kubectl create secret \w+ {name}\b", page), name
            # Others of the pod's group read it, and nobody else.
            assert volume["secret"]["defaultMode"] == 0o440
        if "configMap" in volume:
            data = objects(applied)["ConfigMap", volume["configMap"]["name"]]["data"]
            assert mounted[volume["name"]]["subPath"] in data
        if "persistentVolumeClaim" in volume:
            name = volume["persistentVolumeClaim"]["claimName"]
            assert ("PersistentVolumeClaim", name) in objects(applied)
    for source in container(workload).get("envFrom", []):
        assert source["secretRef"]["optional"] and source["secretRef"]["name"] in page


@pytest.mark.parametrize(("applied", "workload"), WORKLOADS)
def test_probes_ask_what_is_answered(applied: str, workload: dict[str, Any]) -> None:
    has = container(workload)
    ports = {port["name"]: port["containerPort"] for port in has.get("ports", [])}
    words = " ".join([*has.get("command", []), *has["args"]])
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = has.get(kind, {})
        if "httpGet" not in probe:
            continue
        asked = probe["httpGet"]
        # What is not ready must not be killed for it.
        assert asked["path"] == ("/ready" if kind == "readinessProbe" else "/health")
        assert asked["path"] in PATHS
        serves = "--cert=" in words
        assert asked.get("scheme", "HTTP") == ("HTTPS" if serves else "HTTP")
        told = options(words.split())
        wanted = PORT if serves else int(told["health-port"])
        assert ports[asked["port"]] == wanted
        assert told["host" if serves else "health-host"] == "0.0.0.0", "kubelets come from outside"
    if "--drain=" in words:
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= has.keys()
        assert pod(workload)["terminationGracePeriodSeconds"] >= drain_of(words.split()) + SPARE


def journal_file(has: dict[str, Any]) -> str:
    return next((e["value"] for e in has.get("env", []) if e["name"] == "HOCKET_JOURNAL"), "")


def test_whoever_needs_the_journal_reads_its_address_from_a_secret() -> None:
    for _, kind, one in all_objects():
        if kind != "Deployment":
            continue
        has, name = container(one), one["metadata"]["name"]
        mount = next(m["mountPath"] for m in has["volumeMounts"] if m["name"] == "journal")
        # Supervisors on nodes of Ray are told the name of the server's file.
        named = "@/run/secrets/hocket/journal" if "ray" in name else journal_file(has)
        assert named == f"@{mount}/journal", name


def pods_with(applied: str, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """The workloads of a set whose pods have these labels; there are some."""
    found = [
        one
        for (kind, _), one in objects(applied).items()
        if kind in {"Deployment", "StatefulSet"}
        and wanted.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert found, wanted
    return found


@pytest.mark.parametrize(("applied", "service"), of_kind("Service"))
def test_services_lead_to_ports_of_pods(applied: str, service: dict[str, Any]) -> None:
    found = pods_with(applied, service["spec"]["selector"])
    for one in found:
        names = {port["name"] for port in container(one)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize(("applied", "policy"), of_kind("NetworkPolicy", "PodDisruptionBudget"))
def test_policies_are_about_pods_that_there_are(applied: str, policy: dict[str, Any]) -> None:
    spec = policy["spec"]
    found = pods_with(applied, (spec.get("podSelector") or spec["selector"])["matchLabels"])
    named = {port["name"] for one in found for port in container(one).get("ports", [])}
    asked = {p["port"] for rule in spec.get("ingress", []) for p in rule.get("ports", [])}
    assert asked <= named


def test_nodes_of_ray_join_the_head_that_there_is() -> None:
    head = objects("ray")["Service", "hocket-ray"]
    (port,) = head["spec"]["ports"]
    joined = [options(words)["address"] for name, words in all_commands()
              if words[0] == "ray" and "--head" not in words]  # fmt: skip
    assert joined == [f"hocket-ray:{port['port']}"] * 2
    (begun,) = [words for _, words in all_commands() if "--head" in words]
    assert options(begun)["port"] == str(port["port"])
    for (kind, name), one in objects("ray").items():
        if kind == "Deployment":
            env = {e["name"]: e["value"] for e in container(one)["env"]}
            assert env["RAY_AUTH_MODE"] == "token", f"{name} lets everybody in"
            assert ("head" in name) == (WATCH.items() <= env.items()), f"{name} watches over nodes"


def test_the_offered_plans_are_the_same_everywhere_and_can_be_read() -> None:
    text = (DEPLOY / "plans/hocket.yaml").read_text("utf-8")
    for applied in SETS:
        assert objects(applied)["ConfigMap", "hocket-plans"]["data"] == {"hocket.yaml": text}
    assert load_plan(DEPLOY / "plans/hocket.yaml", "hello").name == "hello"


# ---- the image ----


def test_the_image_is_made_of_files_that_are_there() -> None:
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for copied in dockerfile()["COPY"]:
        if copied.startswith("--from=build"):
            continue
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source.rstrip('/')}" in kept, source
    # The build reads these, too.
    assert {"!README.md", "!LICENSE", "!pyproject.toml"} <= set(kept) and kept[1] == "*"


def test_the_image_runs_as_nobody_in_particular() -> None:
    told = dockerfile()
    user = told["USER"][-1].partition(":")[0]
    assert user == "10001" and f"--uid {user}" in " ".join(told["RUN"])
    for _, kind, one in all_objects():
        if kind == "Deployment":
            assert pod(one)["securityContext"]["runAsUser"] == int(user)
    assert str(PORT) in told["EXPOSE"][0].split()
    assert all(line == "${PYTHON}" for line in (f.split()[0] for f in told["FROM"]))
    assert "/" not in told["ARG"][0], "no host of a registry is named"


def test_packages_are_pinned_with_hashes_as_those_of_the_tests_are() -> None:
    assert all(
        "--require-hashes" in run or "--no-deps" in run
        for run in dockerfile()["RUN"]
        if "pip install" in run
    )
    pins = {}
    for name in ("deploy", "dev"):
        text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
        blocks = re.findall(r"^(\S+?)==(\S+)([^#]*?)(?=^\S|^ +#|\Z)", text, re.M | re.S)
        assert blocks and all("--hash=sha256:" in rest for _, _, rest in blocks)
        pins[name] = {package: version for package, version, _ in blocks}
    assert pins["deploy"].items() <= pins["dev"].items()
    assert {"asyncpg", "ray", "uvicorn", "hatchling", "jax", "numpy"} <= pins["deploy"].keys()


# ---- as processes ----


class Site:
    """The services of compose.yaml on this machine: their commands, and other places for files."""

    def __init__(self, home: Home, database: str) -> None:
        secrets = home.folder / "secrets"
        secrets.mkdir()
        (secrets / "journal").write_text(f"{database}\n")
        self._home, self._secrets = home, secrets
        self._certify(secrets)

    def _certify(self, folder: Path) -> None:
        """Make a certificate as the page says."""
        (line,) = re.findall(r"^openssl req .*$", PAGE.read_text("utf-8"), re.M)
        line = line.replace("secrets/", f"{folder}/")
        subprocess.run(shlex.split(line), check=True, capture_output=True)

    def start(self, service: str, port: str) -> dict[str, Any]:
        """Start a service at a port that is free; gives what it says of itself."""
        places = {"/run/secrets": str(self._secrets), "/plans": str(DEPLOY / "plans")}
        words = [filled(word) for word in compose()["services"][service]["command"]]
        for place, here in places.items():
            words = [word.replace(place, here) for word in words]
        words = [word for word in words if not word.startswith("--health-port=")]
        env = {
            "HOCKET_HOME": str(self._home.folder / service),
            "HOCKET_JOURNAL": f"@{self._secrets / 'journal'}",
        }
        child = self._home.start(*words, "--json", port, env=env)
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, child.communicate()
        return dict(json.loads(line))


def asked(url: str, token: str = "", body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    unknown = ssl._create_unverified_context()
    with urllib.request.urlopen(request, timeout=20, context=unknown) as answer:
        return json.loads(answer.read())


@pytest.mark.skipif(not os.access("/usr/bin/openssl", os.X_OK), reason="there is no openssl")
def test_the_services_of_compose_work_together(tmp_path: Path, database: str) -> None:
    home = Home(tmp_path)
    try:
        site = Site(home, database)
        serve = site.start("serve", "--port=0")
        work = site.start("work", "--health-port=0")
        url = serve["url"]
        assert url.startswith("https://")
        assert asked(f"{url}/ready")["ready"]
        assert asked(f"http://127.0.0.1:{work['health_port']}/ready")["ready"]
        token = serve["tokens"]["operate"]
        body = {"file": "hocket.yaml", "plan": "hello", "inputs": {"name": "Ada"}}
        run = asked(f"{url}/api/runs", token, body)["run"]
        until = time.monotonic() + 30
        while (row := asked(f"{url}/api/runs/{run}", token))["status"] == "running":
            assert time.monotonic() < until, row
        assert row["status"] == "succeeded" and not row["here"]
    finally:
        home.end()
