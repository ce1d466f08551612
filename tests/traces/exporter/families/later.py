"""Families that wait, each with what a trace would have to hold first."""

__all__ = ["LATER"]

_LAYER_NORM = "layer norm: mean and variance of each sample"
_ATTENTION = "a product of two activations summed over an axis, and a softmax inside"

LATER: dict[str, str] = {
    "convnext": _LAYER_NORM,
    "mlp_mixer": _LAYER_NORM,
    "gmlp": _LAYER_NORM,
    "vit, deit, beit": f"{_LAYER_NORM}; {_ATTENTION}",
    "repmlp of many windows": "windows of an image that become samples of the batch",
    "swin": f"{_LAYER_NORM}; {_ATTENTION}; rolled rows and columns",
    "mobilevit, coatnet, maxvit, efficientformer": f"{_LAYER_NORM}; {_ATTENTION}",
    "botnet, halonet, lambda": _ATTENTION,
    "resnest of radix 2 and more": "a softmax inside; of radix 1 it is a sigmoid, which is here",
    "sknet of three branches and more": "a softmax inside; of two it is a sigmoid, which is here",
    "gcnet": f"{_LAYER_NORM}; {_ATTENTION}",
    "style transfer as published": "instance norm: mean and variance of each sample's channels",
    "resnetv2 of bit, groupnorm nets": "group norm: mean and variance of each sample",
    "alexnet and googlenet as published": "local response normalization: a quotient of activations",
    "evonorm, frn": "a quotient by statistics of each sample",
    "condconv, dynamic convolution": "weights computed from the input",
    "involution": "weights computed from the input, unfolded windows",
    "deformable convolution": "positions computed from the input",
    "pointrend, spatial transformer": "positions computed from the input",
    "lstm, gru, sru": "a loop over time; unrolled, products of activations",
    "embedding models": "integers as input",
}
