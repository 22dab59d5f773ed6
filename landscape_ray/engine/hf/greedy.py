"""Greedy decoding of a batch that shrinks: a sequence that has ended takes no part in the steps that follow."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

__all__ = ["greedy_tokens"]


@torch.inference_mode()
def greedy_tokens(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    has_ended: Callable[[int, list[int]], bool],
    pad_token_id: int,
    on_keep: Callable[[torch.Tensor], None],
) -> list[list[int]]:
    """Return the tokens after each prompt, up to the one that ends it.

    Shapes: B sequences that are still going on, T tokens so far.

    Args:
        model: A causal language model of transformers.
        prompts: Token ids, at least one each.
        has_ended: Tells of a prompt, by its place, and of the tokens after it so far, whether they are all.
        pad_token_id: A token to fill the batch with.
        on_keep: Is told which rows of the batch go on, whenever some have ended.
    """
    longest = max(map(len, prompts))
    device = next(model.parameters()).device
    ids_BT = torch.tensor([[pad_token_id] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask_BT = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions_BT = (mask_BT.cumsum(dim=-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    found: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))
    while going:
        logits_B1V = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        tokens_B = logits_B1V[:, -1].float().argmax(dim=-1)
        tokens = tokens_B.tolist()
        for row, token in zip(going, tokens, strict=True):
            found[row].append(token)
        kept = [i for i, row in enumerate(going) if not has_ended(row, found[row])]
        positions_BT = positions_BT[:, -1:] + 1
        if len(kept) < len(going):
            rows = torch.tensor(kept, dtype=torch.long, device=device)
            cache.batch_select_indices(rows)
            on_keep(rows)
            mask_BT, positions_BT, tokens_B = mask_BT[rows], positions_BT[rows], tokens_B[rows]
            going = [going[i] for i in kept]
        ids_BT = tokens_B[:, None]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(going), 1)], dim=1)
    return found
