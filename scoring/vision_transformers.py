"""Vision transformers of three libraries, as the two steps between which tokens can be dropped.

    transformer = transformer_of(module)        # a Transformer, or why there is none
    tokens = transformer.embed(images)          # (B, prefix + tokens, width)
    logits = transformer.encode(tokens)         # of all tokens, or of fewer

These are torchvision's VisionTransformer, timm's (with DeiT), and ViT and DeiT of transformers. A
subclass with a forward pass of its own is none of them. Nor is one that pools its tokens by their
mean: where all are dropped there would be nothing to pool. timm and transformers are not imported:
a module of theirs is known by its classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.models import VisionTransformer

from scoring.outputs import Logits, own_module

TIMM = "timm.models.vision_transformer.VisionTransformer"
TRANSFORMERS = {
    "transformers.models.vit.modeling_vit.ViTForImageClassification": "vit",
    "transformers.models.deit.modeling_deit.DeiTForImageClassification": "deit",
    "transformers.models.deit.modeling_deit.DeiTForImageClassificationWithTeacher": "deit",
}
STEPS = ("forward", "forward_features")  # that a subclass must leave as they are


@dataclass(frozen=True)
class Transformer:
    """A vision transformer as two steps.

    Attributes:
        grid: rows and columns of tokens.
        prefix: number of tokens before these that belong to no place: class, distillation, ..
        embed: images (B, C, H, W) to tokens with their positions, (B, prefix + tokens, width).
        encode: some tokens, the prefix first, to logits (B, classes).
    """

    grid: tuple[int, int]
    prefix: int
    embed: Callable[[torch.Tensor], torch.Tensor]
    encode: Callable[[torch.Tensor], torch.Tensor]


def transformer_of(module: torch.nn.Module) -> Transformer | str:
    """Return a network as a vision transformer, or why it is none.

    Args:
        module: a network in eval mode.
    """
    own: Any = own_module(module)
    if isinstance(module, Logits) and module.are_probabilities:
        return "needs a network that returns logits; this one returns probabilities"
    if _is(own, VisionTransformer):
        return _of_torchvision(own)
    bases = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in type(own).__mro__}
    if TIMM in bases and _is(own, bases[TIMM]):
        return _of_timm(own)
    for name, body in TRANSFORMERS.items():
        if name in bases and _is(own, bases[name]):
            return _of_transformers(own, getattr(own, body))
    return (
        "needs a vision transformer of torchvision (vit_b_16, ..), timm or transformers (ViT, "
        f"DeiT); a {type(own).__name__} has no tokens to drop"
    )


def _is(module: Any, kind: type) -> bool:
    """Return whether a module is of a kind, with no forward pass of its own."""
    return isinstance(module, kind) and all(
        getattr(type(module), step, None) is getattr(kind, step, None) for step in STEPS
    )


def _of_torchvision(vit: Any) -> Transformer:
    side = vit.image_size // vit.patch_size
    encoder = vit.encoder

    def embed(images: torch.Tensor) -> torch.Tensor:
        class_token = vit.class_token.expand(len(images), -1, -1)
        return torch.cat([class_token, vit._process_input(images)], 1) + encoder.pos_embedding

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        return vit.heads(encoder.ln(encoder.layers(tokens))[:, 0])

    return Transformer((side, side), 1, embed=embed, encode=encode)


def _of_timm(vit: Any) -> Transformer | str:
    name = type(vit).__name__
    if vit.global_pool != "token":
        return (
            f"needs a class token; this {name} pools its tokens ({vit.global_pool or 'not at all'})"
        )
    if type(vit.patch_embed).__name__ != "PatchEmbed":
        return f"this {name} has other layers before its tokens, which mix patches"

    def embed(images: torch.Tensor) -> torch.Tensor:
        return vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        return vit.forward_head(vit.norm(vit.blocks(tokens)))

    rows, columns = vit.patch_embed.grid_size
    return Transformer((rows, columns), vit.num_prefix_tokens, embed=embed, encode=encode)


def _of_transformers(network: Any, body: Any) -> Transformer:
    """Return a network of transformers by its body, which has no head."""
    cut = body.embeddings.patch_embeddings
    rows, columns = (side // patch for side, patch in zip(cut.image_size, cut.patch_size))
    positions = body.embeddings.position_embeddings.shape[1]

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        state = body.layernorm(_encoded(body, tokens))
        if hasattr(network, "classifier"):
            return network.classifier(state[:, 0])
        of_class = network.cls_classifier(state[:, 0])
        return (of_class + network.distillation_classifier(state[:, 1])) / 2

    return Transformer(
        (rows, columns), positions - rows * columns, embed=body.embeddings, encode=encode
    )


def _encoded(body: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return what the layers make of tokens; up to version 4 an encoder holds them."""
    if hasattr(body, "encoder"):
        return body.encoder(tokens)[0]
    for layer in body.layers:
        output = layer(tokens)
        tokens = output[0] if isinstance(output, tuple) else output
    return tokens
