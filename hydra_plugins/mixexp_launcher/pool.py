"""Hydra's door to mixexp's pool: `hydra/launcher=pool`. Hydra imports this in every application, so it stays light.

No postponed annotations here: Hydra executes the module before it is in sys.modules, where a dataclass would look them up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class PoolConf:
    _target_: str = "hydra_plugins.mixexp_launcher.pool.PoolLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="pool", node=PoolConf, provider="mixexp")


class PoolLauncher(Launcher):
    """Composes and validates all cells before the first starts, then runs them on every slot of this machine."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from mixexp.sweep.launch import launch

        setup_globals()
        load = self.hydra_context.config_loader.load_sweep_config
        composed = [load(self.config, list(overrides)) for overrides in job_overrides]
        failure = launch(composed, job_overrides)
        returns = []
        for overrides, cfg in zip(job_overrides, composed, strict=True):
            result = JobReturn(overrides=overrides, cfg=cfg, status=JobStatus.COMPLETED if failure is None else JobStatus.FAILED)
            result.return_value = failure
            returns.append(result)
        return returns
