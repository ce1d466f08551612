"""Real networks as traces, from weights that lie beside the project."""

__all__ = ["NETWORKS"]

NETWORKS: dict[str, tuple[str, dict[str, str]]] = {
    # name: (module, what its `make` is told)
    "resnet20": ("resnet20", {}),
    "resnet8": ("resnet8", {}),
    "mobilenetv2": ("mobilenetv2", {}),
    "vgg16q_dense": ("vgg16q", {"variant": "dense"}),
    "vgg16q_pattern": ("vgg16q", {"variant": "pattern"}),
    "squeezenet": ("squeezenet", {}),
    "perceptron": ("perceptron", {}),
}
