"""SqueezeNet 1.1 and VGG16's convolutions in PyTorch's functional form, from our parameters."""

import numpy as np
import torch
import torch.nn.functional as F


def _conv(params, x, **settings):
    kernel = torch.tensor(np.asarray(params["kernel"])).permute(3, 2, 0, 1)
    return F.relu(F.conv2d(x, kernel, torch.tensor(np.asarray(params["bias"])), **settings))


def _fire(params, x):
    x = _conv(params["squeeze"], x)
    return torch.cat(
        [_conv(params["expand1x1"], x), _conv(params["expand3x3"], x, padding=1)], dim=1
    )


def squeezenet(params, images):
    """The seven activations, channels first; images in [0, 1]."""
    x = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)
    # Caffe's pictures: bytes in the order blue, green, red.
    x = 255 * x.flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    first = params["conv1"] | {"kernel": params["conv1"]["kernel"][:, :, ::-1].copy()}
    found = [_conv(first, x, stride=2)]
    x = F.max_pool2d(found[-1], 3, 2, ceil_mode=True)
    x = _fire(params["fire3"], _fire(params["fire2"], x))
    found.append(x)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    x = _fire(params["fire5"], _fire(params["fire4"], x))
    found.append(x)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for name in ("fire6", "fire7", "fire8", "fire9"):
        x = _fire(params[name], x)
        found.append(x)
    return found


def vgg16(params, images):
    """The last activation of each stage, channels first; images in [0, 1]."""
    x = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)
    mean, stddev = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean[:, None, None]) / stddev[:, None, None]
    found = []
    for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(depth):
            x = _conv(params[f"conv{stage}_{layer + 1}"], x, padding=1)
        found.append(x)
        x = F.max_pool2d(x, 2)
    return found
