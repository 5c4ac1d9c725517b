"""One container of a pod over all its runs: started, watched, probed, restarted with back-off, stopped. Knows nothing of the API server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedstate.kube.objects import Key, KubeObject, key_of, uid_of
from fedstate.local.node.backoff import BackOff
from fedstate.local.node.commands import CannotRun, Launch, config_path, launch_in, launch_of, mongod_config
from fedstate.local.node.containerlog import LogWriter
from fedstate.local.node.environment import NotYetThere
from fedstate.local.node.images import Program, program_of
from fedstate.local.node.podstatus import ContainerView, Running, State, Terminated, Waiting
from fedstate.local.node.probes import look_exec
from fedstate.local.node.probing import Probing
from fedstate.local.node.process import ContainerProcess, Exit, start
from fedstate.local.node.surroundings import Ground, Surroundings

LOOK_AGAIN = 5.0
START_FAILED = 128


class ContainerRuntime:
    """A container; `step` brings it on, `view` says how it is, `stop` ends it. Its state lives as long as the pod does here."""

    def __init__(self, pod: KubeObject, spec: KubeObject, directory: Path, around: Surroundings, *, restarts_on: str) -> None:
        self.spec = spec
        self.name = str(spec["name"])
        self._key: Key = key_of(pod)
        self._pod = pod
        self._directory = directory / "containers" / self.name
        self._around = around
        self._restarts_on = restarts_on
        self._state: State = Waiting(reason="ContainerCreating")
        self._last: Terminated | None = None
        self._runs = 0
        self._backoff = BackOff()
        self._process: ContainerProcess | None = None
        self._ground: Ground | None = None
        self._probing: Probing | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._blocked = False
        self._remembered = False

    @property
    def is_init(self) -> bool:
        return any(c["name"] == self.name for c in self._pod["spec"].get("initContainers") or ())

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def remember(self, state: State, last: Terminated | None, restarts: int) -> None:
        """Take over what an earlier agent reported; a run that it saw has ended with it."""
        self._remembered = True
        self._last = last
        self._runs = restarts + (0 if isinstance(state, Waiting) and last is None else 1)
        if isinstance(state, Running):
            state = Terminated(
                exit_code=137, signal=9, reason="Error", message="the node was restarted", started_at=state.started_at,
                finished_at=datetime.now(UTC),
            )  # fmt: skip
        self._state = state if isinstance(state, Terminated) or last is None else last
        if self._state is last:
            self._last = None

    def wait_for(self, reason: str) -> None:
        """Say why the container is not begun yet."""
        if isinstance(self._state, Waiting) and not self._blocked:
            self._state = Waiting(reason=reason)

    def view(self) -> ContainerView:
        probing = self._probing
        return ContainerView(
            name=self.name, image=str(self.spec.get("image") or ""), state=self._state, last=self._last, restarts=max(0, self._runs - 1),
            ready=self._is_ready(), started=bool(self._process and probing and probing.started),
            container_id=f"local://{uid_of(self._pod)}/{self.name}/{self._runs - 1}" if self._runs else "",
            image_id=f"local://{self.spec.get('image') or ''}" if self._runs else "", always=self._always_init,
        )  # fmt: skip

    @property
    def _always_init(self) -> bool:
        return self.is_init and self.spec.get("restartPolicy") == "Always"

    def _is_ready(self) -> bool:
        if self.is_init and not self._always_init:
            return isinstance(self._state, Terminated) and self._state.exit_code == 0
        return bool(self._process and self._probing and self._probing.ready)

    def log(self, *, previous: bool) -> tuple[Path, LogWriter | None] | None:
        """File and writer of the current or the previous run's output; None if there was no such run."""
        run = self._runs - (2 if previous else 1)
        path = self._log_path(run)
        if run < 0 or not path.exists():
            return None
        return path, self._process.log if self._process and not previous else None

    def _log_path(self, run: int) -> Path:
        return self._directory / f"{run}.log"

    # --- starting

    async def step(self, pod: KubeObject, ground: Callable[[KubeObject], Ground]) -> float | None:
        """Start the container if it should and may run now; seconds after which to look again, if time alone will change something."""
        self._pod = pod
        if self._process is not None or not self._wants_to_run():
            return None
        left = self._back_off()
        if left:
            return left
        program = Program.HOST if self.is_init and program_of(self.spec["image"]) is None else program_of(self.spec["image"])
        if program is None:
            self._block(
                "ErrImagePull",
                f"image {self.spec['image']} cannot be run by a local node: it has only mongod, fedstate and host programs",
            )
            return None
        try:
            self._ground = ground(self.spec)
        except NotYetThere as error:
            self._block("CreateContainerConfigError", str(error))
            return LOOK_AGAIN
        await self._start(program, self._ground)
        return None

    def _wants_to_run(self) -> bool:
        if not isinstance(self._state, Terminated):
            return True
        return self._restarts_on == "Always" or (self._restarts_on == "OnFailure" and self._state.exit_code != 0)

    def _back_off(self) -> float:
        ended = self._state if isinstance(self._state, Terminated) else self._last
        if self._runs == 0 or ended is None:
            return 0.0
        left = self._backoff.left(ended.finished_at.timestamp(), datetime.now(UTC).timestamp())
        if left and isinstance(self._state, Terminated):
            self._last = self._state
            identity = f"container={self.name} pod={self._key.name}_{self._key.namespace}({uid_of(self._pod)})"
            message = f"back-off {self._backoff.delay:g}s restarting failed {identity}"
            self._state = Waiting(reason="CrashLoopBackOff", message=message)
            self._around.say(self._pod, "Warning", "BackOff", f"Back-off restarting failed {identity}")
        return left

    def _block(self, reason: str, message: str) -> None:
        if not (isinstance(self._state, Waiting) and self._state.message == message):
            self._around.say(self._pod, "Warning", "Failed", f"Error: {reason}: {message}")
        self._blocked = True
        self._state = Waiting(reason=reason, message=message)

    async def _start(self, program: Program, ground: Ground) -> None:
        if isinstance(self._state, Terminated):
            self._last = self._state
        if self._runs and not self._remembered:  # what a restart of the node costs is not the container's failure
            self._backoff.restarted()
        self._remembered = False
        self._runs += 1
        self._blocked = False
        self._log_path(self._runs - 3).unlink(missing_ok=True)
        self._log_path(self._runs - 3).with_suffix(".times").unlink(missing_ok=True)
        try:
            launch = self._prepared(launch_of(self.spec, program, ground.values, ground.place), program, ground)
            log = self._log_path(self._runs - 1)
            self._process = await start(f"{self._key}/{self.name}", launch, log=log, record=self._directory / "process.pid")
        except (CannotRun, OSError) as error:
            now = datetime.now(UTC)
            self._state = Terminated(
                exit_code=START_FAILED, reason="StartError", message=str(error), started_at=None, finished_at=now
            )
            self._around.say(self._pod, "Warning", "Failed", f"Error: failed to start container {self.name}: {error}")
            self._around.changed(self._key)
            return
        self._say_image(program)
        self._state = Running(started_at=self._process.started_at)
        self._around.say(self._pod, "Normal", "Started", f"Container started: {self.name}")
        self._probing = Probing(self.spec, ground, self._around.prober, self._on_probe)
        self._probing.start(self._around.tasks, f"{self._key}/{self.name}")
        self._around.tasks.create_task(self._watch(self._process, self._probing), name=f"container {self._key}/{self.name}")

    def _prepared(self, launch: Launch, program: Program, ground: Ground) -> Launch:
        """A mongod's configuration file names paths and addresses too: give it a rewritten copy."""
        index = config_path(launch.argv) if program is Program.MONGOD else None
        if index is None:
            return launch
        copy = ground.place.scratch / "mongod.conf"
        copy.touch(mode=0o600)
        copy.write_text(mongod_config(Path(launch.argv[index]).read_text(), ground.place))
        return Launch(argv=(*launch.argv[:index], str(copy), *launch.argv[index + 1 :]), env=launch.env, cwd=launch.cwd)

    def _say_image(self, program: Program) -> None:
        image = self.spec.get("image")
        if self._runs > 1:
            return
        if program is Program.MONGOD and not self.is_init:
            where = f"mongod {self._around.mongod_version} from {self._around.mongod}"
            self._around.say(self._pod, "Normal", "ImageMapped", f"image {image} runs as {where}")
        else:
            note = f"container {self.name} runs with the programs of this machine, not with image {image}"
            self._around.say(self._pod, "Normal", "ImageIgnored", note)

    # --- running

    async def _watch(self, process: ContainerProcess, probing: Probing) -> None:
        ended = await process.wait()
        probing.stop()
        self._ended(ended, process)
        self._around.changed(self._key)

    def _ended(self, ended: Exit, process: ContainerProcess) -> None:
        self._state = Terminated(
            exit_code=ended.code, signal=ended.signal, reason="Completed" if ended.code == 0 else "Error", started_at=process.started_at,
            finished_at=ended.finished_at, container_id=self.view().container_id,
        )  # fmt: skip
        self._backoff.ran((ended.finished_at - process.started_at).total_seconds())
        self._process = self._probing = None

    def _on_probe(self, event: str, message: str) -> None:
        if event == "Killing":
            self._around.say(self._pod, "Normal", "Killing", f"Container {self.name} failed {message}, will be restarted")
            self.stop(float(self._pod["spec"].get("terminationGracePeriodSeconds") or 30))
        elif event:
            self._around.say(self._pod, "Warning", event, message)
        else:
            self._around.changed(self._key)

    # --- stopping

    def stop(self, grace: float) -> None:
        """Begin to end the current run: preStop hook, SIGTERM, and SIGKILL when `grace` seconds are over. With 0, SIGKILL at once."""
        process = self._process
        if process is None:
            return
        if grace <= 0:
            process.signal(signal.SIGKILL)
        elif self._stopping is None or self._stopping.done():
            self._stopping = self._around.tasks.create_task(self._stop(process, grace), name=f"stop {self._key}/{self.name}")

    async def _stop(self, process: ContainerProcess, grace: float) -> None:
        if self._probing is not None:
            self._probing.stop_liveness()
        try:
            async with asyncio.timeout(grace):
                await self._pre_stop(grace)
                process.signal(signal.SIGTERM)
                await process.ended()
        except TimeoutError:
            process.signal(signal.SIGKILL)

    async def _pre_stop(self, grace: float) -> None:
        hook: dict[str, Any] = (self.spec.get("lifecycle") or {}).get("preStop") or {}
        if "exec" in hook and self._ground is not None:
            answer = await look_exec(launch_in(hook["exec"].get("command") or (), self._ground.values, self._ground.place), grace)
            if not answer.ok:
                self._around.say(self._pod, "Warning", "FailedPreStopHook", answer.message)
        elif "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"].get("seconds") or 0))

    def signal(self, number: int) -> None:
        """Send a signal to the process, if one runs."""
        if self._process is not None:
            self._process.signal(number)

    async def ended(self) -> None:
        """Wait for the end of the current run, whoever ends it."""
        if self._process is not None:
            await self._process.wait()
