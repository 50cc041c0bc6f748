"""The project's classes in run_ids and configurations: one table, from what each was called first to what it is called
now."""

from __future__ import annotations

from typing import Any

PROJECT = "mixexp."
NOW = {
    "augment.continuous.Continuous": "augment.Continuous",
    "augment.noise.Noise": "augment.Noise",
    "augment.none.NoAugment": "augment.NoAugment",
    "augment.shift.Shift": "augment.Shift",
    "augment.standard.Standard": "augment.Standard",
    "dataset.csv_table.CsvTable": "dataset.csv_table.CsvTable",
    "dataset.digits.Digits": "dataset.digits.Digits",
    "dataset.from_torchvision.FromTorchvision": "dataset.torchvision.FromTorchvision",
    "dataset.gaussians.Gaussians": "dataset.planes.Gaussians",
    "dataset.image_folder.ImageFolder": "dataset.images.ImageFolder",
    "dataset.sklearn_table.SklearnTable": "dataset.tables.SklearnTable",
    "dataset.sound_folder.SoundFolder": "dataset.sounds.SoundFolder",
    "dataset.sound_layouts.ClassFolders": "dataset.sounds.ClassFolders",
    "dataset.sound_layouts.ListedTest": "dataset.sounds.ListedTest",
    "dataset.sound_layouts.NumberedNames": "dataset.sounds.NumberedNames",
    "dataset.toy2d.Toy2D": "dataset.planes.Toy2D",
    "gan.minimax.Minimax": "gan.minimax.Minimax",
    "gan.real_with_generated.RealWithGenerated": "gan.objectives.RealWithGenerated",
    "gan.shuffled.Shuffled": "gan.objectives.Shuffled",
    "gan.unmixed.Unmixed": "gan.objectives.Unmixed",
    "imbalance.minority.Minority": "imbalance.MinorityClasses",
    "imbalance.none.NoImbalance": "imbalance.NoImbalance",
    "imbalance.profile.Profile": "imbalance.LongTail",
    "label_noise.none.NoNoise": "label_noise.NoNoise",
    "label_noise.uniform.Uniform": "label_noise.Uniform",
    "logger.mlflow.MLflow": "logger.mlflow.MLflow",
    "logger.several.Several": "logger.Several",
    "logger.tensorboard.TensorBoard": "logger.tensorboard.TensorBoard",
    "logger.wandb.WandB": "logger.wandb.WandB",
    "loss.affinity.Affinity": "loss.affinity.Affinity",
    "loss.binary_cross_entropy.BinaryCrossEntropy": "loss.binary_cross_entropy.BinaryCrossEntropy",
    "loss.cross_entropy.CrossEntropy": "loss.cross_entropy.CrossEntropy",
    "loss.focal.Focal": "loss.focal.Focal",
    "loss.joint.Joint": "loss.affinity.Joint",
    "loss.kl.KL": "loss.cross_entropy.KL",
    "loss.soft_cross_entropy.SoftCrossEntropy": "loss.cross_entropy.SoftCrossEntropy",
    "mix.beta.Beta": "mix.ratio.Beta",
    "mix.energy.Energy": "mix.blend.BCPlus",
    "mix.first_label.FirstLabel": "mix.label.FirstLabel",
    "mix.linear.Linear": "mix.blend.Linear",
    "mix.mixed_label.MixedLabel": "mix.label.MixedLabel",
    "mix.nearest.Nearest": "mix.pairing.Nearest",
    "mix.nearest_label.NearestLabel": "mix.label.NearestLabel",
    "mix.none.NoMix": "mix.mixes.NoMix",
    "mix.other_class.OtherClass": "mix.pairing.OtherClass",
    "mix.pairs.Pairs": "mix.mixes.Pairs",
    "mix.permutation.Permutation": "mix.pairing.Permutation",
    "mix.same_class.SameClass": "mix.pairing.SameClass",
    "mix.second_pass.SecondPass": "mix.pairing.SecondPass",
    "mix.several.Several": "mix.mixes.DirichletMix",
    "mix.sound.Sound": "mix.blend.LoudnessBlend",
    "mix.uniform.Uniform": "mix.ratio.Uniform",
    "mix_layer.one_of.OneOf": "mix_layer.RandomLayer",
    "model.cnn10.CNN10": "model.cnn10.CNN10",
    "model.cnn11.CNN11": "model.cnn11.CNN11",
    "model.densenet_bc.DenseNetBC": "model.densenet_bc.DenseNetBC",
    "model.lenet.LeNet": "model.lenet.LeNet",
    "model.mlp.MLP": "model.mlp.MLP",
    "model.mnist_cnn.MnistCNN": "model.mnist_cnn.MnistCNN",
    "model.preact_resnet18.PreActResNet18": "model.preact_resnet.PreActResNet18",
    "model.preact_resnet34.PreActResNet34": "model.preact_resnet.PreActResNet34",
    "model.resnet18.ResNet18": "model.resnet18.ResNet18",
    "model.small_cnn.SmallCNN": "model.small_cnn.SmallCNN",
    "model.sound_cnn.SoundCNN": "model.sound_cnn.SoundCNN",
    "model.torchvision_model.TorchvisionModel": "model.torchvision_model.TorchvisionModel",
    "model.vgg11.VGG11": "model.vgg11.VGG11",
    "model.wide_resnet.WideResNet": "model.wide_resnet.WideResNet",
    "optimizer.adam": "optimizer.adam",
    "optimizer.sgd": "optimizer.sgd",
    "probe.between.Between": "probe.between.Between",
    "probe.by_class.ByClass": "probe.training_error.ByClass",
    "probe.clouds.Clouds": "probe.embeddings.Clouds",
    "probe.deformation.Deformation": "probe.deformation.Deformation",
    "probe.entanglement.Entanglement": "probe.entanglement.Entanglement",
    "probe.features.Features": "probe.embeddings.Features",
    "probe.fgsm.Fgsm": "probe.fgsm.Fgsm",
    "probe.fisher.Fisher": "probe.entanglement.Fisher",
    "probe.intrusion.Intrusion": "probe.blends.Intrusion",
    "probe.mixed_images.MixedImages": "probe.blends.MixedImages",
    "probe.mixed_samples.MixedSamples": "probe.blends.MixedSamples",
    "probe.plane.Plane": "probe.between.Plane",
    "probe.several.Several": "probe.Several",
    "probe.training_error.TrainingError": "probe.training_error.TrainingError",
    "probe.tsne.Tsne": "probe.embeddings.Tsne",
    "sampling.equal.Equal": "sampling.BalancedSampling",
    "sampling.natural.Natural": "sampling.Natural",
    "schedule.Constant": "schedule.Constant",
    "schedule.Cosine": "schedule.Cosine",
    "schedule.Steps": "schedule.Steps",
    "speed.Auto": "speed.Auto",
    "speed.Compiled": "speed.Compiled",
    "speed.Eager": "speed.Eager",
    "speed.Graph": "speed.Graph",
    "subset.balanced.Balanced": "subset.Balanced",
    "subset.full.Full": "subset.Full",
    "subset.head.Head": "subset.Head",
}
"""First name → name today, both below mixexp.

The first names are those that classes had when run_ids began to depend on them; they are hashed for ever. Who moves or
renames a class changes its row; a class that is new needs none.
"""
_FIRST = {now: first for first, now in NOW.items()}


def located(target: str) -> str:
    """Where a class is now that a configuration of any age names."""
    name = target.removeprefix(PROJECT)
    return PROJECT + NOW[name] if target.startswith(PROJECT) and name in NOW else target


def stable(target: Any) -> Any:
    """What a class is called in a run_id: its first name, group/Class if it is newer than the table, its own if it is
    not the project's."""
    if not isinstance(target, str) or not target.startswith(PROJECT) or located(target).count(".") < 2:
        return target
    now = located(target).removeprefix(PROJECT)
    return PROJECT + _FIRST[now] if now in _FIRST else f"{now.partition('.')[0]}/{now.rpartition('.')[2]}"


def up_to_date(node: Any) -> Any:
    """A configuration of any age with the classes' names of today."""
    if isinstance(node, dict):
        return {
            key: located(value) if key == "_target_" and isinstance(value, str) else up_to_date(value)
            for key, value in node.items()
        }
    return [up_to_date(value) for value in node] if isinstance(node, list) else node
