import pytest

from synthgen.networks.residual import group_norm, halvings


@pytest.mark.parametrize(
    ("size", "times"),
    [((3, 3), 0), ((7, 9), 0), ((8, 8), 1), ((15, 40), 1), ((28, 28), 2), ((32, 32), 3), ((64, 200), 4)],
)
def test_halvings_leave_the_shorter_side_4_to_7_pixels(size, times):
    assert halvings(*size) == times
    assert times == 0 or 4 <= min(size) / 2**times < 8


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (6, 1), (8, 2), (64, 16), (128, 32), (512, 32), (50, 2)])
def test_groups_have_four_channels_or_more(channels, groups):
    assert group_norm(channels).num_groups == groups
