"""Which tokens the responses of a group share at their beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ..tree import trie


@dataclass(frozen=True)
class PrefixTree:
    """The tries of the responses of G groups: V nodes, one for each token that follows other tokens in a group.

    The N responses have T scored tokens, and M tokens with those that are read and not scored.

    Args:
        nodes: int `[T]`, the node of each scored token: equal for those that responses share at their beginnings.
        parents: int `[V]`, the node before each; −1 for a first token, which follows the prompt.
        node_groups: int `[V]`, the group of each node, ascending.
        path_nodes: int `[M]`, the node of each token, scored or not.
        path_responses: int `[M]`, the response of each token, ascending.
    """

    nodes: Tensor
    parents: Tensor
    node_groups: Tensor
    path_nodes: Tensor
    path_responses: Tensor

    def means(self, values: Tensor) -> Tensor:
        """Return float `[V]`: the mean of float `[N]` over the responses that pass through each node."""
        passing = values[self.path_responses]
        sums = values.new_zeros(len(self.parents)).index_add(0, self.path_nodes, passing)
        return sums / torch.zeros_like(sums).index_add(0, self.path_nodes, torch.ones_like(passing))

    def gains(self, values: Tensor, roots: Tensor) -> Tensor:
        """Return float `[V]`: how far the mean of each node is above that of the node before it.

        Args:
            values: float `[N]`, to average over responses.
            roots: float `[G]`, the mean of each group, which is before the first tokens.
        """
        means = self.means(values)
        return means - torch.where(self.parents < 0, roots[self.node_groups], means[self.parents.clamp(min=0)])

    def first_groups(self, groups: int, responses: Tensor, tokens: Tensor) -> PrefixTree:
        """Return the tree of the first groups alone.

        Args:
            groups: How many.
            responses: bool `[N]`, True for their responses.
            tokens: bool `[T]`, True for their scored tokens.
        """
        own, paths = self.node_groups < groups, responses[self.path_responses]
        return PrefixTree(
            nodes=self.nodes[tokens],
            parents=self.parents[own],
            node_groups=self.node_groups[own],
            path_nodes=self.path_nodes[paths],
            path_responses=self.path_responses[paths],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PrefixTree:
        """Return the tree on a device; Accelerate calls it for batches."""
        moved = {part.name: getattr(self, part.name).to(device, non_blocking=non_blocking) for part in fields(self)}
        return replace(self, **moved)


def prefix_tree(groups: Sequence[Sequence[list[int]]], unscored: Sequence[Sequence[int]] | None = None) -> PrefixTree:
    """Build the tree of a batch, on the host.

    Args:
        groups: For each group the token ids of its responses; a response may be empty.
        unscored: For each group how many of the first tokens of each response are not scored; by default none.

    >>> tree = prefix_tree([[[3, 6], [3, 5]], [[3]]])
    >>> tree.nodes
    tensor([0, 2, 0, 1, 3])
    >>> tree.parents
    tensor([-1,  0,  0, -1])
    >>> tree.means(torch.tensor([1.0, 0.0, 1.0]))
    tensor([0.5000, 0.0000, 1.0000, 1.0000])
    """
    nodes, parents, sizes, paths = [], [], [], []
    start = 0
    for number, responses in enumerate(groups):
        found = trie(list(responses))
        before = np.full(len(found.tokens), -1)
        for path in found.paths:
            before[path[1:]] = path[:-1] + start
        first = unscored[number] if unscored is not None else [0] * len(responses)
        nodes += [path[count:] + start for path, count in zip(found.paths, first, strict=True)]
        paths += [path + start for path in found.paths]
        parents.append(before)
        sizes.append(len(before))
        start += len(before)
    return PrefixTree(
        nodes=torch.from_numpy(np.concatenate(nodes)),
        parents=torch.from_numpy(np.concatenate(parents)),
        node_groups=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        path_nodes=torch.from_numpy(np.concatenate(paths)),
        path_responses=torch.from_numpy(np.repeat(np.arange(len(paths)), [len(path) for path in paths])),
    )
