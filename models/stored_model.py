"""What the tensors of a quantized model's file must be: shapes, types and ranges."""

import torch
from torch import Tensor, nn

from .integer_attention import IntegerAttention
from .integer_layers import IntegerLinear
from .naming import listed
from .quantized_layer import QuantizedLayer
from .state_dicts import Wanted, differences
from .uniform import CodeUniform, UniformQuantizer

__all__ = ["check_ranges", "check_tensors"]


def check_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors that are not those of a calibrated model of this form.

    Args:
        model: as `float_path` or `integer_path` returns it, not calibrated.
        tensors: of the file, by name.

    Raises:
        ValueError: names what is missing, unexpected, of a wrong shape or type, or not finite.
    """
    wanted = {
        name: Wanted(tuple(tensor.shape), tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    for name, module in model.named_modules():
        if isinstance(module, UniformQuantizer):
            wanted |= _quantizer(name, Wanted(_per_channel(model, name, module), torch.float32))
        elif isinstance(module, QuantizedLayer):
            wanted |= _layer(name, module, tensors)
    if faults := differences(wanted, tensors):
        raise ValueError(faults)


def _quantizer(name: str, parameter: Wanted) -> dict[str, Wanted]:
    return {f"{name}.delta": parameter, f"{name}.zero_point": parameter}


def _per_channel(model: nn.Module, name: str, module: UniformQuantizer) -> tuple[int, ...]:
    """Return the shape of a quantizer's parameters: of the weight's channels, or of one number."""
    if module.axis is None:
        return ()
    layer = model.get_submodule(name.rpartition(".")[0])
    assert isinstance(layer, QuantizedLayer)
    return (len(layer.weight), *[1] * (layer.weight.ndim - 1))


def _layer(name: str, module: QuantizedLayer, tensors: dict[str, Tensor]) -> dict[str, Wanted]:
    outputs, inputs = module.weight.flatten(1).shape
    wanted = {}
    for each in ("reparam_r", "reparam_b"):
        stored = tensors.get(f"{name}.{each}")
        none = stored is None or stored.numel() == 0
        wanted[f"{name}.{each}"] = Wanted((0,) if none else (inputs,), torch.float32)
    if module.bias is not None:
        wanted[f"{name}.bias"] = Wanted((outputs,), torch.float32)
    if isinstance(module, IntegerLinear):
        wanted[f"{name}.weight_codes"] = Wanted((outputs, inputs), torch.int16)
    return wanted


def check_ranges(model: nn.Module) -> None:
    """Refuse numbers that no calibration gives, which the arithmetic takes for granted.

    Args:
        model: its tensors loaded, all finite.

    Raises:
        ValueError: names scales that are not positive, codes and zero points out of range, and
            scales that do not fit a multiplier and a shift.
    """
    faults = [
        f"{name} not positive"
        for name, tensor in model.named_buffers()
        if name.rpartition(".")[2] == "delta" and not bool((tensor > 0).all())
    ]
    for name, module in model.named_modules():
        if isinstance(module, CodeUniform):
            zero = module.zero_point
            if not bool(((zero == zero.floor()) & (zero >= 0) & (zero <= module.max_code)).all()):
                faults.append(f"{name}.zero_point not from 0 to {module.max_code}")
        elif isinstance(module, IntegerLinear):
            most = module.weight_quantizer.max_code
            if int(module.weight_codes.int().abs().max()) > most:
                faults.append(f"{name}.weight_codes not from -{most} to {most}")
    if not faults:
        faults = _datapath_faults(model)
    if faults:
        raise ValueError(listed(faults))


def _datapath_faults(model: nn.Module) -> list[str]:
    faults = []
    for name, module in model.named_modules():
        if isinstance(module, IntegerAttention):
            config, bias = module.datapath.config, module.score_bias
            try:
                config.check_params(module.params())
            except ValueError as error:
                faults.append(f"{name}: {error}")
            if bias is not None and not config.t_min <= bias.min() <= bias.max() <= config.t_max:
                faults.append(f"{name}.score_bias not from {config.t_min} to {config.t_max}")
    return faults
