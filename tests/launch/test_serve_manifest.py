"""Contract: launch/serve.yaml is what Kubernetes takes, and starts the server that there is."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from babeldraw.cli import main as cli

MANIFESTS = list(yaml.safe_load_all(Path("launch/serve.yaml").read_text()))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_kubernetes_takes_it(manifest):
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_command_is_one():
    (container,) = MANIFESTS[0]["spec"]["template"]["spec"]["containers"]
    _, args = cli.parse(container["args"])
    assert args.api_key_file and args.port == container["ports"][0]["containerPort"]
    mounted = [volume["mountPath"] for volume in container["volumeMounts"]]
    named = [args.model[0].partition("=")[2], args.api_key_file]
    assert all(any(path.startswith(f"{mount}/") for mount in mounted) for path in named)
