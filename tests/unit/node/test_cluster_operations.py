"""
The control methods about clusters: the same names with a cluster and without one.
"""

import pytest

from helpers.clusters import Household
from helpers.nodes import quiet_node
from kontinuum.node.control_params import OperationError
from kontinuum.node.operations import CLUSTER_METHODS, NodeOperations


async def _nothing(_event):
    return None


@pytest.mark.parametrize("method", CLUSTER_METHODS)
async def test_a_node_without_a_cluster_says_what_to_do(method):
    """
    Whatever is asked; and it has not loaded what it does not need.
    """
    methods = NodeOperations(quiet_node()).methods()

    with pytest.raises(OperationError, match="cluster init") as caught:
        await methods[method]({}, _nothing)
    assert caught.value.code == "misuse.cluster_off"


def test_a_node_of_a_cluster_has_all_of_them(tmp_path):
    """
    None is missing from the list, and none is in it that is not there.
    """
    household = Household(tmp_path)
    household.add("server")
    methods = NodeOperations(household.node("server")).methods()

    about = [name for name in methods if name.startswith(("cluster.", "meet.", "vault."))]
    assert sorted(about) == sorted(CLUSTER_METHODS)
