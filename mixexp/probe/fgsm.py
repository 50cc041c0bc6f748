from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.probe import BATCH, Facts, Probe, Rows, Subject

GREY_LEVELS = 255
"""Grey levels of an image's whole range, the unit of epsilon."""


class Fgsm(Probe):
    """Error on test images attacked with changes of at most ε per pixel: in one step (FGSM), in several (I-FGSM).

    x' = clip(x + ε·sign(∇_x CE(x, y))) (Goodfellow et al. 2015), clipped to the image's range. I-FGSM (Kurakin et al.
    2017) takes `steps` such steps of ε/steps from x and stays within ε of it. The gradient passes through the
    normalisation. The cross-entropy is that of the scores (Loss.scores), whatever the training loss, so that all
    networks are attacked alike.
    epsilon: in grey levels of 255; steps: of I-FGSM; samples: size of a fixed sample of the test images, or null for
    all; source: null for the measured network's own gradient (white box), or the folder of a finished run with kept
    weights on the same data set (black box, with the file fgsm_black_box).
    Rows: attack (none, fgsm, i_fgsm), epsilon, accuracy, error, and, with ten classes or more, error_top5.
    Source: Zhang et al. 2018, section 3.5: ε = 4, 10 steps.
    Differs from the paper: nothing that is stated there.
    """

    def __init__(
        self,
        epsilon: Annotated[list[Annotated[float, Field(ge=0, le=GREY_LEVELS)]], Field(min_length=1)],
        steps: Annotated[int, Field(gt=0)] = 10,
        samples: Annotated[int, Field(gt=0)] | None = None,
        source: str | None = None,
    ) -> None:
        self.epsilon, self.steps, self.samples, self.source = epsilon, steps, samples, source
        self.others = () if source is None else (source,)
        self._file = "fgsm" if source is None else "fgsm_black_box"
        self.files = {self._file: ("attack", "epsilon", "accuracy", "error", "error_top5")}

    def check(self, facts: Facts) -> None:
        facts.require_image("an attack on pixels")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        attacked = subject if self.source is None else subject.other(self.source)
        chosen = subject.sample("test", self.samples)
        attacks = [
            ("none", 0.0, 0),
            *(("fgsm", e, 1) for e in self.epsilon),
            *(("i_fgsm", e, self.steps) for e in self.epsilon),
        ]
        # images misclassified, and images whose class is not among the five likeliest
        wrong = torch.zeros(len(attacks), 2, device=chosen.labels.device)
        for images, labels in zip(chosen.images.split(BATCH), chosen.labels.split(BATCH), strict=True):
            for count, (_, epsilon, steps) in zip(wrong, attacks, strict=True):
                outputs = subject.outputs(subject.inputs(self.examples(attacked, images, labels, epsilon, steps)))
                scores = subject.loss.scores(outputs)
                five = scores.topk(min(5, scores.shape[1])).indices
                count += torch.stack([scores.argmax(1) != labels, (five != labels.unsqueeze(1)).all(1)]).float().sum(1)
        rows = []
        for (attack, epsilon, _), (error, error_top5) in zip(
            attacks, (wrong.cpu().double() / len(chosen)).tolist(), strict=True
        ):
            top5 = {"error_top5": error_top5} if len(subject.classes) >= 10 else {}
            rows.append({"attack": attack, "epsilon": epsilon, "accuracy": 1 - error, "error": error, **top5})
        return {self._file: rows}

    def examples(self, attacked: Subject, images: Tensor, labels: Tensor, epsilon: float, steps: int) -> Tensor:
        """Attacked images, float32 [B, C, H, W] in their own range, at most epsilon grey levels from the given ones."""
        top = float(GREY_LEVELS) if images.dtype == torch.uint8 else 1.0
        plain = images.float()
        reach = epsilon * top / GREY_LEVELS
        lowest, highest = (plain - reach).clamp(min=0), (plain + reach).clamp(max=top)
        changed = plain
        for _ in range(steps):
            with torch.enable_grad():
                changed = changed.detach().requires_grad_()
                scores = attacked.loss.scores(attacked.outputs(attacked.inputs(changed)))
                loss = F.cross_entropy(scores, labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, changed)
            changed = (changed.detach() + reach / steps * gradient.sign()).clamp(lowest, highest)
        return changed
