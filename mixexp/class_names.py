"""The project's classes in run_ids and configurations: one table, from what each was called first to what it is called now."""

from __future__ import annotations

from typing import Any

PROJECT = "mixexp."
NOW = {
    # fmt: off
    "augment.continuous.Continuous": "augment.continuous.Continuous",
    "augment.noise.Noise": "augment.noise.Noise",
    "augment.none.NoAugment": "augment.none.NoAugment",
    "augment.shift.Shift": "augment.shift.Shift",
    "augment.standard.Standard": "augment.standard.Standard",
    "dataset.csv_table.CsvTable": "dataset.csv_table.CsvTable",
    "dataset.digits.Digits": "dataset.digits.Digits",
    "dataset.from_torchvision.FromTorchvision": "dataset.from_torchvision.FromTorchvision",
    "dataset.gaussians.Gaussians": "dataset.gaussians.Gaussians",
    "dataset.image_folder.ImageFolder": "dataset.image_folder.ImageFolder",
    "dataset.sklearn_table.SklearnTable": "dataset.sklearn_table.SklearnTable",
    "dataset.sound_folder.SoundFolder": "dataset.sound_folder.SoundFolder",
    "dataset.sound_layouts.ClassFolders": "dataset.sound_layouts.ClassFolders",
    "dataset.sound_layouts.ListedTest": "dataset.sound_layouts.ListedTest",
    "dataset.sound_layouts.NumberedNames": "dataset.sound_layouts.NumberedNames",
    "dataset.toy2d.Toy2D": "dataset.toy2d.Toy2D",
    "gan.minimax.Minimax": "gan.minimax.Minimax",
    "gan.real_with_generated.RealWithGenerated": "gan.real_with_generated.RealWithGenerated",
    "gan.shuffled.Shuffled": "gan.shuffled.Shuffled",
    "gan.unmixed.Unmixed": "gan.unmixed.Unmixed",
    "imbalance.minority.Minority": "imbalance.minority.Minority",
    "imbalance.none.NoImbalance": "imbalance.none.NoImbalance",
    "imbalance.profile.Profile": "imbalance.profile.Profile",
    "label_noise.none.NoNoise": "label_noise.none.NoNoise",
    "label_noise.uniform.Uniform": "label_noise.uniform.Uniform",
    "logger.mlflow.MLflow": "logger.mlflow.MLflow",
    "logger.several.Several": "logger.several.Several",
    "logger.tensorboard.TensorBoard": "logger.tensorboard.TensorBoard",
    "logger.wandb.WandB": "logger.wandb.WandB",
    "loss.affinity.Affinity": "loss.affinity.Affinity",
    "loss.binary_cross_entropy.BinaryCrossEntropy": "loss.binary_cross_entropy.BinaryCrossEntropy",
    "loss.cross_entropy.CrossEntropy": "loss.cross_entropy.CrossEntropy",
    "loss.focal.Focal": "loss.focal.Focal",
    "loss.joint.Joint": "loss.joint.Joint",
    "loss.kl.KL": "loss.kl.KL",
    "loss.soft_cross_entropy.SoftCrossEntropy": "loss.soft_cross_entropy.SoftCrossEntropy",
    "mix.beta.Beta": "mix.beta.Beta",
    "mix.energy.Energy": "mix.energy.Energy",
    "mix.first_label.FirstLabel": "mix.first_label.FirstLabel",
    "mix.linear.Linear": "mix.linear.Linear",
    "mix.mixed_label.MixedLabel": "mix.mixed_label.MixedLabel",
    "mix.nearest.Nearest": "mix.nearest.Nearest",
    "mix.nearest_label.NearestLabel": "mix.nearest_label.NearestLabel",
    "mix.none.NoMix": "mix.none.NoMix",
    "mix.other_class.OtherClass": "mix.other_class.OtherClass",
    "mix.pairs.Pairs": "mix.pairs.Pairs",
    "mix.permutation.Permutation": "mix.permutation.Permutation",
    "mix.same_class.SameClass": "mix.same_class.SameClass",
    "mix.second_pass.SecondPass": "mix.second_pass.SecondPass",
    "mix.several.Several": "mix.several.Several",
    "mix.sound.Sound": "mix.sound.Sound",
    "mix.uniform.Uniform": "mix.uniform.Uniform",
    "mix_layer.one_of.OneOf": "mix_layer.one_of.OneOf",
    "model.cnn10.CNN10": "model.cnn10.CNN10",
    "model.cnn11.CNN11": "model.cnn11.CNN11",
    "model.densenet_bc.DenseNetBC": "model.densenet_bc.DenseNetBC",
    "model.lenet.LeNet": "model.lenet.LeNet",
    "model.mlp.MLP": "model.mlp.MLP",
    "model.mnist_cnn.MnistCNN": "model.mnist_cnn.MnistCNN",
    "model.preact_resnet18.PreActResNet18": "model.preact_resnet18.PreActResNet18",
    "model.preact_resnet34.PreActResNet34": "model.preact_resnet34.PreActResNet34",
    "model.resnet18.ResNet18": "model.resnet18.ResNet18",
    "model.small_cnn.SmallCNN": "model.small_cnn.SmallCNN",
    "model.sound_cnn.SoundCNN": "model.sound_cnn.SoundCNN",
    "model.torchvision_model.TorchvisionModel": "model.torchvision_model.TorchvisionModel",
    "model.vgg11.VGG11": "model.vgg11.VGG11",
    "model.wide_resnet.WideResNet": "model.wide_resnet.WideResNet",
    "optimizer.adam": "optimizer.adam",
    "optimizer.sgd": "optimizer.sgd",
    "probe.between.Between": "probe.between.Between",
    "probe.by_class.ByClass": "probe.by_class.ByClass",
    "probe.clouds.Clouds": "probe.clouds.Clouds",
    "probe.deformation.Deformation": "probe.deformation.Deformation",
    "probe.entanglement.Entanglement": "probe.entanglement.Entanglement",
    "probe.features.Features": "probe.features.Features",
    "probe.fgsm.Fgsm": "probe.fgsm.Fgsm",
    "probe.fisher.Fisher": "probe.fisher.Fisher",
    "probe.intrusion.Intrusion": "probe.intrusion.Intrusion",
    "probe.mixed_images.MixedImages": "probe.mixed_images.MixedImages",
    "probe.mixed_samples.MixedSamples": "probe.mixed_samples.MixedSamples",
    "probe.plane.Plane": "probe.plane.Plane",
    "probe.several.Several": "probe.several.Several",
    "probe.training_error.TrainingError": "probe.training_error.TrainingError",
    "probe.tsne.Tsne": "probe.tsne.Tsne",
    "sampling.equal.Equal": "sampling.equal.Equal",
    "sampling.natural.Natural": "sampling.natural.Natural",
    "schedule.Constant": "schedule.Constant",
    "schedule.Cosine": "schedule.Cosine",
    "schedule.Steps": "schedule.Steps",
    "speed.Auto": "speed.Auto",
    "speed.Compiled": "speed.Compiled",
    "speed.Eager": "speed.Eager",
    "speed.Graph": "speed.Graph",
    "subset.balanced.Balanced": "subset.balanced.Balanced",
    "subset.full.Full": "subset.full.Full",
    "subset.head.Head": "subset.head.Head",
    # fmt: on
}
"""First name → name today, both below mixexp.

The first names are those that classes had when run_ids began to depend on them; they are hashed for ever. Who moves or renames a
class changes its row; a class that is new needs none.
"""
_FIRST = {now: first for first, now in NOW.items()}


def located(target: str) -> str:
    """Where a class is now that a configuration of any age names."""
    name = target.removeprefix(PROJECT)
    return PROJECT + NOW[name] if target.startswith(PROJECT) and name in NOW else target


def stable(target: Any) -> Any:
    """What a class is called in a run_id: its first name, group/Class if it is newer than the table, its own if it is not the project's."""
    if not isinstance(target, str) or not target.startswith(PROJECT) or located(target).count(".") < 2:
        return target
    now = located(target).removeprefix(PROJECT)
    return PROJECT + _FIRST[now] if now in _FIRST else f"{now.partition('.')[0]}/{now.rpartition('.')[2]}"


def up_to_date(node: Any) -> Any:
    """A configuration of any age with the classes' names of today."""
    if isinstance(node, dict):
        return {key: located(value) if key == "_target_" and isinstance(value, str) else up_to_date(value) for key, value in node.items()}
    return [up_to_date(value) for value in node] if isinstance(node, list) else node
