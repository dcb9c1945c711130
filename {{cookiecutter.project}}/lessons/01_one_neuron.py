# %% [markdown]
# # 1. One neuron, one loss
#
# **Question:** what does a network compute, and what does its loss say before the first step of training?
#
# **Guess first.** A network that was never trained looks at 64 images of digits. Is its loss near 0, near 0.7, near
# 2.3 or near 10? Write your number down, then run on.

# %%
import numpy as np
import torch
from checks import check_one_neuron
from course import show
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from {{cookiecutter.package}}.data import DigitsDataModule
from {{cookiecutter.package}}.models import MLPClassifier

# %% [markdown]
# ## Two neurons by hand
# A neuron multiplies each input by a weight, and adds a bias: 0.5 * 0.8 - 0.3 * 0.7 + 0.1 = 0.290. Several neurons
# with the same inputs are a layer. PyTorch's `nn.Linear` is that sum.

# %%
inputs, weights, biases = np.array([0.8, 0.7]), np.array([[0.5, -0.3], [0.9, 0.4]]), np.array([0.1, -0.2])
neurons = weights @ inputs + biases
layer = nn.Linear(2, 2).double()
layer.load_state_dict({"weight": torch.tensor(weights), "bias": torch.tensor(biases)})
outputs = layer(torch.tensor(inputs)).detach().numpy()
print(f"by hand {neurons.round(3)}, nn.Linear {outputs.round(3)}")
assert np.allclose([neurons, outputs], [0.290, 0.800])

# %% [markdown]
# ## Two losses by hand
# A loss is one number for how wrong the outputs are. You may know the mean squared error: outputs 0.8, 0.3 and 0.5
# for targets 1, 0 and 1 have (0.2^2 + 0.3^2 + 0.5^2) / 3 = 0.126667. A classifier is trained with the
# cross-entropy: minus the logarithm of the probability that it gives to the right class. It is 0.693 for a
# probability of 0.5, and 4.605 for 0.01.

# %%
squared_error = np.mean((np.array([0.8, 0.3, 0.5]) - np.array([1, 0, 1])) ** 2)
print(f"mean squared error {squared_error:.6f}; cross-entropy {-np.log(0.5):.3f} and {-np.log(0.01):.3f}")
assert (round(squared_error, 6), round(-np.log(0.5), 3), round(-np.log(0.01), 3)) == (0.126667, 0.693, 4.605)

share = np.linspace(0.004, 1, 500)
figure, axes = plt.subplots(figsize=(7, 3.6))
axes.plot(share, -np.log(share), label="cross-entropy, -ln p")
axes.plot(share, (1 - share) ** 2, "--", label="squared error, (1 - p)$^2$")
for p, text in ((0.5, "p = 0.5: 0.693"), (0.1, "a guess among ten, p = 0.1: 2.303"), (0.01, "p = 0.01: 4.605")):
    axes.plot(p, -np.log(p), "ko")
    axes.annotate(text, (p, -np.log(p)), xytext=(8, 4), textcoords="offset points")
axes.set(xlabel="p, probability given to the right class", ylabel="loss", ylim=(0, 5.6))
axes.set_title("Only the cross-entropy makes a confident mistake expensive")
axes.legend()
show(figure, "01_one_neuron")

# %% [markdown]
# ## The same inside the project
# `MLPClassifier` is the project's network of neurons (MLP: multilayer perceptron). Here it has one hidden layer of 64.
# Its outputs, one for each class, are called *logits*; softmax makes probabilities of them. We repeat in NumPy what it
# does with 64 digits: normalise the pixels, layer, ReLU (negative sums become 0), layer.

# %%
data = DigitsDataModule()
torch.manual_seed(0)
model = MLPClassifier(data.facts, hidden_sizes=[64]).eval()
print(model.network)
images, labels = data.split("train").images[torch.arange(64)], data.split("train").labels[:64]
with torch.no_grad():
    logits, loss = model(images), model.loss(model(images), labels).item()

numbers = {name: value.detach().double().numpy() for name, value in model.network.named_parameters()}
pixels = (images.numpy().reshape(64, 64) / 255 - data.facts.mean) / data.facts.std
hidden = np.maximum(0, pixels @ numbers["1.weight"].T + numbers["1.bias"])
scores = hidden @ numbers["4.weight"].T + numbers["4.bias"]
probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
by_hand = -np.log(probabilities[np.arange(64), labels]).mean()
difference = np.abs(scores - logits.numpy()).max()
print(f"loss {loss:.4f}, by hand {by_hand:.4f}; the logits differ by {difference:.1e}; a guess costs {np.log(10):.4f}")
assert (round(loss, 4), round(by_hand, 4), round(np.log(10), 4)) == (2.3728, 2.3728, 2.3026)
assert difference < 1e-6

# %% [markdown]
# The untrained network guesses among ten classes, and a guess costs ln 10 = 2.3026. So look at the first loss of a
# training: if it is far above ln(number of classes), something is wrong before anything is learned.
#
# ## Break it
# 1. *Pixels from 0 to 255 straight into the network*, without the first layer that normalises them: the loss is 38.
# 2. *Softmax before the loss*, which applies it itself: a network that is sure and right now has a loss of 1.461
#    instead of 0, and learns slowly. Classifiers of this project return logits, never probabilities.
# 3. *Images of another size*: the program says which shapes do not match.

# %%
with torch.no_grad():
    unscaled = model.loss(model.network(images.float()), labels).item()
    right = torch.eye(10) * 100  # the logits of a network that is sure of class 0, 1, ... 9
    once, twice = F.cross_entropy(right, torch.arange(10)), F.cross_entropy(right.softmax(1), torch.arange(10))
print(f"unscaled pixels {unscaled:.1f}; sure and right: {once:.3f}, with two softmax {twice:.3f}")
assert 37 < unscaled < 39
assert (round(once.item(), 3), round(twice.item(), 3)) == (0, 1.461)
try:
    model(torch.zeros(1, 1, 28, 28))
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## Two linear layers are one
# Without the ReLU between them, two layers compute W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2): one layer.

# %%
two = (pixels @ numbers["1.weight"].T + numbers["1.bias"]) @ numbers["4.weight"].T + numbers["4.bias"]
weight, bias = numbers["4.weight"] @ numbers["1.weight"], numbers["4.weight"] @ numbers["1.bias"] + numbers["4.bias"]
assert np.allclose(two, pixels @ weight.T + bias)

# %% [markdown]
# ## Exercise
# Two linear layers lead from 64 inputs to 32 neurons to 10 outputs, without a ReLU between them. How many parameters
# (weights and biases) has the one layer that computes the same?

# %%
answer = None
check_one_neuron(answer)
