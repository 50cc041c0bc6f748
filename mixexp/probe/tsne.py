from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class Tsne(Probe):
    """t-SNE of a layer's representations: a map in the plane that keeps neighbours together; distances in it mean little.

    layer: "final" is what the classifier sees. samples: a fixed sample of a part; perplexity: about how many neighbours count.
    It starts from the first two principal components and runs on one thread, so that it is the same every time.
    Rows: x, y, label, the name of a class.
    Source: van der Maaten and Hinton 2008, by scikit-learn; article a shows the final layer under softmax.
    Differs from the paper: the start, which there is random.
    """

    files = ("tsne",)

    def __init__(
        self,
        layer: str = "final",
        part: Literal["train", "test"] = "test",
        samples: Annotated[int, Field(gt=0)] = 1000,
        perplexity: Annotated[float, Field(gt=0)] = 30.0,
    ) -> None:
        self.layer, self.part, self.samples, self.perplexity = layer, part, samples, perplexity

    def check(self, facts: Facts) -> None:
        facts.require_layers([self.layer])
        points = facts.images(self.part, self.samples)
        if points < 3:
            raise ValueError(f"probe: t-SNE of {points} point{'s' * (points > 1)} says nothing; it needs three")
        if self.perplexity >= points:
            raise ValueError(f"probe.perplexity = {self.perplexity}: must be below the number of points, which is {points}")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        from sklearn.manifold import TSNE  # over a second to import, which only this probe should cost
        from threadpoolctl import threadpool_limits

        part = subject.sample(self.part, self.samples)
        pieces = [subject.representations(images, [self.layer])[self.layer] for images in part.images.split(BATCH)]
        points = torch.cat(pieces).cpu().numpy()
        start = "pca" if points.shape[1] > 1 else "random"
        with threadpool_limits(limits=1):
            places = TSNE(perplexity=self.perplexity, init=start, random_state=0).fit_transform(points)
        labels = [subject.classes[label] for label in part.labels.tolist()]
        return {"tsne": [{"x": x, "y": y, "label": label} for (x, y), label in zip(places.tolist(), labels, strict=True)]}
