#!/usr/bin/env bash
# keras 3.15.1 (backend jax 0.10.2) and keras 2.2.4, in which 2019's code was written: what a layer begins with where nothing is said, and
# two surprises. he_normal takes any weight of three axes for a one-dimensional convolution's, so that of one [classes, centres, features]
# the fan_in is classes x centres, whatever the number of features, and the standard deviation sqrt(2 / fan_in); the distribution is cut
# at 2 / 0.8796 of it. Adam adds its epsilon, 1e-7, to the root before the running mean of squares is corrected for its start: the first
# steps have an epsilon of 1e-7 / sqrt(1 - 0.999^t), at t = 1 32 times as large as torch's of the same name.
# Seen: centres 10 x 1 x 128: fans (10, 1280), standard deviation 0.447, largest 1.017; 10 x 5 x 128: fans (50, 1280), 0.200, 0.455.
# Dense and Conv2D: U(+-sqrt(6 / (fan_in + fan_out))), biases 0. BatchNormalization: momentum 0.99, epsilon 0.001. Adam: 0.9, 0.999, 1e-7;
# a first step of 0.240 of the learning rate for a gradient of 1e-6, where torch's Adam takes 0.909.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
# 2.2.4 needs a TensorFlow that no Python of today has, so its sources are read and its fans computed by its own function
"$work/venv/bin/pip" install -q --no-deps --target "$work/old" keras==2.2.4
cd "$work"
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import ast
from pathlib import Path

import keras
import numpy as np
from keras.src.initializers.random_initializers import compute_fans

assert keras.__version__ == "3.15.1"
TRUNCATED = 0.87962566103423978

initializers = Path("old/keras/initializers.py").read_text()
(function,) = (node for node in ast.parse(initializers).body if getattr(node, "name", "") == "_compute_fans")
exec(ast.unparse(function))
assert "stddev = np.sqrt(scale) / .87962566103423978" in initializers, "2.2.4 widens what it cuts, as 3 does"

for centres in (1, 5):
    shape = (10, centres, 128)
    assert compute_fans(shape) == _compute_fans(shape) == (10 * centres, 1280)
    drawn = np.asarray(keras.initializers.HeNormal(seed=0)((10, centres, 40_000)))
    deviation = (2 / (10 * centres)) ** 0.5
    print(shape, "fans", compute_fans(shape), "standard deviation", drawn.std().round(3), "largest", abs(drawn).max().round(3))
    assert abs(drawn.std() / deviation - 1) < 0.01 and abs(drawn.mean()) < 0.01
    assert 0.98 < abs(drawn).max() * TRUNCATED / (2 * deviation) <= 1.0001, "cut at two deviations of the wider one"

for layer, inputs, fans in (
    (keras.layers.Dense(300), (None, 200), (200, 300)),
    (keras.layers.Conv2D(128, 3, padding="same"), (None, 8, 8, 64), (9 * 64, 9 * 128)),
):
    layer.build(inputs)
    kernel, bias = map(np.asarray, layer.get_weights())
    limit = (6 / sum(fans)) ** 0.5
    print(type(layer).__name__, "fans", fans, "largest", abs(kernel).max().round(4), "of", round(limit, 4))
    assert 0.99 * limit < abs(kernel).max() <= limit * 1.0001 and abs(kernel.std() - limit / 3**0.5) < 0.01 * limit
    assert not bias.any()
for file in ("core.py", "convolutional.py"):
    assert "kernel_initializer='glorot_uniform',\n" in Path(f"old/keras/layers/{file}").read_text()

normalise = keras.layers.BatchNormalization()
print("BatchNormalization", normalise.momentum, normalise.epsilon)
assert (normalise.momentum, normalise.epsilon) == (0.99, 1e-3)
old = Path("old/keras/layers/normalization.py").read_text()
assert "momentum=0.99,\n" in old and "epsilon=1e-3,\n" in old

adam = keras.optimizers.Adam(1e-3)
print("Adam", adam.beta_1, adam.beta_2, adam.epsilon)
assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-7)
assert "_EPSILON = 1e-7\n" in Path("old/keras/backend/common.py").read_text()
assert "epsilon = K.epsilon()" in Path("old/keras/optimizers.py").read_text()
assert "p_t = p - lr_t * m_t / (K.sqrt(v_t) + self.epsilon)" in Path("old/keras/optimizers.py").read_text()
weight, gradient = keras.Variable(np.zeros(1)), 1e-6
adam.apply([np.array([gradient], dtype="float32")], [weight])
step = -float(np.asarray(weight)[0]) / 1e-3
print("a first step, in learning rates:", round(step, 3), "with the epsilon behind the correction:", round(gradient / (gradient + 1e-7), 3))
assert abs(step - gradient / (gradient + 1e-7 / (1 - 0.999) ** 0.5)) < 1e-3
PYTHON
