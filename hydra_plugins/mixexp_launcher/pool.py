"""Hydra's door to mixexp's sweeps: `hydra/launcher=pool` and `plan`. Hydra imports this in every application, so it stays light.

No postponed annotations here: Hydra executes the module before it is in sys.modules, where a dataclass would look them up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class PoolConf:
    _target_: str = "hydra_plugins.mixexp_launcher.pool.PoolLauncher"


@dataclass
class PlanConf:
    _target_: str = "hydra_plugins.mixexp_launcher.pool.PlanLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="pool", node=PoolConf, provider="mixexp")
ConfigStore.instance().store(group="hydra/launcher", name="plan", node=PlanConf, provider="mixexp")


class PoolLauncher(Launcher):
    """Composes and validates all cells before the first starts, then runs them on every slot of this machine."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        failure = self._sweep(job_overrides)
        status = JobStatus.COMPLETED if failure is None else JobStatus.FAILED
        returns = [JobReturn(overrides=overrides, status=status) for overrides in job_overrides]
        for result in returns:
            result.return_value = failure
        return returns

    def _sweep(self, job_overrides: Sequence[Sequence[str]]) -> Exception | None:
        from mixexp.sweep.slot import warm_up

        warm_up(self.config.threads)
        from mixexp.sweep.launch import launch

        return launch(self._composed(job_overrides), job_overrides)

    def _composed(self, job_overrides: Sequence[Sequence[str]]) -> list[Any]:
        from mixexp.plan.composer import composer
        from mixexp.plan.unknown import compose_all

        return compose_all(composer(self.hydra_context.config_loader, self.config), job_overrides)


class PlanLauncher(PoolLauncher):
    """Says what the pool would do, and starts nothing."""

    def _sweep(self, job_overrides: Sequence[Sequence[str]]) -> None:
        from mixexp.sweep.launch import show_plan

        show_plan(self._composed(job_overrides), job_overrides)
