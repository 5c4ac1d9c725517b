"""Runs clients in processes of their own against a server in another, in turn, and says what their CPU did.

Rows are as docs/benchmarks.md explains them: CPU time of the client alone, after its imports; wall time is a remark.
"""

import argparse
import base64
import contextlib
import datetime
import importlib.metadata
import ipaddress
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("fedstate", "aiohttp", "msgspec", "orjson", "uvloop", "numpy", "kubernetes_asyncio", "kopf", "kr8s", "lightkube")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure has to reach: `of` our value, or of its ratio to the peer's."""

    of: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure; what does not apply is None, and left out of the JSON."""

    case: str
    unit: str
    ours: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    target: Target | None = None
    stretch: Target | None = None

    def reached(self, target: Target) -> bool:
        value = self.ratio if target.of == "ratio" else self.ours
        if value is None:
            return False
        return (target.min is None or value >= target.min) and (target.max is None or value <= target.max)


@dataclass
class Report:
    """The rows of one benchmark, with the machine and the versions they hold for."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(self, case: str, unit: str, ours: float, peer: str, value: float, **targets: Target) -> None:
        self.rows.append(
            Row(case=case, unit=unit, ours=ours, peer=peer, peer_value=value, ratio=ours / value if value else None, **targets)
        )

    def save(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{self.name}.json"
        rows = [_without_none(asdict(row)) for row in self.rows]
        said = {"name": self.name, "machine": machine(), "versions": versions(), "rows": rows, "notes": self.notes}
        file.write_text(json.dumps(said, indent=2) + "\n")
        return file

    def print(self) -> None:
        print(f"\n{self.name}: {machine()}")
        print(f"{'case':<34}{'unit':<22}{'ours':>12}  {'peer':<34}{'its':>12}{'ratio':>8}  target")
        for row in self.rows:
            target = ""
            if row.target is not None:
                bound = f">= {row.target.min:g}" if row.target.min is not None else f"<= {row.target.max:g}"
                target = f"{bound}{' x' if row.target.of == 'ratio' else ''} {'yes' if row.reached(row.target) else 'NO'}"
                target += " (stretch too)" if row.stretch is not None and row.reached(row.stretch) else ""
            print(
                f"{row.case:<34}{row.unit:<22}{_number(row.ours):>12}  {row.peer or '':<34}{_number(row.peer_value):>12}"
                f"{'' if row.ratio is None else format(row.ratio, '.1f'):>8}  {target}"
            )
        for note in self.notes:
            print(f"- {note}")


def machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")] if _linux() else []
    processor = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{os.cpu_count()} x {processor}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if shutil.which("go"):
        found["go"] = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
        for line in (HERE / "peers/go/go.mod").read_text().splitlines():
            if "k8s.io/client-go " in line:
                found["client-go"] = line.split()[-1]
    return found


@contextlib.contextmanager
def server(*, events: int, size: str = "full", hold: bool = False, churn: float = 0, tls: bool = False) -> Iterator[Path]:
    """A kubeconfig for a server in a process of its own, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="fedstate-bench-") as name:
        directory = Path(name)
        command = [sys.executable, "-m", "benchmarks.server", "--events", str(events), "--size", size, "--churn", str(churn)]
        if hold:
            command.append("--hold")
        if tls:
            _certificate(directory)
            command += ["--tls", str(directory)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield _kubeconfig(directory, f"{'https' if tls else 'http'}://127.0.0.1:{port}", tls=tls)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def client(name: str, work: str, kubeconfig: Path, **options: Any) -> dict[str, float] | None:
    """What one client in a process of its own reports: `done`, `cpu`, `wall`, `rss_mb`, ...; None if it cannot do this here."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    if name.startswith("client-go"):
        binary = go_peer()
        if binary is None:
            return None
        kind = "dynamic" if "dynamic" in name else "typed"
        command = [str(binary), f"--work={work}", f"--kind={kind}", f"--kubeconfig={kubeconfig}", *arguments]
    else:
        command = [sys.executable, "-m", "benchmarks.clients", name, work, str(kubeconfig), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HERE.parent, check=False)
    except subprocess.TimeoutExpired:
        print(f"  {name} {work}: no result within 300 s", file=sys.stderr)
        return None
    if ended.returncode:
        print(f"  {name} {work}: {ended.stderr.strip().splitlines()[-1:] or ended.returncode}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def go_peer() -> Path | None:
    """The Go peers, built where `go` is there to do it."""
    binary = HERE / "peers/go/peers"
    if shutil.which("go") is None:
        return None
    if not binary.exists() or binary.stat().st_mtime < (HERE / "peers/go/main.go").stat().st_mtime:
        subprocess.run(["go", "build", "-o", binary.name, "."], cwd=binary.parent, check=True)
    return binary


def rates(runs: Sequence[dict[str, float]]) -> float:
    """The median of what was done per CPU-second."""
    return statistics.median(run["done"] / run["cpu"] for run in runs)


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="how often each client runs, in turn with the others")
    parser.add_argument("--scale", type=float, default=1.0, help="of the work; below 1 to try whether it runs")
    parser.add_argument("--kubeconfig", type=Path, help="put the load on this API server instead of our own")
    parser.add_argument("--only", default="", help="clients to run, by a part of their name, separated by commas")
    return parser


def chosen(names: Sequence[str], only: str) -> list[str]:
    wanted = [part for part in only.split(",") if part]
    return [name for name in names if not wanted or name.startswith("ours") or any(part in name for part in wanted)]


def _kubeconfig(directory: Path, url: str, *, tls: bool) -> Path:
    cluster: dict[str, Any] = {"server": url}
    if tls:
        cluster["certificate-authority-data"] = base64.b64encode((directory / "crt").read_bytes()).decode()
    file = directory / "kubeconfig"
    context = {"cluster": "bench", "user": "bench", "namespace": "default"}
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
        "contexts": [{"name": "bench", "context": context}],
        "current-context": "bench",
    }
    file.write_text(json.dumps(said))
    return file


def _certificate(directory: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    (directory / "crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (directory / "key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _without_none(item) if isinstance(item, dict) else item for key, item in value.items() if item is not None}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _linux() -> bool:
    return platform.system() == "Linux"
