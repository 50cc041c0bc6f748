from __future__ import annotations

from mixexp.model.preact_resnet18 import PreActResNet18


class PreActResNet34(PreActResNet18):
    """Pre-activation ResNet-34 for small images: PreActResNet18 with layers of 3, 4, 6 and 3 blocks.

    Input, stages, features and options are those of PreActResNet18.

    Source: He et al. 2016, arXiv:1603.05027; Verma et al. 2019, arXiv:1806.05236 and vikasverma1077/manifold_mixup (false, raw).
    Differs from the paper: He et al. normalise and activate once more after the last block; the code does not.
    """

    blocks = (3, 4, 6, 3)
