"""What the Kubernetes schemas do not say about our manifests; and the agent's configuration, taken out of them.

usage: check-manifests.py MANIFEST_DIRECTORY WRITE_AGENT_YAML_TO WRITE_IT_WITH_ITS_EXAMPLES_TO
"""

import pathlib
import re
import sys

import yaml

CAPABILITIES = {"BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN", "MKNOD", "NET_RAW"}
# For entering the node's cgroup namespace, in which a unit is already.
POD_CAPABILITIES = CAPABILITIES | {"SYS_PTRACE"}


def documents(directory):
    for path in sorted(directory.glob("[0-9]*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield document


def volume_problems(pod, container):
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    if volumes != mounts:
        yield f"volumes and mounts differ: {sorted(volumes ^ mounts)}"
    privileged = container["securityContext"].get("privileged", False)
    for mount in container["volumeMounts"]:
        if mount.get("mountPropagation") == "Bidirectional" and not privileged:
            yield f"{mount['name']}: Bidirectional propagation is refused to a container that is not privileged"


def daemonset_problems(daemonset, accounts):
    pod = daemonset["spec"]["template"]["spec"]
    container = pod["containers"][0]
    capabilities = container["securityContext"]["capabilities"]
    if set(capabilities["add"]) != POD_CAPABILITIES or capabilities["drop"] != ["ALL"]:
        yield f"capabilities are {capabilities}, not exactly {sorted(POD_CAPABILITIES)}"
    if daemonset["spec"]["selector"]["matchLabels"].items() - daemonset["spec"]["template"]["metadata"]["labels"].items():
        yield "the selector does not match the pod's labels"
    if pod["serviceAccountName"] not in accounts:
        yield f"no service account {pod['serviceAccountName']}"
    if "lifecycle" in container:
        yield "a lifecycle hook: nothing may take the walls down when a pod stops"
    yield from volume_problems(pod, container)


def volume_of(pod, path):
    """The volume that a path in the container is on."""
    mounts = [m for m in pod["containers"][0]["volumeMounts"] if pathlib.PurePath(path).is_relative_to(m["mountPath"])]
    name = max(mounts, key=lambda mount: len(mount["mountPath"]), default={}).get("name")
    return next((volume for volume in pod["volumes"] if volume["name"] == name), {})


def identity_problems(pod, identity):
    secret = volume_of(pod, identity["key"]["file"]).get("secret")
    if secret is None:
        yield f"the key-encryption key {identity['key']['file']} comes from no secret"
    elif secret["defaultMode"] != 0o400 or secret.get("optional"):
        yield "the key-encryption key is readable to others, or the pod starts without it"
    socket = volume_of(pod, identity["socket"]).get("hostPath")
    if socket is None:
        yield f"the workload socket {identity['socket']} is not on the node, where pods could mount it"
    if not pod.get("hostPID"):
        yield "callers of the workload socket have no number in the pod's pid namespace"


def with_examples(text):
    """The configuration with its commented words in force."""
    shown, depth = [], None
    for line in text.splitlines():
        begin = re.match(r"( *)# (listener|upstream|hubble|export):", line)
        depth = len(begin[1]) if begin else depth
        inside = depth is not None and line.startswith(" " * depth + ("# " if begin else "#   "))
        depth = depth if inside else None
        shown.append(line[:depth] + line[depth + 2 :] if inside else line)
    return "\n".join(shown) + "\n"


def unit_problems(directory):
    unit = (directory.parent / "systemd" / "enforcer-agent.service").read_text(encoding="utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    named = {name.removeprefix("CAP_") for name in line.partition("=")[2].split()}
    if named != CAPABILITIES:
        yield f"the unit's capabilities {sorted(named)} are not {sorted(CAPABILITIES)}"
    made = re.search(r"^RuntimeDirectory=(.*)$", unit, re.MULTILINE)
    if made is None or "enforcer/workload" not in made[1].split():
        yield "the unit does not make the workload socket's directory: the agent would, closed to workloads by its umask"


def main():
    directory, target, examples = map(pathlib.Path, sys.argv[1:4])
    found = list(documents(directory))
    by_kind = {kind: [d for d in found if d["kind"] == kind] for kind in {d["kind"] for d in found}}
    problems = list(unit_problems(directory))
    accounts = {account["metadata"]["name"] for account in by_kind["ServiceAccount"]}
    for daemonset in by_kind["DaemonSet"]:
        problems += daemonset_problems(daemonset, accounts)
    for role in by_kind.get("Role", []) + by_kind.get("ClusterRole", []):
        if role["rules"]:
            problems.append(f"role {role['metadata']['name']} grants {role['rules']}: the agent calls no API yet")
    namespaces = {d["metadata"].get("namespace") for d in found if d["kind"] != "Namespace"}
    if namespaces != {"enforcer-system"}:
        problems.append(f"objects lie in the namespaces {namespaces}")
    if "Secret" in by_kind:
        problems.append("a manifest holds a secret")
    configuration = by_kind["ConfigMap"][0]["data"]["agent.yaml"]
    identity = yaml.safe_load(configuration)["identity"]
    for daemonset in by_kind["DaemonSet"]:
        problems += identity_problems(daemonset["spec"]["template"]["spec"], identity)
    target.write_text(configuration, encoding="utf-8")
    examples.write_text(with_examples(configuration), encoding="utf-8")
    shown = yaml.safe_load(examples.read_text(encoding="utf-8"))
    if not {"listener", "hubble", "export"} <= shown.keys() or "grpc" not in shown["identity"].get("upstream", {}):
        problems.append("the commented examples of agent.yaml are not found: they would not be checked")
    for problem in problems:
        print(f"deploy/check: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
