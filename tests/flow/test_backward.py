import numpy as np

from sorairo.flow.backward import backward


def test_a_way_back_is_the_clip_in_reverse_at_an_even_pace():
    level = np.array([0, 40, 80, 81, 82, 82], np.uint8)  # fast, then slow, then at rest
    there = np.broadcast_to(level[:, None, None, None], (6, 32, 32, 3)).copy()
    back = backward(there, 7)[:, 0, 0, 0].tolist()
    assert back == sorted(back, reverse=True) and set(back) <= set(level.tolist())
    assert back[0] >= 80 and back[-1] == 0  # it turns round at both ends
    at_rest = np.full((4, 32, 32, 3), 7, np.uint8)
    assert np.array_equal(backward(at_rest, 3), at_rest[:3])
