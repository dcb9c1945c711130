# %% [markdown]
# # 6. Activations and depth
#
# **Question:** why did networks stay shallow for so long, and what changed?
#
# **Guess first.** A network has ten hidden layers with sigmoids. How large is the gradient of its first layer, compared
# with that of its last: a half, a hundredth, or less than a millionth? Write your number down, then run on.

# %%
import torch
from checks import check_activations
from course import fit, show
from matplotlib import pyplot as plt

from {{cookiecutter.package}}.data import DigitsDataModule
from {{cookiecutter.package}}.models import MLPClassifier
from {{cookiecutter.package}}.models.classifier import ACTIVATIONS, Activation

data = DigitsDataModule()
images, labels = data.split("train").images[torch.arange(64)], data.split("train").labels[:64]

# %% [markdown]
# ## By hand
# Take ten layers of a single neuron each. On the way back, backpropagation multiplies the gradient, at each layer, by
# the weight and by the slope of the sigmoid, s (1 - s). We multiply these nine factors, and compare with what autograd
# has found for the project's `MLPClassifier`.

# %%
torch.manual_seed(0)
chain = MLPClassifier(data.facts, hidden_sizes=[1] * 10, dropout=0.0, activation="sigmoid").double()
chain.loss(chain(images[:1]), labels[:1]).backward()
numbers = list(chain.network.parameters())  # weight and bias of each layer
weights, biases = numbers[0::2], numbers[1::2]
by_hand, value = 1.0, chain.preprocess(images[:1]).flatten(1)
for layer in range(9):
    value = torch.sigmoid(value @ weights[layer].T + biases[layer])
    by_hand *= (weights[layer + 1] * value * (1 - value)).item()
assert biases[0].grad is not None
assert biases[9].grad is not None
autograd = (biases[0].grad / biases[9].grad).item()
print(f"gradient of the first of ten neurons, as a share of the last: by hand {by_hand:.3e}, autograd {autograd:.3e}")
assert abs(by_hand / autograd - 1) < 1e-6

# %% [markdown]
# ## Ten layers of 128 neurons, before the first step
# `--model.activation` is `relu`, `tanh`, `sigmoid` or `gelu`; `--model.batch_norm true` normalises the sums of each
# layer over the images of a batch.


# %%
def gradients(activation: Activation, batch_norm: bool) -> list[float]:
    """Norm of the gradient of each layer's weights, from the first to the last."""
    torch.manual_seed(0)
    sizes = [128] * 10
    model = MLPClassifier(data.facts, sizes, dropout=0.0, batch_norm=batch_norm, activation=activation)
    model.loss(model(images), labels).backward()
    return [p.grad.norm().item() for p in model.network.parameters() if p.ndim == 2 and p.grad is not None]


norms: dict[tuple[str, bool], list[float]] = {}
for activation in ACTIVATIONS:
    for batch_norm in (False, True):
        found = norms[activation, batch_norm] = gradients(activation, batch_norm)  # type: ignore[arg-type]
        print(f"{activation:8}{'batch norm' if batch_norm else '':12}first / last gradient {found[0] / found[-1]:.1e}")
share = {key: found[0] / found[-1] for key, found in norms.items()}
assert 1e-9 < share["sigmoid", False] < 1e-7
assert 0.02 < share["tanh", False] < 0.3
assert 1e-3 < share["relu", False] < 0.05
assert all(0.1 < share[activation, True] < 20 for activation in ACTIVATIONS)

# %% [markdown]
# Measured: 9e-9 with sigmoid, 0.083 with tanh, 0.008 with ReLU, 4e-4 with GELU; between 0.6 and 5 with batch norm. The
# slope of a sigmoid is at most 1/4, so each layer takes at least three quarters of the gradient. The slopes of the
# others reach 1; what they lose is due to the weights, which are small at the start.
#
# ## Trained
# Twelve epochs each, on the digits. Two layers with sigmoids are trained as well, for comparison.

# %%
DIGITS = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.dropout", "0"]
DIGITS += ["--model.optimizer.lr", "0.003", "--trainer.max_epochs", "12"]
TEN, TWO = ["--model.hidden_sizes", str([128] * 10)], ["--model.hidden_sizes", str([128] * 2)]
accuracy: dict[tuple[str, bool], float] = {}
for activation in ACTIVATIONS:
    for batch_norm in (False, True):
        options = ["--model.activation", activation, "--model.batch_norm", str(batch_norm).lower()]
        result = fit(*DIGITS, *TEN, *options, name=f"06_{activation}{'_batch_norm' * batch_norm}")
        accuracy[activation, batch_norm] = result.test_accuracy
shallow = fit(*DIGITS, *TWO, "--model.activation", "sigmoid", name="06_two_layers")
assert accuracy["sigmoid", False] < 25
assert shallow.test_accuracy > 85
assert all(accuracy[activation, True] > 92 for activation in ACTIVATIONS)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
for (activation, batch_norm), found in norms.items():
    if not batch_norm or activation == "sigmoid":
        text = activation + ", batch norm" * batch_norm
        left.plot(range(1, 12), found, {"relu": "o", "tanh": "s", "gelu": "k^"}.get(activation, "D") + "-", label=text)
left.set(xlabel="layer (11 is the output layer)", ylabel="norm of the gradient of its weights", yscale="log")
left.set_title("Ten sigmoids leave nothing for the first layer")
left.legend(fontsize=8)
rows = range(len(ACTIVATIONS))
for shift, batch_norm, text in ((0.2, False, "without batch norm"), (-0.2, True, "with batch norm")):
    values = [accuracy[activation, batch_norm] for activation in ACTIVATIONS]
    bars = right.barh([row + shift for row in rows], values, height=0.38, label=text)
    right.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
right.set_yticks(list(rows), list(ACTIVATIONS))
right.set(xlabel="test accuracy, %", xlim=(0, 112))
right.set_title("Batch norm makes all of them trainable")
right.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False)
show(figure, "06_activations_and_depth")

# %% [markdown]
# Measured without batch norm: ReLU 84.1 %, tanh 88.9, GELU 84.1, sigmoid 10.0, a guess; two layers with sigmoids 92.5.
# With batch norm, all four reach 95.5 to 97.8 %.
#
# ## Break it
# 1. *A higher rate against a gradient that is gone*: the diagnosis of the sigmoid run proposes to change the learning
#    rate. Ten times as much does not help here: it says `no better than guessing` again. Fewer layers, batch norm or
#    another activation do.
# 2. *All weights zero at the start*: the gradient of each hidden layer is exactly 0, and stays 0.
# 3. *An activation that does not exist*: the program names those that do.

# %%
faster = fit(*DIGITS, *TEN, "--model.activation", "sigmoid", "--model.optimizer.lr", "0.03", name="06_higher_rate")
print(faster.diagnosis[0])
assert faster.test_accuracy < 25

zero = MLPClassifier(data.facts, hidden_sizes=[128] * 10, dropout=0.0)
for parameter in zero.parameters():
    torch.nn.init.zeros_(parameter)
zero.loss(zero(images), labels).backward()
assert all(p.grad is not None and not p.grad.any() for p in list(zero.network.parameters())[:-1])
try:
    fit(*DIGITS, "--model.activation", "none", name="06_none")
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## Exercise
# The slope of a sigmoid is s (1 - s), where s is its output. What is the largest number that the slopes of ten
# sigmoids, multiplied, can be?

# %%
answer = None
check_activations(answer)
